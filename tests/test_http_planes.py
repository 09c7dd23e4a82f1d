"""Implicit tilesets of planes: binary subtrees as the specification has them, boxes that hold their tiles."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from terraloom import connect
from terraloom.testing import ServerAddress
from terraloom_engines.implicit import LEVELS, ROOT_LEVEL, SUBTREE_LEVELS, address, roots_round
from terraloom_engines.tiling import TileId, WorldKind, plane_bounds
from web import ask, get, placed_vertices

WORLD = "/plane:5"


def read_subtree(data: bytes) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """JSON and boxes, shape (tiles, 12), of a binary subtree (3D Tiles 1.1, section 8.6)."""
    magic, version, json_length, binary_length = struct.unpack_from("<4sIQQ", data)
    assert (magic, version) == (b"subt", 1)
    assert json_length % 8 == 0 and binary_length % 8 == 0 and len(data) == 24 + json_length + binary_length
    document = json.loads(data[24 : 24 + json_length])
    return document, np.frombuffer(data[24 + json_length :], "<f8").reshape(-1, 12)


def derived(box: list[float], level: int, x: int, y: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle and half sizes, east and north, of the box that implicit tiling derives from the root's."""
    half = np.array([box[3], box[7]]) / 2**level
    corner = np.array(box[:2]) - np.array([box[3], box[7]])
    return corner + half * (2 * np.array([x, y]) + 1), half


def test_a_plane_is_tiled_implicitly_below_four_roots_round_the_place(server: ServerAddress) -> None:
    tileset = get(server.http, f"{WORLD}/tileset.json?x=-3000000&y=123456.5&texture=none").json
    assert len(tileset["root"]["children"]) == 4 and "transform" not in tileset["root"]
    sides = []
    for root in tileset["root"]["children"]:
        tiling = root["implicitTiling"]
        assert (tiling["subdivisionScheme"], tiling["subtreeLevels"], tiling["availableLevels"]) == ("QUADTREE", SUBTREE_LEVELS, LEVELS)
        assert LEVELS % SUBTREE_LEVELS == 0 and "texture=none" in root["content"]["uri"]
        column, row = map(int, root["content"]["uri"].split("/")[1:3])
        west, south, east, north = plane_bounds(TileId(ROOT_LEVEL, column, row, WorldKind.PLANE))
        assert root["transform"][12:14] == [(west + east) / 2 + 3000000, (south + north) / 2 - 123456.5]
        sides.append((west + 3000000, south - 123456.5, east + 3000000, north - 123456.5))
    west, south, east, north = np.min(sides, axis=0)[:2].tolist() + np.max(sides, axis=0)[2:].tolist()
    assert max(west, south) <= -1e6 and min(east, north) >= 1e6


def test_subtrees_hold_the_boxes_of_their_tiles_in_morton_order(server: ServerAddress) -> None:
    root = get(server.http, f"{WORLD}/tileset.json?texture=none").json["root"]["children"][1]
    base, whole = root["content"]["uri"].split("/tiles/")[0], root["boundingVolume"]["box"]
    document, boxes = read_subtree(get(server.http, f"{WORLD}/{base}/subtrees/0/0/0.subtree").body)
    assert document["tileAvailability"] == document["childSubtreeAvailability"] == {"constant": 1}
    assert document["contentAvailability"] == [{"constant": 1}] and document["propertyTables"][0]["count"] == len(boxes) == 21
    index = 0
    for level in range(SUBTREE_LEVELS):
        for morton in range(4**level):
            x = sum((morton >> 2 * bit & 1) << bit for bit in range(level))
            y = sum((morton >> 2 * bit + 1 & 1) << bit for bit in range(level))
            middle, half = derived(whole, level, x, y)
            box = boxes[index]
            assert np.array_equal(box[:2], middle) and np.array_equal(box[[3, 7]], half)
            assert whole[2] - whole[11] <= box[2] - box[11] and box[2] + box[11] <= whole[2] + whole[11]
            if index in (0, 2):
                east, north, up = placed_vertices(get(server.http, f"{WORLD}/{base}/tiles/{level}/{x}/{y}.glb?texture=none").body).T
                assert np.abs(east - middle[0]).max() <= half[0] and np.abs(north - middle[1]).max() <= half[1]
                assert np.abs(up - box[2]).max() <= box[11] + 0.5
            index += 1


def test_a_plane_may_touch_the_globe(server: ServerAddress) -> None:
    root = get(server.http, f"{WORLD}/tileset.json?lon=8&lat=46").json["root"]
    matrix = np.reshape(root["transform"], (4, 4)).T
    assert np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3)) and 6.36e6 < np.linalg.norm(matrix[:3, 3]) < 6.38e6
    assert ask(f"{server.http}{WORLD}/tileset.json?lon=8").json["field"] == "lat"


def test_heights_of_a_plane_are_asked_for_in_metres(server: ServerAddress) -> None:
    found = get(server.http, f"{WORLD}/heights?x=0,1000000&y=0,-2500000&level=4").json
    with connect(server, world="plane:5") as client:
        expected = client.sample_heights([(0, 0), (1e6, -2.5e6)], level=4)
    assert [point["height"] for point in found["points"]] == list(expected) and found["points"][1]["x"] == 1e6
    assert ask(f"{server.http}{WORLD}/heights?lon=8&lat=46").json["field"] == "y"


def test_rows_of_implicit_tiling_go_north() -> None:
    root = roots_round(0.0, 0.0)[0]
    south_west, north_east = address(root, 2, 0, 0), address(root, 2, 3, 3)
    assert plane_bounds(south_west)[:2] == plane_bounds(root)[:2] and plane_bounds(north_east)[2:] == plane_bounds(root)[2:]


@pytest.mark.parametrize(
    "path",
    [
        f"{WORLD}/local/0/0/subtrees/1/0/0.subtree",
        f"{WORLD}/local/0/0/subtrees/15/0/0.subtree",
        f"{WORLD}/local/0/0/tiles/2/4/0.glb",
        f"{WORLD}/local/{10**19}/0/tiles/2/0/0.glb",
        f"{WORLD}/subtrees/4/0/0.json",
        "/earth/local/0/0/tiles/0/0/0.glb",
        f"{WORLD}/tileset.json?x=1e30",
        f"{WORLD}/tileset.json?y=up",
        f"{WORLD}/tilejson.json",
    ],
)
def test_what_a_plane_has_not_is_refused_in_one_sentence(server: ServerAddress, path: str) -> None:
    answer = ask(server.http + path)
    assert answer.status in (400, 404, 501) and answer.headers["content-type"] == "application/problem+json"
