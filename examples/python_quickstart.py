"""One tile, a few heights, then the tiles of a moving viewpoint: `python_quickstart.py ADDRESS`."""

import sys

from terraloom import ScreenSpaceError, StreamOptions, View, connect


def main(address: str) -> None:
    """Ask the server at `address`."""
    options = StreamOptions(ScreenSpaceError(target_pixels=256), max_level=7)  # coarse, so that this is quick
    with connect(address) as client:
        client.wait_ready()
        tile = client.get_tile(7, 66, 45)  # level, column, row
        print(tile.id, tile.mesh().positions.shape, f"{tile.min_height:.0f} to {tile.max_height:.0f} m")

        heights = client.sample_heights([(7.66, 45.98), (8.0, 46.5)], level=7)  # longitude, latitude
        print("heights:", ", ".join(f"{height:.0f} m" for height in heights))

        with client.stream(View(7.66, 45.98, 60_000), options) as stream:
            for height in (60_000, 30_000):
                stream.move(View(7.66, 45.98, height))
                tiles = stream.settle(timeout=60)
                print(f"at {height} m {len(tiles)} tiles came, {len(stream.visible)} are drawn")


if __name__ == "__main__":
    main(*sys.argv[1:])
