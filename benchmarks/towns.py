"""Are towns where they belong? Generated height at level 8 beside the published height of towns of every continent, over several seeds.

Heights are lifted without colour, which they do not depend on, in windows just large enough: the pixels are those of `World.field`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terraloom_engines.breaching import MARGIN
from terraloom_engines.bundle.base import Base
from terraloom_engines.cascade import known_below
from terraloom_engines.conservation import interleave
from terraloom_engines.field import ELEVATION_UNIT
from terraloom_engines.lifting import LiftingStage, Waters
from terraloom_engines.runtimes import Graph
from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime
from terraloom_engines.stages import StageSpec, Window
from terraloom_engines.tiling import TILE_SIZE, TileId, pixel_from_lonlat, tile_from_lonlat
from terraloom_engines.world import networks_bundle, open_base

LEVEL = 8
SEEDS = 5
Rasters = list[NDArray[np.int32]]
TOWNS = {
    "Denver": (-104.99, 39.74, 1609), "Mexico City": (-99.13, 19.43, 2240), "Bogota": (-74.07, 4.71, 2640),
    "Quito": (-78.47, -0.18, 2850), "Addis Ababa": (38.75, 9.02, 2355), "Nairobi": (36.82, -1.29, 1795),
    "Johannesburg": (28.05, -26.20, 1753), "Madrid": (-3.70, 40.42, 657), "Munich": (11.58, 48.14, 519), "Bern": (7.45, 46.95, 540),
    "Kathmandu": (85.32, 27.72, 1400), "Lhasa": (91.13, 29.65, 3656), "Tehran": (51.39, 35.69, 1190), "Kabul": (69.17, 34.53, 1790),
    "Ulaanbaatar": (106.91, 47.92, 1350), "Xi'an": (108.94, 34.34, 405), "Kunming": (102.83, 24.88, 1890),
    "Bengaluru": (77.59, 12.97, 920), "Ankara": (32.85, 39.93, 938), "Moscow": (37.62, 55.75, 156), "Chicago": (-87.65, 41.88, 181),
    "Winnipeg": (-97.14, 49.90, 240), "Alice Springs": (133.88, -23.70, 545), "Brasilia": (-47.88, -15.79, 1172),
    "Manaus": (-60.02, -3.10, 92), "Cairo": (31.24, 30.04, 23), "Timbuktu": (-3.00, 16.77, 261), "Omsk": (73.37, 54.99, 87),
    "Paris": (2.35, 48.86, 35), "Dead Sea": (35.55, 31.20, -430),
    "Innsbruck": (11.39, 47.27, 574), "Zurich": (8.54, 47.37, 408), "Geneva": (6.15, 46.20, 375), "Chur": (9.53, 46.85, 593),
    "Davos": (9.84, 46.80, 1560), "Sion": (7.36, 46.23, 500), "Bolzano": (11.35, 46.50, 262), "Grenoble": (5.72, 45.19, 212),
    "Salzburg": (13.04, 47.80, 424), "Ljubljana": (14.51, 46.05, 295), "Sarajevo": (18.41, 43.86, 518), "Sofia": (23.32, 42.70, 550),
    "Vienna": (16.37, 48.21, 170), "Prague": (14.42, 50.09, 200), "Warsaw": (21.01, 52.23, 110), "Budapest": (19.04, 47.50, 105),
    "Bucharest": (26.10, 44.43, 80), "Kyiv": (30.52, 50.45, 170), "Minsk": (27.56, 53.90, 220), "Berlin": (13.40, 52.52, 36),
    "Granada": (-3.60, 37.18, 738), "Burgos": (-3.70, 42.34, 859), "Avila": (-4.70, 40.66, 1131), "Seville": (-5.98, 37.39, 10),
    "Andorra la Vella": (1.52, 42.51, 1023), "Toulouse": (1.44, 43.60, 146), "Clermont-Ferrand": (3.09, 45.78, 358),
    "Turin": (7.69, 45.07, 239), "Milan": (9.19, 45.46, 120), "L'Aquila": (13.40, 42.35, 714), "Ioannina": (20.85, 39.66, 480),
    "Lillehammer": (10.46, 61.12, 180), "Roros": (11.38, 62.57, 628), "Kiruna": (20.23, 67.86, 530), "Samara": (50.15, 53.20, 100),
    "Yekaterinburg": (60.60, 56.84, 255), "Novosibirsk": (82.92, 55.03, 150), "Irkutsk": (104.28, 52.29, 440),
    "Yakutsk": (129.73, 62.03, 98), "Chita": (113.50, 52.03, 650), "Kyzyl": (94.45, 51.72, 630), "Almaty": (76.93, 43.25, 800),
    "Bishkek": (74.59, 42.87, 800), "Tashkent": (69.24, 41.31, 455), "Dushanbe": (68.78, 38.56, 790), "Khorog": (71.55, 37.49, 2120),
    "Osh": (72.80, 40.53, 963), "Naryn": (76.00, 41.43, 2044), "Kashgar": (75.99, 39.47, 1289), "Urumqi": (87.62, 43.83, 850),
    "Golmud": (94.90, 36.42, 2809), "Xining": (101.77, 36.62, 2275), "Lanzhou": (103.83, 36.06, 1520), "Chengdu": (104.07, 30.67, 500),
    "Lijiang": (100.23, 26.87, 2400), "Guiyang": (106.63, 26.65, 1100), "Yinchuan": (106.28, 38.47, 1110),
    "Hohhot": (111.65, 40.82, 1065), "Datong": (113.30, 40.08, 1050), "Taiyuan": (112.55, 37.87, 780), "Beijing": (116.40, 39.90, 44),
    "Wuhan": (114.30, 30.59, 37), "Shigatse": (88.88, 29.27, 3840), "Leh": (77.58, 34.16, 3500), "Srinagar": (74.80, 34.08, 1585),
    "Shimla": (77.17, 31.10, 2205), "Dehradun": (78.03, 30.32, 640), "Delhi": (77.21, 28.61, 216), "Pokhara": (83.98, 28.21, 822),
    "Thimphu": (89.64, 27.47, 2320), "Gangtok": (88.61, 27.33, 1650), "Islamabad": (73.05, 33.69, 540), "Gilgit": (74.31, 35.92, 1500),
    "Quetta": (67.00, 30.20, 1680), "Kandahar": (65.71, 31.61, 1010), "Herat": (62.20, 34.34, 920), "Mashhad": (59.57, 36.30, 985),
    "Isfahan": (51.67, 32.66, 1574), "Shiraz": (52.53, 29.61, 1500), "Tabriz": (46.29, 38.08, 1351), "Yerevan": (44.51, 40.18, 990),
    "Tbilisi": (44.79, 41.72, 450), "Erzurum": (41.27, 39.90, 1890), "Konya": (32.48, 37.87, 1016), "Damascus": (36.29, 33.51, 680),
    "Amman": (35.93, 31.95, 780), "Riyadh": (46.72, 24.69, 612), "Sanaa": (44.21, 15.35, 2250), "Taif": (40.42, 21.27, 1879),
    "Hyderabad": (78.47, 17.38, 542), "Pune": (73.86, 18.52, 560), "Nagpur": (79.09, 21.15, 310), "Bhopal": (77.41, 23.26, 500),
    "Chiang Mai": (98.99, 18.79, 310), "Vientiane": (102.63, 17.97, 174), "Da Lat": (108.44, 11.94, 1500), "Bandung": (107.61, -6.91, 768),
    "Fez": (-5.00, 34.03, 410), "Marrakesh": (-8.01, 31.63, 466), "Ouarzazate": (-6.91, 30.92, 1160), "Tamanrasset": (5.53, 22.79, 1377),
    "Agadez": (7.99, 16.97, 500), "Kano": (8.52, 12.00, 481), "Jos": (8.89, 9.90, 1217), "Ouagadougou": (-1.53, 12.37, 305),
    "N'Djamena": (15.04, 12.11, 298), "Khartoum": (32.53, 15.59, 381), "Asmara": (38.93, 15.33, 2325), "Gondar": (37.47, 12.60, 2133),
    "Kampala": (32.58, 0.31, 1190), "Kigali": (30.06, -1.94, 1567), "Dodoma": (35.74, -6.17, 1120), "Arusha": (36.68, -3.37, 1400),
    "Lusaka": (28.28, -15.42, 1279), "Lubumbashi": (27.48, -11.66, 1208), "Harare": (31.05, -17.83, 1490),
    "Lilongwe": (33.78, -13.97, 1050), "Gaborone": (25.91, -24.65, 1010), "Windhoek": (17.08, -22.56, 1655),
    "Bloemfontein": (26.22, -29.12, 1395), "Maseru": (27.48, -29.31, 1600), "Antananarivo": (47.52, -18.91, 1280),
    "Yaounde": (11.52, 3.87, 730), "Bangui": (18.55, 4.37, 369), "Kisangani": (25.20, 0.52, 415), "Huambo": (15.74, -12.78, 1720),
    "Canberra": (149.13, -35.28, 578), "Toowoomba": (151.95, -27.56, 691), "Kalgoorlie": (121.47, -30.75, 370),
    "Mount Isa": (139.49, -20.73, 356), "Birdsville": (139.35, -25.90, 47), "Queenstown": (168.66, -45.03, 330),
    "Taupo": (176.07, -38.69, 370), "Mount Hagen": (144.22, -5.86, 1677), "Wamena": (138.95, -4.10, 1650),
    "Calgary": (-114.07, 51.05, 1045), "Banff": (-115.57, 51.18, 1383), "Edmonton": (-113.49, 53.54, 645), "Regina": (-104.62, 50.45, 577),
    "Whitehorse": (-135.05, 60.72, 670), "Yellowknife": (-114.37, 62.45, 206), "Fairbanks": (-147.72, 64.84, 136),
    "Kamloops": (-120.33, 50.67, 345), "Spokane": (-117.43, 47.66, 562), "Boise": (-116.20, 43.62, 824), "Missoula": (-113.99, 46.87, 978),
    "Helena": (-112.04, 46.59, 1237), "Salt Lake City": (-111.89, 40.76, 1288), "Reno": (-119.81, 39.53, 1373),
    "Las Vegas": (-115.14, 36.17, 610), "Flagstaff": (-111.65, 35.20, 2106), "Phoenix": (-112.07, 33.45, 331),
    "Tucson": (-110.97, 32.22, 728), "Albuquerque": (-106.65, 35.08, 1510), "Santa Fe": (-105.94, 35.69, 2194),
    "El Paso": (-106.49, 31.76, 1140), "Amarillo": (-101.83, 35.20, 1099), "Aspen": (-106.82, 39.19, 2438),
    "Grand Junction": (-108.55, 39.06, 1397), "Cheyenne": (-104.82, 41.14, 1848), "Jackson": (-110.76, 43.48, 1901),
    "Rapid City": (-103.23, 44.08, 976), "Minneapolis": (-93.27, 44.98, 253), "Kansas City": (-94.58, 39.10, 277),
    "Oklahoma City": (-97.52, 35.47, 366), "Springfield": (-93.29, 37.21, 396), "Atlanta": (-84.39, 33.75, 320),
    "Asheville": (-82.55, 35.60, 650), "Pittsburgh": (-80.00, 40.44, 230), "Fresno": (-119.79, 36.74, 94), "Bishop": (-118.40, 37.36, 1264),
    "Guadalajara": (-103.35, 20.67, 1566), "Puebla": (-98.20, 19.04, 2135), "Oaxaca": (-96.72, 17.07, 1555),
    "Chihuahua": (-106.07, 28.64, 1415), "Guatemala City": (-90.52, 14.63, 1500), "Tegucigalpa": (-87.21, 14.09, 990),
    "San Jose": (-84.09, 9.93, 1172), "Medellin": (-75.57, 6.25, 1495), "Cali": (-76.53, 3.44, 1018), "Merida": (-71.14, 8.60, 1600),
    "Cuenca": (-79.00, -2.90, 2550), "Cusco": (-71.97, -13.53, 3399), "Arequipa": (-71.54, -16.40, 2335),
    "Huancayo": (-75.21, -12.07, 3250),
    "La Paz": (-68.15, -16.50, 3640), "Oruro": (-67.11, -17.97, 3710), "Sucre": (-65.26, -19.03, 2790),
    "Cochabamba": (-66.16, -17.39, 2558),
    "Santa Cruz": (-63.18, -17.78, 416), "Salta": (-65.41, -24.79, 1187), "Mendoza": (-68.84, -32.89, 746),
    "Cordoba": (-64.18, -31.42, 390),
    "San Carlos de Bariloche": (-71.31, -41.13, 893), "Santiago": (-70.65, -33.44, 570), "Calama": (-68.93, -22.46, 2260),
    "Asuncion": (-57.58, -25.27, 60), "Sao Paulo": (-46.63, -23.55, 760), "Belo Horizonte": (-43.94, -19.92, 852),
    "Curitiba": (-49.27, -25.43, 934), "Cuiaba": (-56.10, -15.60, 165), "Goiania": (-49.25, -16.68, 749),
    "Rio Branco": (-67.81, -9.97, 153),
    "Nagano": (138.19, 36.65, 371), "Takayama": (137.25, 36.15, 573), "Matsumoto": (137.97, 36.24, 592), "Daegu": (128.60, 35.87, 44),
}  # fmt: skip
"""Longitude, latitude, metres above the sea as published by towns and surveys; the first thirty are those of the tests."""


class Heights:
    """Heights of single places: the geometry network alone, over the fewest pixels that a place depends on."""

    def __init__(self, base: Base, graph: Graph, spec: StageSpec) -> None:
        self._base, self._graph, self._spec = base, graph, spec

    def at(self, longitude: float, latitude: float, seeds: range) -> list[float]:
        """Metres of the base's pixel that the place lies in, then those of the pixel of `LEVEL` by seed."""
        lost, first = self._spec.halo + MARGIN, self._base.finest_level
        column, row = (int(edge) for edge in pixel_from_lonlat(LEVEL, longitude, latitude))
        parts = [(column, row, 1)]
        for _ in range(LEVEL - first):  # windows of the network begin and end at even pixels
            left, top, side = parts[-1]
            parts.append((left // 4 * 2 - lost, top // 4 * 2 - lost, 2 * lost + side // 4 * 2 + 4))
        coarsest = self._coarsest(tile_from_lonlat(first, longitude, latitude), *parts.pop())
        above = self._base.field(tile_from_lonlat(first, longitude, latitude), 0).channel("elevation")
        column, row = (int(edge) % TILE_SIZE for edge in pixel_from_lonlat(first, longitude, latitude))
        steps = [int(above[row, column]), *(self._below(coarsest, parts, seed) for seed in seeds)]
        return [step * ELEVATION_UNIT for step in steps]

    def _coarsest(self, tile: TileId, left: int, top: int, side: int) -> tuple[Window, Rasters]:
        """Elevation, relief, land and water of the base from (left, top)."""
        field = self._base.field(tile, side)
        row, column = top - tile.y * TILE_SIZE + side, left - tile.x * TILE_SIZE + side
        cut = np.s_[row : row + side, column : column + side]
        rasters = [np.ascontiguousarray(field.channel(name)[cut]) for name in ("elevation", "relief", "land", "water")]
        return Window(tile.z, left, top, side), rasters

    def _below(self, coarsest: tuple[Window, Rasters], parts: list[tuple[int, int, int]], seed: int) -> int:
        """Stored height of the single pixel that is the first of `parts` (left, top, side), which are given finest first."""
        stage = LiftingStage(self._graph, self._spec, seed)
        window, rasters = coarsest
        for left, top, side in reversed(parts):
            rasters = self._children(stage, window, *rasters)
            lost = stage.spec.halo + MARGIN
            column, row = (left - 2 * (window.column + lost), top - 2 * (window.row + lost))
            rasters = [np.ascontiguousarray(raster[row : row + side, column : column + side]) for raster in rasters]
            window = Window(window.level + 1, left, top, side)
        return int(rasters[0][0, 0])

    def _children(self, stage: LiftingStage, window: Window, *parents: NDArray[np.int32]) -> Rasters:
        """One step down, in the parents' order."""
        elevation, relief, land, water = parents
        waters = Waters.above(land, water, known_below(self._base, window))
        made = stage.drained(window, elevation, waters, stage.refine(window, elevation, relief, waters, None))
        still = np.kron(water[stage.spec.halo : -stage.spec.halo, stage.spec.halo : -stage.spec.halo], np.ones((2, 2), np.int32))
        known = [interleave(made.elevation), interleave(made.relief), interleave(made.land), still]
        return [raster[2 * MARGIN : -2 * MARGIN, 2 * MARGIN : -2 * MARGIN] for raster in known]


def summary(errors: NDArray[np.float64]) -> dict[str, float]:
    """Median and 90th percentile of the absolute errors, and their mean with sign, in metres."""
    size = np.abs(errors)
    return {
        "median": round(float(np.median(size)), 1),
        "p90": round(float(np.percentile(size, 90)), 1),
        "mean": round(float(errors.mean()), 1),
    }


def measure() -> dict[str, Any]:
    """Errors in metres at all towns and at the first thirty: of the base's own pixels, of every seed, and over all seeds."""
    bundle = networks_bundle()
    spec = StageSpec.from_manifest(bundle.manifest["stages"]["geometry"])
    heights = Heights(open_base("earth", bundle), OnnxCpuRuntime(1).load(bundle.model("geometry")), spec)
    errors = np.array([np.array(heights.at(*town[:2], range(SEEDS))) - town[2] for town in TOWNS.values()])
    figures: dict[str, Any] = {"towns": len(TOWNS), "level": LEVEL}
    for many, rows in (("all towns", errors), ("thirty towns", errors[:30])):
        figures[many] = {"base": summary(rows[:, 0])} | {f"seed {seed}": summary(rows[:, 1 + seed]) for seed in range(SEEDS)}
        figures[many]["all seeds"] = summary(rows[:, 1:])
    return figures
