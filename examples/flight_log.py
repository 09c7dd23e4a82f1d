"""Fly from pose to pose and log the tiles to draw at each: `flight_log.py ADDRESS [POSES.csv [WORLD]]`.

Poses over a plane have the columns x, y and height.

sdk/cpp/examples/flight_log.cpp logs the same, byte for byte.
"""

import csv
import sys
from collections.abc import Iterable
from dataclasses import replace

from terraloom import Client, ContentOptions, Credit, PlaneView, ScreenSpaceError, StreamOptions, View, connect

# Over the Alps and down: degrees, metres above mean sea level.
FLIGHT = """\
longitude,latitude,height
7.66,45.98,60000
11.0,47.0,20000
9.0,46.9,3000
"""
OPTIONS = StreamOptions(
    selection=ScreenSpaceError(target_pixels=256),
    max_level=8,
    content=ContentOptions(segments=32),
    credit=Credit(tiles=4),
)


def views(lines: Iterable[str]) -> list[View | PlaneView]:
    """The poses of a CSV file with the columns of FLIGHT, or x, y and height in metres on a plane."""
    header, *rows = csv.reader(lines)
    view = View.on_plane if header[0] == "x" else View
    return [view(*map(float, row)) for row in rows]


def fly(client: Client, path: list[View | PlaneView]) -> None:
    """Print the tiles drawn at each view, what a barrier says at the end, and what comes when a new session flies the path again."""
    with client.stream(path[0], OPTIONS) as stream:
        for number, view in enumerate(path, start=1):
            stream.move(view)
            stream.settle(timeout=60)
            print("view", number)
            for tile in sorted(stream.visible):
                print(tile, stream.held[tile].hex())
        barrier = client.barrier(stream.session.session_id)
        print(f"received {stream.counters.tiles}, barrier {barrier.tiles} {barrier.world_hash.hex()}")

    with client.stream(path[0], replace(OPTIONS, have=stream.held)) as again:
        for view in path:
            again.move(view)
            again.settle(timeout=60)
        print(f"received again {again.counters.tiles}, drawn {len(again.visible)}")


def main(address: str, poses: str = "", world: str = "") -> None:
    """Fly over a world of the server at `address`, its default one unless named."""
    lines = FLIGHT.splitlines()
    if poses:
        with open(poses, newline="") as file:
            lines = file.readlines()
    with connect(address, world) as client:
        client.wait_ready()
        fly(client, views(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
