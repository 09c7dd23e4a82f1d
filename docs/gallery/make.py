"""Draw the gallery: `python docs/gallery/make.py [PLACE ...]`. One sheet a place: colour above, hillshade below, levels 6, 10 and 14."""

import sys
from pathlib import Path

from PIL import Image

from terraloom_engines.render.overhead import Frame, mosaic, picture
from terraloom_engines.render.places import PLACES, Place
from terraloom_engines.world import open_world

SHEETS = ("alps", "himalaya", "grand-canyon", "geirangerfjord", "sahara", "great-plains")
LEVELS = (6, 10, 14)
SIDE = 400


def sheet(place: Place) -> Image.Image:
    """The three levels of a place side by side."""
    world = open_world("earth")
    out = Image.new("RGB", (SIDE * len(LEVELS), 2 * SIDE))
    for i, level in enumerate(LEVELS):
        rasters = mosaic(Frame(place.longitude, place.latitude, level, SIDE, SIDE), world.field)
        out.paste(picture(rasters, "colour"), (i * SIDE, 0))
        out.paste(picture(rasters, "hillshade"), (i * SIDE, SIDE))
    return out


def main() -> None:
    """Draw the named places, or all."""
    for name in sys.argv[1:] or SHEETS:
        path = Path(__file__).parent / f"{name}.jpg"
        sheet(PLACES[name]).save(path, quality=88)
        print(path)


if __name__ == "__main__":
    main()
