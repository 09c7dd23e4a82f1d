"""Draw the gallery: `python docs/gallery/make.py [SHEET ...]`.

A sheet has levels 6, 9, 12 and 15 of a place: colour above, hillshade below.
"""

import io
import sys
from pathlib import Path

from PIL import Image

from terraloom_engines.render.overhead import Frame, mosaic, picture
from terraloom_engines.render.places import parse_spot
from terraloom_engines.world import World, open_world

PLACES = (
    "alps", "himalaya", "grand-canyon", "geirangerfjord", "sahara", "great-plains",
    "andes", "amazon", "hawaii", "iceland", "bangladesh", "open-sea",
)  # fmt: skip
SHEETS = {place: ("earth", place) for place in PLACES} | {"plane": ("plane:42", "4500000,1400000")}
"""World and place of each sheet."""
LEVELS = (6, 9, 12, 15)
SIDE = 320
LARGEST = 150_000
"""Bytes: history keeps every copy of a picture."""


def sheet(world: World, where: str) -> Image.Image:
    """The levels of a place side by side."""
    spot = parse_spot(where, world.kind)
    out = Image.new("RGB", (SIDE * len(LEVELS), 2 * SIDE))
    for i, level in enumerate(LEVELS):
        rasters = mosaic(Frame(spot.east, spot.north, level, SIDE, SIDE, spot.kind), world.field)
        out.paste(picture(rasters, "colour"), (i * SIDE, 0))
        out.paste(picture(rasters, "hillshade"), (i * SIDE, SIDE))
    return out


def jpeg(image: Image.Image) -> bytes:
    """The best picture that is small enough."""
    for quality in range(88, 40, -4):
        image.save(out := io.BytesIO(), "JPEG", quality=quality, optimize=True)
        if out.tell() <= LARGEST:
            break
    return out.getvalue()


def main() -> None:
    """Draw the named sheets, or all."""
    names, worlds = sys.argv[1:] or list(SHEETS), dict[str, World]()
    if unknown := [name for name in names if name not in SHEETS]:
        sys.exit(f"error: there is no sheet {unknown[0]!r}: allowed are {', '.join(SHEETS)}")
    for name in names:
        world, where = SHEETS[name]
        worlds[world] = worlds.get(world) or open_world(world)
        path = Path(__file__).parent / f"{name}.jpg"
        path.write_bytes(jpeg(sheet(worlds[world], where)))
        print(path, flush=True)


if __name__ == "__main__":
    main()
