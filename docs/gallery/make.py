"""Draw the gallery: `python docs/gallery/make.py [SHEET ...]`.

A sheet has five levels of a place, a zoom (`zoom-PLACE`) has all levels from 6 to 17, centred on the same point: colour above, hillshade
below. The middle half of a picture of a zoom is what the next one shows.
"""

import io
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from terraloom_engines.render.overhead import Frame, mosaic, picture
from terraloom_engines.render.places import Spot, parse_spot
from terraloom_engines.world import World, open_world

PLACES = (
    "alps", "himalaya", "grand-canyon", "geirangerfjord", "sahara", "great-plains",
    "andes", "amazon", "hawaii", "iceland", "bangladesh", "open-sea",
)  # fmt: skip
ZOOMS = ("alps", "himalaya", "grand-canyon", "geirangerfjord", "great-plains", "amazon")
LARGEST = 150_000
"""Bytes: history keeps every copy of a picture."""
LABEL = 12
"""Height of a picture's label in pixels."""


@dataclass(frozen=True)
class Sheet:
    """What is drawn: a place of a world at some levels, pictures of `side` pixels, so many in a row."""

    world: str
    where: str
    levels: tuple[int, ...] = (6, 9, 12, 15, 17)
    side: int = 240
    across: int = 5


SHEETS = (
    {place: Sheet("earth", place) for place in PLACES}
    | {"plane": Sheet("plane:42", "4500000,1400000")}
    | {f"zoom-{place}": Sheet("earth", place, tuple(range(6, 18)), 180, 6) for place in ZOOMS}
)


def level_pictures(world: World, spot: Spot, level: int, side: int) -> tuple[Image.Image, Image.Image]:
    """Colour and hillshade of a level, labelled with the level and its pixel size."""
    rasters = mosaic(Frame(spot.east, spot.north, level, side, side, spot.kind), world.field)
    colour, shade = picture(rasters, "colour"), picture(rasters, "hillshade")
    pen, text = ImageDraw.Draw(colour), f"z {level}: {rasters.metres.mean():.3g} m"
    font = ImageFont.load_default(LABEL)
    pen.rectangle((0, 0, pen.textlength(text, font) + 6, LABEL + 4), "black")
    pen.text((3, 1), text, "white", font)
    return colour, shade


def draw(sheet: Sheet, world: World) -> Image.Image:
    """The levels of a place side by side, in as many rows as they take."""
    spot, side = parse_spot(sheet.where, world.kind), sheet.side
    rows = -(-len(sheet.levels) // sheet.across)
    out = Image.new("RGB", (side * sheet.across, 2 * side * rows))
    for i, level in enumerate(sheet.levels):
        row, column = divmod(i, sheet.across)
        for below, part in enumerate(level_pictures(world, spot, level, side)):
            out.paste(part, (column * side, (2 * row + below) * side))
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
        print(f"error: there is no sheet {unknown[0]!r}: allowed are {', '.join(SHEETS)}", file=sys.stderr)
        sys.exit(2)
    for name in names:
        sheet = SHEETS[name]
        worlds[sheet.world] = worlds.get(sheet.world) or open_world(sheet.world)
        path = Path(__file__).parent / f"{name}.jpg"
        path.write_bytes(jpeg(draw(sheet, worlds[sheet.world])))
        print(path, flush=True)


if __name__ == "__main__":
    main()
