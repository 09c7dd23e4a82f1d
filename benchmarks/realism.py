"""Does generated land look like land? Morphometry of refined real DEMs beside real ones: `python -m benchmarks.realism --data DATA`.

`--all` asks the same of colour (`colours.py`) and of the whole chain of levels (`chain.py`); `--quick` of one region, scene and place.
Every held-out DEM is coarsened 16 and 64 times and refined again by the geometry stage as the cascade runs it, integers and all. The
distances to the truth stand beside those of two disjoint halves of real land of the same region (the floor: what chance and place alone
make) and of the plain answer, bicubic upsampling with fractal noise of the right variance. `--geometry` may name several networks.
"""

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks import machine, morphometry, sheets
from benchmarks.first import earth_of, first_stages
from terraloom_engines.bundle import Bundle, embedded_bundles
from terraloom_engines.cascade import Stages
from terraloom_engines.conservation import interleave
from terraloom_engines.field import ELEVATION_UNIT, LAND_FULL, LOG_UNIT, Field
from terraloom_engines.imagery import ImageryStage
from terraloom_engines.lifting import LiftingStage, Waters
from terraloom_engines.runtimes import Array, Graph, Runtime
from terraloom_engines.runtimes.catalogue import open_runtime, parse
from terraloom_engines.runtimes.onnx_cpu import OnnxCpuRuntime
from terraloom_engines.stages import StageSpec, Window
from terraloom_engines.tiling import TILE_SIZE, TileId, row_ground_sample_distance
from terraloom_engines.training.pyramid import Level, coarser, finest_elevation
from terraloom_engines.training.rasters import data_folder, existing_file, load_pack
from terraloom_engines.world import open_world

REGIONS = {
    "Idaho ranges 30 m": ("dem_misc", "ID_mackay30"), "New South Wales 90 m": ("dem_misc", "SRTM_S36E149"),
    "Baltoro 90 m": ("dem_misc", "SRTM_baltoro"), "Texas plains 90 m": ("dem_misc", "TX_plains90"),
}  # fmt: skip
"""Held-out land: no network is trained on it."""
TIMES = (16, 64)
SLOPE = -4.2
"""Exponent of the plain answer's noise: that of the power density of the held-out regions is -4.1, -4.1, -5.2 and -4.1."""
SHIPPED = "shipped"
"""Name of the geometry network that is judged where none is named."""
AIM = 1.25
"""Of geomorphons, slope, curvature and spectral slope: distance over the floor."""
Raster = NDArray[np.float64]
Maker = Callable[[Level, int], Raster]
"""A coarse level and how many times finer it is to be, to heights in metres."""


