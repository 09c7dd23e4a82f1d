"""Does relief survive eleven levels? Generated land beside the slopes of real land of the same place and pixel size, which are known here.

`chain.py` looks at the same with the DEMs themselves, which a checkout does not have.
"""

from typing import Any

from benchmarks import chain
from terraloom_engines.world import open_world

REAL = {
    "Alps": ((8.5, 46.5), 27.0, 45.0, 90), "Everest": ((86.5, 27.6), 25.0, 43.0, 90), "Idaho ranges": ((-113.6, 43.9), 16.0, 39.0, 30),
    "Ozarks": ((-92.7, 38.15), 6.0, 15.0, 30), "Texas plains": ((-97.33, 32.67), 1.1, 3.2, 90),
}  # fmt: skip
"""Place (longitude, latitude), real median and 95th percentile of slope in degrees, and the metres per pixel they were measured at."""


def measure() -> dict[str, Any]:
    """The figures of generated land by region and level, and its slopes over those of real land at the real land's pixel size."""
    world, out = open_world("earth"), {}
    for region, (place, median, high, metres) in REAL.items():
        made, truth = chain.generated(world.field, place), {"metres": metres, "slope_median": median, "slope_p95": high}
        out[region] = {"real": truth, "generated": made, "beside real": chain.beside(made, [truth])}
    return out
