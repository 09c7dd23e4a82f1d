"""What the numbers of an elevation file mean: the band's scale and offset, and the unit of its heights."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Heights", "Tell", "heights_of", "metres_per_unit"]

Tell = Callable[[str], None]
"""Told in a line what was understood of a file."""

METRES = {
    1.0: ("m", "metre", "metres", "meter", "meters"),
    0.3048: ("ft", "foot", "feet", "international foot"),
    1200 / 3937: ("us survey foot", "us survey feet", "us-ft", "ftus", "foot_us", "us_survey_foot"),
}
"""Metres per unit, and the names that files have for it, in small letters."""
_VERTICAL_UNIT = re.compile(r'VERT_?C(?:RS|S)\b.*?UNIT\["([^"]+)",\s*([0-9.eE+-]+)', re.DOTALL)
"""Name and metres of the unit in a vertical coordinate reference system, as WKT of either version writes it."""


@dataclass(frozen=True)
class Heights:
    """Heights in `unit`, of `metres` metres, are numbers times `scale` plus `offset`; `metres` is None for a unit that is not known."""

    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    metres: float | None = 1.0


def heights_of(dataset: Any) -> Heights:
    """What rasterio's dataset says of its first band, else of its coordinate reference system; metres where neither says anything."""
    scale, offset, unit = float(dataset.scales[0]), float(dataset.offsets[0]), str(dataset.units[0] or "").strip()
    known = [metres for metres, names in METRES.items() if unit.lower() in names]
    if unit:
        return Heights(scale, offset, unit, known[0] if known else None)
    vertical = _VERTICAL_UNIT.search(dataset.crs.to_wkt())
    return Heights(scale, offset, vertical[1], float(vertical[2])) if vertical else Heights(scale, offset)


def metres_per_unit(heights: Heights, tell: Tell) -> float:
    """Metres per unit of heights, 1 where it is not known; `tell` hears of anything but metres."""
    if heights.metres is None:
        tell(f"heights are in {heights.unit!r}, which is not known, and taken for metres: --vertical-scale sets it")
        return 1.0
    if heights.metres != 1.0:
        tell(f"heights are in {heights.unit!r}: taken times {heights.metres:.7g}, as --vertical-scale does")
    return heights.metres
