"""Slippy maps over HTTP: heights that decode exactly, and readers that nobody here wrote."""

import io
import math
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from terraloom import connect
from terraloom.testing import ServerAddress
from terraloom_engines.field import ELEVATION_UNIT
from terraloom_engines.maps import FORMATS, terrain_rgb, terrarium
from terraloom_engines.mesh import surface_elevation
from terraloom_engines.texture import surface_colour
from terraloom_engines.tiling import EQUATOR, TileId
from terraloom_engines.world import open_world
from web import ask, get

TILE = TileId(4, 8, 5)
GDAL = """<GDAL_WMS><Service name="TMS"><ServerUrl>{url}</ServerUrl></Service>
<DataWindow><UpperLeftX>-{half}</UpperLeftX><UpperLeftY>{half}</UpperLeftY><LowerRightX>{half}</LowerRightX><LowerRightY>-{half}</LowerRightY>
<TileLevel>4</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY><YOrigin>top</YOrigin></DataWindow>
<Projection>EPSG:3857</Projection><BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY><BandsCount>3</BandsCount></GDAL_WMS>"""
"""The description of an XYZ layer that GDAL's documentation gives for tile servers."""


def pixels(data: bytes) -> NDArray[np.int64]:
    """A picture as numbers, shape (rows, columns, bands)."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int64)


def test_heights_decode_to_those_of_the_world(server: ServerAddress) -> None:
    steps = surface_elevation(open_world("earth").field(TILE).crop(0))
    red, green, blue = np.moveaxis(pixels(get(server.http, f"/earth/terrarium/{TILE}.png").body), -1, 0)
    assert np.array_equal(red * 256 + green + blue / 256 - 32768, steps * ELEVATION_UNIT)
    red, green, blue = np.moveaxis(pixels(get(server.http, f"/earth/terrain-rgb/{TILE}.png").body), -1, 0)
    assert np.abs(-10000 + 0.1 * (red * 65536 + green * 256 + blue) - steps * ELEVATION_UNIT).max() <= 0.05 + 1e-9


@pytest.mark.parametrize("metres", [-10_000.0, -0.015625, 0.0, 8848.0, 12_345.671875])
def test_encodings_keep_extreme_heights(metres: float) -> None:
    steps = np.array([[round(metres / ELEVATION_UNIT)]], np.int32)
    r, g, b = (int(value) for value in terrarium(steps)[0, 0])
    assert r * 256 + g + b / 256 - 32768 == metres
    r, g, b = (int(value) for value in terrain_rgb(steps)[0, 0])
    assert abs(-10000 + 0.1 * (r * 65536 + g * 256 + b) - metres) <= 0.05 + 1e-9


def test_imagery_is_the_colour_of_the_world_and_lossless_as_png(server: ServerAddress) -> None:
    expected = surface_colour(open_world("earth").field(TILE).crop(0)).astype(np.int64)
    assert np.array_equal(pixels(get(server.http, f"/earth/imagery/{TILE}.png").body), expected)
    for lossy in ("webp", "jpg"):
        assert np.abs(pixels(get(server.http, f"/earth/imagery/{TILE}.{lossy}").body) - expected).mean() < 4
    shade = pixels(get(server.http, f"/earth/hillshade/{TILE}.png").body)
    assert shade.std() > 3 and np.abs(pixels(get(server.http, f"/earth/hillshade/{TILE}.webp").body) - shade).mean() < 6


@pytest.mark.parametrize("layer", FORMATS)
def test_tilejson_leads_to_tiles(server: ServerAddress, layer: str) -> None:
    document = get(server.http, f"/earth/tilejson.json?layer={layer}").json
    assert document["tilejson"] == "3.0.0" and document["scheme"] == "xyz" and document["attribution"]
    assert (document["minzoom"], document["maxzoom"]) == (0, 18) and document["bounds"][2] == 180
    template = document["tiles"][0]
    answer = ask(template.format(z=2, x=1, y=1))
    assert answer.status == 200 and "immutable" in answer.headers["cache-control"] and answer.headers["content-type"].startswith("image/")
    assert document.get("encoding") == {"terrain-rgb": "mapbox", "terrarium": "terrarium"}.get(layer)


def test_heights_of_places_are_those_of_the_stream(server: ServerAddress) -> None:
    found = get(server.http, "/earth/heights?lon=8,-155.6,180&lat=46,19.9,-16.6&level=4").json
    with connect(server) as client:
        expected = client.sample_heights([(8, 46), (-155.6, 19.9), (180, -16.6)], level=4)
    assert [point["height"] for point in found["points"]] == list(expected)
    assert found["level"] == 4 and found["surface"] == "ground_or_water"


def test_gdal_reads_the_tiles(server: ServerAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    rasterio = pytest.importorskip("rasterio", reason="GDAL comes with rasterio: pip install 'terraloom[raster]'")
    with rasterio.Env() as environment:
        if "WMS" not in environment.drivers():
            pytest.skip("the GDAL of this rasterio has no WMS driver, which reads tile servers")
    monkeypatch.setenv("NO_PROXY", urlsplit(server.http).hostname or "")
    url = f"{server.http}/earth/terrarium/${{z}}/${{x}}/${{y}}.png"
    with rasterio.open(GDAL.format(url=url, half=EQUATOR / 2)) as dataset:
        assert dataset.crs.to_epsg() == 3857 and (dataset.width, dataset.height) == (4096, 4096)
        read = dataset.read(window=((256 * TILE.y, 256 * (TILE.y + 1)), (256 * TILE.x, 256 * (TILE.x + 1))))
        row, column = dataset.index(EQUATOR * 8 / 360, EQUATOR / math.tau * math.asinh(math.tan(math.radians(46.0))))
    assert np.array_equal(np.moveaxis(read, 0, -1), pixels(get(server.http, f"/earth/terrarium/{TILE}.png").body))
    assert (column // 256, row // 256) == (TILE.x, TILE.y)