def window_at(gsd: float, side: int) -> Window:
    """A window of the Mercator square whose children have nearly that many metres a pixel: the level and the row where it is so."""
    level = next(level for level in range(30) if row_ground_sample_distance(level + 1, TILE_SIZE << level) <= gsd * 2**0.5)
    rows = TILE_SIZE << level
    share = min(1.0, 2 * gsd / row_ground_sample_distance(level, rows // 2))
    northing = math.acosh(1 / share)
    return Window(level, 0, round(rows * (1 - northing / math.pi) / 2) - side // 2, side)


def refined(stage: LiftingStage, coarse: Level, times: int, halo: int) -> Raster:
    """Heights (metres) of a level refined `times` finer, reflected at its rim."""
    pad = 2 * halo
    elevation = np.pad(np.rint(coarse.mean[0] / ELEVATION_UNIT).astype(np.int32), pad, mode="reflect")
    relief = np.pad(np.rint(np.log2(coarse.spread) / LOG_UNIT).astype(np.int32), pad, mode="reflect")
    gsd, margin = coarse.gsd, pad
    for _ in range(int(math.log2(times))):
        gsd /= 2
        rows, columns = elevation.shape
        side = max(rows, columns) + (max(rows, columns) & 1)
        squares = [np.pad(raster, ((0, side - rows), (0, side - columns)), mode="edge") for raster in (elevation, relief)]
        dry = Waters(np.full((side, side), LAND_FULL, np.int32), np.zeros((side, side), np.int32), None)
        window = window_at(gsd, side)
        children = stage.drained(window, squares[0], dry, stage.refine(window, *squares, dry, None))
        keep = np.s_[: 2 * (rows - 2 * halo), : 2 * (columns - 2 * halo)]
        elevation, relief = interleave(children.elevation)[keep], interleave(children.relief)[keep]
        margin = 2 * (margin - halo)
    inner = slice(margin, -margin)
    return elevation[inner, inner].astype(np.float64) * ELEVATION_UNIT


def fractal(coarse: Level, times: int, rng: np.random.Generator) -> Raster:
    """The plain answer: bicubic upsampling and noise of a power law with the variance that the coarse pixels hold."""
    smooth = ndimage.zoom(coarse.mean[0].astype(np.float64), times, order=3, mode="nearest", grid_mode=True)
    radius = np.hypot(np.fft.fftfreq(smooth.shape[0])[:, None], np.fft.rfftfreq(smooth.shape[1])[None, :])
    power = np.where(radius > 0.5 / times, np.maximum(radius, 1e-6) ** (SLOPE / 2), 0)
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(smooth.shape)) * power, smooth.shape)
    spread = ndimage.zoom(coarse.spread.astype(np.float64), times, order=1, mode="nearest", grid_mode=True)
    inside = smooth - np.kron(coarse.mean[0], np.ones((times, times)))
    left = np.sqrt(np.maximum(spread**2 - inside.var(), 0.1 * spread**2))
    return smooth + noise / noise.std() * left


def floor_distances(real: Raster, gsd: float) -> dict[str, float]:
    """Between disjoint halves of the same land, both ways of halving it, averaged."""
    rows, columns = real.shape[0] // 2, real.shape[1] // 2
    pairs = [(real[:rows], real[rows : 2 * rows]), (real[:, :columns], real[:, columns : 2 * columns])]
    found = [morphometry.distances(*pair, gsd) for pair in pairs]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def lattice(height: Raster) -> dict[str, float]:
    """What a grid would leave: 1 everywhere on real land, or what real land has."""
    return {"axis_ratio": morphometry.axis_ratio(height)} | {
        f"{name}_{n}": measure(height, n)
        for name, measure in (("grid", morphometry.grid_ratio), ("peak", morphometry.stride_peak))
        for n in (2, 4, 8, 16)
    }


def hillshade(height: Raster, gsd: float) -> NDArray[np.uint8]:
    """Light from the north-west, 45 degrees high."""
    south, east = np.gradient(height, gsd)
    light = (1 + (east + south) * 2**-0.5) / np.sqrt(1 + east**2 + south**2) * 2**-0.5
    return np.clip(light * 200 + 20, 0, 255).astype(np.uint8)


def region_figures(real: Level, makers: dict[str, Maker], times: int) -> tuple[dict[str, Any], list[NDArray[np.uint8]]]:
    """Distances and lattice of every maker on one region, and the hillshades: real first."""
    rows, columns = (n // times * times for n in real.mean.shape[1:])
    cut = Level(real.mean[:, :rows, :columns], real.spread[:rows, :columns], real.valid[:rows, :columns], real.gsd)
    coarse = cut
    for _ in range(int(math.log2(times))):
        coarse = coarser(coarse)
    truth = cut.mean[0].astype(np.float64)
    figures: dict[str, Any] = {"floor": floor_distances(truth, cut.gsd), "lattice of real land": lattice(truth)}
    shades = [hillshade(truth, cut.gsd)]
    for name, make in makers.items():
        made = make(coarse, times)[:rows, :columns]
        figures[name] = morphometry.distances(made, truth, cut.gsd) | lattice(made)
        shades.append(hillshade(made, cut.gsd))
    return figures, shades


def maker(stage: LiftingStage) -> Maker:
    """What a geometry stage makes of a coarse level."""
    return lambda coarse, times: refined(stage, coarse, times, stage.spec.halo)


class AnySide:
    """A network on a runtime that takes windows of one size: loaded anew for each."""

    def __init__(self, model: bytes, runtime: Runtime) -> None:
        self._model, self._runtime, self._graphs = model, runtime, dict[int, Graph]()

    def run(self, inputs: Mapping[str, Array]) -> Array:
        """As every graph does."""
        side = inputs["noise"].shape[-1]
        if side not in self._graphs:
            self._graphs[side] = self._runtime.load(self._model, side)
        return self._graphs[side].run(inputs)


def stages_of(networks: list[Path], runtimes: Sequence[str] = (), kinks: float | None = None) -> dict[str, Stages]:
    """The first version, and the named geometry networks or the shipped one with the shipped imagery; each on onnx-cpu, or on the runtimes.

    `kinks` is that of the named networks' stages (see `StageSpec`): 0 for what is trained now, the bundle's by default.
    """
    bundle = Bundle.open(embedded_bundles()["earth"])
    specs = {name: StageSpec.from_manifest(entry) for name, entry in bundle.manifest["stages"].items()}
    spec = specs["geometry"] if kinks is None else replace(specs["geometry"], kinks=kinks)
    imagery = ImageryStage(OnnxCpuRuntime(1).load(bundle.model("imagery")), specs["imagery"], 0)
    apart = len({path.stem for path in networks}) == len(networks)
    models = {path.stem if apart else str(path.with_suffix("")): path.read_bytes() for path in networks}
    models = models or {SHIPPED: bundle.model("geometry")}
    graphs: dict[str, Graph] = {}
    for name, model in models.items():
        if not runtimes:
            graphs[name] = OnnxCpuRuntime(1).load(model)
        for runtime in runtimes:
            graphs[f"{name} on {runtime}"] = AnySide(model, open_runtime(parse(runtime), 1))
    return {"v0": first_stages()} | {name: Stages(LiftingStage(graph, spec, 0), imagery) for name, graph in graphs.items()}


def makers_of(stages: Mapping[str, Stages]) -> dict[str, Maker]:
    """The plain answer, and every geometry stage."""
    rng = np.random.default_rng(4)
    makers: dict[str, Maker] = {"bicubic + fractal": lambda coarse, times: fractal(coarse, times, rng)}
    return makers | {name: maker(each.lifting) for name, each in stages.items()}


def measure(
    data: Path, makers: dict[str, Maker], tell: Callable[[str, list[NDArray[np.uint8]]], object], *, quick: bool = False
) -> dict[str, Any]:
    """All regions and coarsenings; keys are region, times, maker, statistic. `tell` gets each one's name and hillshades: real first.

    The last region alone if `quick`.
    """
    out: dict[str, Any] = {}
    for region, (pack_name, key) in list(REGIONS.items())[-1 if quick else 0 :]:
        pack = load_pack(data, pack_name)
        entry = next(entry for entry in pack["meta"]["index"] if entry["key"] == key)
        metres = pack[key].astype(np.float32) * np.float32(entry["unit_m"])
        real = finest_elevation(metres, entry["mpp"], entry["unit_m"], np.ones(metres.shape, bool))
        for times in TIMES:
            if min(metres.shape) < 8 * times:
                continue
            figures, shades = region_figures(real, makers, times)
            out[f"{region}, {times}x"] = figures
            tell(f"{region}, {times}x", shades)
    return out


def summary(figures: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Geometric mean over regions of every maker's distances, in units of the floor."""
    makers = [name for name in next(iter(figures.values())) if name not in ("floor", "lattice of real land")]
    out = {}
    for maker in makers:
        ratios = {
            name: [max(region[maker][name], 1e-6) / max(region["floor"][name], 1e-6) for region in figures.values()]
            for name in next(iter(figures.values()))["floor"]
        }
        out[maker] = {name: round(float(np.exp(np.mean(np.log(values)))), 2) for name, values in ratios.items()}
        for name in next(iter(figures.values()))["lattice of real land"]:
            over = [region[maker][name] / region["lattice of real land"][name] for region in figures.values()]
            out[maker][f"{name} over real"] = round(float(np.exp(np.mean(np.log(over)))), 2)
    return out


def aims(figures: dict[str, Any], summary: dict[str, dict[str, float]]) -> list[str]:
    """One line for each aim: the mean over regions of the network judged last, and the regions where it is farther than that."""
    titles = {"geomorphons": "geomorphons", "slope_degrees": "slope", "curvature": "curvature", "psd_slope": "spectral slope"}
    name, lines = list(summary)[-1], []
    for key, title in titles.items():
        ratios = {case: region[name][key] / max(region["floor"][key], 1e-6) for case, region in figures.items()}
        far = [f"{case} {ratio:.2f}" for case, ratio in ratios.items() if ratio > AIM]
        met = "met" if summary[name][key] <= AIM else "missed"
        lines.append(f"{title} of {name}: {summary[name][key]} of the floor, aim {AIM} {met}; beyond it: {', '.join(far) or 'none'}")
    return lines


def worlds_of(stages: Mapping[str, Stages]) -> dict[str, Callable[[TileId], Field]]:
    """What gives each one's fields of Earth; the shipped one's are those that the package serves."""
    return {name: open_world("earth").field if name == SHIPPED else earth_of(each, name).field for name, each in stages.items()}


def judge(given: argparse.Namespace) -> dict[str, Any]:
    """The report that the command line asks for; sheets of pictures are written if it names a folder."""
    lands: dict[str, list[NDArray[np.uint8]]] = {}
    scenes: dict[str, list[NDArray[np.uint8]]] = {}
    stages = stages_of(given.geometry, given.runtime, given.kinks)
    makers = makers_of(stages)
    figures = measure(given.data, makers, lands.__setitem__, quick=given.quick)
    means = summary(figures)
    report: dict[str, Any] = {"machine": machine.describe(), "aims": aims(figures, means), "land, in units of the floor": means}
    details: dict[str, Any] = {"regions": figures}
    if given.all or given.quick:
        from benchmarks import chain, colours  # they import this module

        def keep(name: str, images: list[Raster]) -> None:
            scenes[name] = [np.clip(image, 0, 255).astype(np.uint8).transpose(1, 2, 0) for image in images]

        details["scenes"] = colours.measure(given.data, colours.makers_of(stages), keep, quick=given.quick)
        report["colour, in units of the floor"] = colours.summary(details["scenes"])
        details["chain"] = chain.measure(given.data, worlds_of(stages), quick=given.quick)
        report["chain, beside real land"] = chain.summary(details["chain"])
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
        report["real ones of the pairs"] = write_sheets(given.pictures, lands, scenes, list(stages))
    return report | details


def main() -> None:
    """Command line: prints the summary, writes everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=data_folder, required=True, help="folder of the training packs")
    parser.add_argument("--geometry", type=existing_file, action="append", default=[], help="network to judge (ONNX); may be repeated")
    parser.add_argument("--kinks", type=float, help="share of kinks that is mended in named networks: 0 for those of degree 6")
    parser.add_argument("--runtime", action="append", default=[], help="NAME or NAME:PRECISION; may be repeated; default onnx-cpu")
    parser.add_argument(
        "--all", action="store_true", help="colour and the whole chain of levels too; writes the result's file of this machine"
    )
    parser.add_argument("--quick", action="store_true", help="one region, one scene, one place")
    parser.add_argument("--pictures", type=Path, help="folder for sheets: real, then every maker; and pairs without labels")
    parser.add_argument(
        "--out", type=Path, help="JSON of all figures; default with --all for what ships: benchmarks/results/realism-MACHINE.json"
    )
    given = parser.parse_args()
    report = judge(given)
    print(json.dumps({name: part for name, part in report.items() if name not in ("regions", "scenes", "chain")}, indent=1))
    out = given.out
    if out is None and given.all and not (given.geometry or given.runtime or given.quick):
        out = Path(__file__).parent / "results" / f"realism-{machine.name()}.json"
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n")


def write_sheets(folder: Path, lands: dict[str, list[Any]], scenes: dict[str, list[Any]], names: list[str]) -> list[str]:
    """Sheets of land and of colour, and pairs of both without labels, whose key is returned."""
    sheets.save(sheets.sheet(lands, ["real", "bicubic + fractal", *names]), folder / "realism-land.jpg")
    if scenes:
        sheets.save(sheets.sheet(scenes, ["real", "bicubic + noise", *names]), folder / "realism-colour.jpg")
    both = {name: (pictures[0], pictures[-1]) for name, pictures in (lands | scenes).items()}
    picture, key = sheets.pairs(both, seed=7)
    sheets.save(picture, folder / "realism-pairs.jpg")
    return key


if __name__ == "__main__":
    main()
