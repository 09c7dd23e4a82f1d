"""Draw the level below the base in mountains by what pictures show: the real valleys of 5 to 10 km, instead of invented ones.

Natural Earth II has mountains at 5 km in its painted shading, twice as fine as the base. Beside the heights of the base it tells most of
what is inside its pixels: a linear fit to 8 by 8 of its pixels and 7 by 7 of true heights explains 0.76 of the variance of west-east
details at 5 km on rough land, 0.79 of north-south ones. So a network of `sharpening`'s kind draws the three Haar details of every base
pixel where land is rough, from the sharpened heights and both pictures; it learns by the same proper score from a grid of 2.4 km of which
nothing is shipped. What it draws goes into the base as small integers (`Base.details`).

    python -m terraloom_engines.training.mountains --data DATA --prior PRIOR.npz --heights HEIGHTS.npz --out DETAILS.npz
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from terraloom_engines.bundle.earth import KNOWN_FROM
from terraloom_engines.field import LOG_UNIT
from terraloom_engines.training.base_grid import SIDE, Raster
from terraloom_engines.training.commands import parser_of, prepared
from terraloom_engines.training.objective import child_raster
from terraloom_engines.training.rasters import archive_of, load_pack
from terraloom_engines.training.relief_prior import Prior
from terraloom_engines.training.samples import haar_details
from terraloom_engines.training.sharpening import (
    Evidence,
    Task,
    drawn_metres,
    evidence,
    held_out,
    trained,
    unit_of,
)

LARGEST = 4.0
"""Units by which a child may be off its parent at most, to be learnt from."""
RIM = 2
"""Pixels at the rim of a true tile that are not learnt from."""


def finer(values: Tensor) -> Tensor:
    """Pixels (N, C, h, w) repeated to (N, C, 2h, 2w)."""
    return functional.interpolate(values, scale_factor=2.0)


def deviations(batch: dict[str, Tensor]) -> Tensor:
    """Of true children from the mean of their block, in units of their parent, (N, 1, 2h, 2w)."""
    children = batch["children"]
    return ((children - finer(functional.avg_pool2d(children, 2))) / finer(unit_of(batch["relief"]))).clamp(-LARGEST, LARGEST)


DETAILS = Task(3, child_raster, deviations, lambda batch: finer(batch["mask"]))
"""West-east, north-south and diagonal details of every pixel of the base."""


def true_children(data: Path) -> tuple[Raster, NDArray[np.bool_]]:
    """Heights of level 5 where the training folder has them (2n, 2n), and the pixels of the base that lie inside (n, n)."""
    pack = load_pack(data, "earth_2km_land")
    heights, known = np.zeros((2 * SIDE, 2 * SIDE), np.float32), np.zeros((SIDE, SIDE), bool)
    for row, column, _ in pack["meta"]["tiles"]:
        tile = pack[f"r{row}_c{column}"].astype(np.float32)
        side = len(tile) // 2
        heights[row // 2 : row // 2 + side, column // 2 : column // 2 + side] = tile.reshape(side, 2, side, 2).mean(axis=(1, 3))
        top, left, half = row // 4 + RIM, column // 4 + RIM, side // 2 - 2 * RIM
        known[top : top + half, left : left + half] = True
    return heights, known


def rough_land(seen: Evidence) -> NDArray[np.bool_]:
    """Pixels of the base whose details are to be known."""
    return np.asarray((seen.rasters["land"][0] > 250) & (seen.rasters["relief"][0] > KNOWN_FROM * LOG_UNIT))


def at_full_power(details: Raster, seen: Evidence, known: NDArray[np.bool_]) -> Raster:
    """Details (3, n, n), each by the factor that gives them the real power on rough land that was learnt from: a mean of draws has less."""
    where = known & rough_land(seen) & ~held_out(seen.side)
    real, made = ([float((each[where].astype(np.float64) ** 2).mean()) for each in rasters] for rasters in (real_details(seen), details))
    gains = np.sqrt(np.array(real) / np.array(made)).astype(np.float32)
    print(f"power is brought to the real one by factors of {', '.join(f'{gain:.2f}' for gain in gains)}", flush=True)
    return np.asarray(details * gains[:, None, None], np.float32)


def real_details(seen: Evidence) -> Raster:
    """Those of the true children, (3, n, n)."""
    return haar_details(seen.fine["children"])[0]


def report(details: Raster, seen: Evidence, known: NDArray[np.bool_]) -> str:
    """How the details (3, n, n) go with the real ones on rough land, learnt from and held out."""
    there, apart = known & rough_land(seen), np.broadcast_to(held_out(seen.side), known.shape)
    lines = []
    for name, where in (("learnt from", there & ~apart), ("held out", there & apart)):
        figures = []
        for drawn, true in zip(details, real_details(seen), strict=True):
            made, wanted = (values[where].astype(np.float64) for values in (drawn, true))
            figures.append(f"{np.corrcoef(made, wanted)[0, 1]:.2f} ({(made**2).mean() / (wanted**2).mean():.2f})")
        lines.append(f"{where.sum()} rough pixels {name}: details correlate {', '.join(figures)} (power over the real one)")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = parser_of(__doc__, "details", 3400)
    parser.add_argument("--heights", type=archive_of("heights", "sharpening"), required=True, help="what sharpening wrote")
    given = prepared(parser)
    seen = evidence(given.data, Prior.load(given.prior))
    children, known = true_children(given.data)
    heights = np.load(given.heights)["heights"]
    seen = replace(seen, rasters=seen.rasters | {"height": heights[None]}, fine=seen.fine | {"children": children[None]})
    model = trained(parser, given, seen, DETAILS, known & (seen.rasters["land"][0] > 250) & ~held_out(SIDE))
    details = at_full_power(drawn_metres(model, seen, rough_land(seen)), seen, known)
    np.savez(given.out.with_suffix(".npz"), details=details)
    print(report(details, seen, known), flush=True)


if __name__ == "__main__":
    main()
