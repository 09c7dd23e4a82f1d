"""What a viewer was shown: figures from the log of one flight, the same for every kind of client.

The picture is sampled by a grid of rays. Where a ray meets the ground, the *leaf* is the tile that the selection asks for there
(`selection.py`: screen-space error, 1080 lines, 60 degrees, no tile finer than the trace's finest level), and the *drawn* tile is the one
that the client draws there at that moment. So every share is one of the picture's area that shows ground, over time.

- A *hole* is ground in the picture where nothing is drawn, once something was.
- The *error is over twice the target* where the drawn tile is coarser than the leaf and its error at that distance exceeds 32 lines.
- A leaf becomes *visible* when everything of it in the picture is drawn as fine as it, or finer; it is waited for since it first came into
  the picture. One that leaves the picture before counts with the time it was waited for, and is counted apart.

The ground that rays meet lies at the middle of the heights of the leaves, which `Reference` knows from tiles.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import quantiles
from terraloom_engines.collision import select_ground
from terraloom_engines.mesh import geometric_error
from terraloom_engines.selection import Criteria, Radius, ScreenSpaceError, select
from terraloom_engines.tiling import TileId
from terraloom_engines.viewpoint import RADIUS, ViewState

TARGET = ScreenSpaceError().target_pixels
RAYS = (64, 36)
"""Columns and rows of the grid of rays: one for every 30 x 30 pixels of 1920 x 1080."""
START_SECONDS = 10.0
"""Left out of shares of error: a client begins with nothing."""
JUMP_METRES = 1000.0
"""A step between two frames that is longer is a jump, before which nobody can know what it needs."""
JUMP_SECONDS = 2.0
"""How long after a jump, or after the start, ground that is late is counted apart."""

Heights = Mapping[TileId, tuple[float, float]]


@dataclass(slots=True)
class Log:
    """What a client saw, in seconds of its flight; every list in order of time."""

    frames: list[tuple[float, ViewState]] = field(default_factory=list)
    """The views."""
    arrivals: list[tuple[float, TileId, int]] = field(default_factory=list)
    """Tiles for the eye and their bytes."""
    changes: list[tuple[float, frozenset[TileId]]] = field(default_factory=list)
    """What is drawn from then on."""
    ground: list[tuple[float, TileId, bool]] = field(default_factory=list)
    """Collision tiles that came (True) and went."""
    heights: dict[TileId, tuple[float, float]] = field(default_factory=dict)
    """What the tiles told of their heights."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame as it should be: the leaf's level under every ray that meets the ground, shape (n,), the metres to it, and its place."""

    seconds: float
    levels: NDArray[np.int64]
    columns: NDArray[np.int64]
    """Of the place at the finest level, `MAX_Z`; shifted right by the difference they are those of any other."""
    rows: NDArray[np.int64]
    distances: NDArray[np.float64]
    lines_per_radian: float


MAX_Z = 24
"""The level at which places are kept, finer than any tile."""


def ray_directions(view: ViewState) -> NDArray[np.float64]:
    """Unit vectors of the rays, earth-centred, shape (n, 3)."""
    assert view.forward is not None
    lam, phi = math.radians(view.east), math.radians(view.north)
    east = np.array([-math.sin(lam), math.cos(lam), 0.0])
    north = np.array([-math.sin(phi) * math.cos(lam), -math.sin(phi) * math.sin(lam), math.cos(phi)])
    up = np.array([math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)])
    ahead = view.forward[0] * east + view.forward[1] * north + view.forward[2] * up
    right = np.cross(ahead, up)
    right /= np.linalg.norm(right)
    upward = np.cross(right, ahead)
    tangent = math.tan(math.radians(view.vertical_field_of_view) / 2)
    x = (np.arange(RAYS[0]) + 0.5) / RAYS[0] * 2 - 1
    y = 1 - (np.arange(RAYS[1]) + 0.5) / RAYS[1] * 2
    across, over = np.meshgrid(x * tangent * view.aspect_ratio, y * tangent)
    rays = ahead + across[..., None] * right + over[..., None] * upward
    return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).reshape(-1, 3)


def _meet(origin: NDArray[np.float64], rays: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance along each ray to the sphere of its radius; nan where it misses, or looks from below."""
    along = rays @ origin
    under = along**2 - (origin @ origin - radii**2)
    with np.errstate(invalid="ignore"):
        distance = -along - np.sqrt(under)
    return np.where(distance > 0.0, distance, np.nan)


def _places(points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows at `MAX_Z` of earth-centred points, shape (n, 3)."""
    lam, sine = np.arctan2(points[:, 1], points[:, 0]), points[:, 2] / np.linalg.norm(points, axis=1)
    right, down = (lam / math.tau + 0.5) % 1.0, np.clip(0.5 - np.arctanh(np.clip(sine, -0.9963, 0.9963)) / math.tau, 0.0, 1 - 1e-9)
    return (right * (1 << MAX_Z)).astype(np.int64), (down * (1 << MAX_Z)).astype(np.int64)


def covering(tiles: Collection[TileId], columns: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index into `tiles` (in their order) of the finest one over each place; -1 where there is none."""
    found = np.full(len(columns), -1)
    by_level: dict[int, list[tuple[int, int]]] = {}
    for index, tile in enumerate(tiles):
        by_level.setdefault(tile.z, []).append(((tile.x << MAX_Z) + tile.y, index))
    for level in sorted(by_level):
        keys = ((columns >> (MAX_Z - level)) << MAX_Z) + (rows >> (MAX_Z - level))
        known = np.array(sorted(by_level[level]))
        at = np.minimum(np.searchsorted(known[:, 0], keys), len(known) - 1)
        found = np.where(known[at, 0] == keys, known[at, 1], found)
    return found


def picture(seconds: float, view: ViewState, max_level: int, heights: Heights) -> Picture:
    """What `view` should show."""
    leaves = select(view, Criteria(max_level=max_level, lookahead=()), heights.get).leaves
    inherited = {leaf: next((heights[at] for at in _line(leaf) if at in heights), (0.0, 0.0)) for leaf in leaves}
    middles = np.array([sum(inherited[leaf]) / 2 for leaf in leaves])
    lam, phi = math.radians(view.east), math.radians(view.north)
    outward = np.array([math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)])
    origin, rays = (RADIUS + view.height) * outward, ray_directions(view)
    below = covering(leaves, *_places(origin[None]))[0]
    radii = np.full(len(rays), RADIUS + middles[below])
    for _ in range(4):  # each ray finds the leaf that it meets at the height that it supposed, and supposes that leaf's next
        distances = _meet(origin, rays, np.minimum(radii, RADIUS + view.height - 0.5))
        hit = np.isfinite(distances)
        columns, rows = _places(origin + np.where(hit, distances, 0.0)[:, None] * rays)
        leaf = covering(leaves, columns, rows)
        radii = np.where(hit, RADIUS + middles[leaf], radii)
    levels = np.array([tile.z for tile in leaves])
    return Picture(seconds, levels[leaf[hit]], columns[hit], rows[hit], distances[hit], view.lines_per_radian)


def _line(tile: TileId) -> Iterable[TileId]:
    """A tile and its ancestors, finest first."""
    yield tile
    while tile.has_parent:
        tile = tile.parent
        yield tile


def pictures(log: Log, max_level: int, heights: Heights) -> list[Picture]:
    """The pictures of all frames of a flight."""
    found: list[Picture] = []
    former = None
    for seconds, view in log.frames:
        at_rest = found and view == former
        found.append(replace(found[-1], seconds=seconds) if at_rest else picture(seconds, view, max_level, heights))
        former = view
    return found


class _Shown:
    """Follows a log's changes through time."""

    def __init__(self, log: Log) -> None:
        self._changes, self._next = log.changes, 0
        self._tiles: tuple[TileId, ...] = ()
        self._levels, self._errors = np.array([], int), np.array([])
        self.began = False

    def at(self, seconds: float) -> None:
        """Brings it to a moment."""
        before = self._next
        while self._next < len(self._changes) and self._changes[self._next][0] <= seconds:
            self._next += 1
        if self._next > before:
            self._tiles = tuple(self._changes[self._next - 1][1])
            self._levels = np.array([tile.z for tile in self._tiles], int)
            self._errors = np.array([geometric_error(tile) for tile in self._tiles])
            self.began = self.began or bool(self._tiles)

    def over(self, frame: Picture) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Level (-1: none) and screen-space error (infinite: none) of what is drawn under each ray."""
        if not self._tiles:
            return np.full(len(frame.levels), -1), np.full(len(frame.levels), np.inf)
        found = covering(self._tiles, frame.columns, frame.rows)
        levels = np.where(found >= 0, self._levels[found], -1)
        return levels, np.where(found >= 0, self._errors[found] * frame.lines_per_radian / frame.distances, np.inf)


def seen(log: Log, frames: list[Picture]) -> dict[str, Any]:
    """Holes, shares of error, and times to visible."""
    shown, waits = _Shown(log), _Waits()
    holes, hole_frames, bad, counted = 0.0, 0, 0.0, 0
    for frame in frames:
        shown.at(frame.seconds)
        levels, errors = shown.over(frame)
        if shown.began and (levels < 0).any():
            hole_frames += 1
            holes += float((levels < 0).mean())
        if frame.seconds >= START_SECONDS:
            counted += 1
            bad += float(((levels < frame.levels) & (errors > 2 * TARGET)).mean()) if len(levels) else 0.0
        waits.frame(frame, levels)
    return {
        "frames": len(frames),
        "frames_with_holes": hole_frames,
        "hole_share_percent": round(100 * holes / max(len(frames), 1), 4),
        "over_twice_target_percent": round(100 * bad / max(counted, 1), 3),
        **waits.figures(),
    }


class _Waits:
    """How long each leaf is waited for."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}
        self._done: dict[int, tuple[float, float]] = {}
        """When each was first asked for, and for how long it was waited for."""
        self._unseen = 0

    def frame(self, frame: Picture, levels: NDArray[np.int64]) -> None:
        """One frame and the levels drawn under its rays."""
        shift = MAX_Z - frame.levels
        keys = (frame.levels << 58) + ((frame.columns >> shift) << 29) + (frame.rows >> shift)
        leaves, inverse = np.unique(keys, return_inverse=True)
        lacking = np.zeros(len(leaves), bool)
        np.logical_or.at(lacking, inverse, levels < frame.levels)
        current = set(leaves.tolist())
        for key in [key for key in self._since if key not in current]:
            self._end(key, frame.seconds)
            self._unseen += 1
        for key, lacks in zip(leaves.tolist(), lacking.tolist(), strict=True):
            if key in self._done:
                continue
            if lacks:
                self._since.setdefault(key, frame.seconds)
            else:
                self._end(key, frame.seconds)

    def _end(self, key: int, seconds: float) -> None:
        since = self._since.pop(key, seconds)
        self._done[key] = since, seconds - since

    def figures(self) -> dict[str, Any]:
        """Quantiles in milliseconds, of all leaves and of those first asked for after the start; those still waited for are left out."""
        waits = [wait for _, wait in self._done.values()]
        later = [wait for since, wait in self._done.values() if since >= START_SECONDS]
        return {
            "time_to_visible_ms": quantiles(waits or [0.0], 1e3),
            "time_to_visible_after_start_ms": quantiles(later or [0.0], 1e3),
            "left_unseen": self._unseen,
        }


def late_ground(log: Log, radius: float, level: int) -> dict[str, Any]:
    """Collision tiles within `radius` metres of the body that were not there: how many, and for how long at most."""
    held: set[TileId] = set()
    first: dict[TileId, float] = {}
    late: dict[TileId, float] = {}
    excused: dict[TileId, float] = {}
    index, jumped, former = 0, -math.inf, None
    for seconds, view in log.frames:
        while index < len(log.ground) and log.ground[index][0] <= seconds:
            _, tile, came = log.ground[index]
            (held.add if came else held.discard)(tile)
            index += 1
        place = (math.radians(view.east) * math.cos(math.radians(view.north)) * RADIUS, math.radians(view.north) * RADIUS)
        if former is None or math.dist(place, former) > JUMP_METRES:
            jumped = seconds
        former = place
        resting = ViewState(view.east, view.north, view.height)
        for tile in select_ground(resting, Radius(radius, level)).keys() - held:
            since = first.setdefault(tile, seconds)
            kept = excused if since < jumped + JUMP_SECONDS else late
            kept[tile] = max(kept.get(tile, 0.0), seconds - since)
        for tile in held & first.keys():
            del first[tile]
    return {
        "late_tiles": len(late),
        "latest_ms": round(1e3 * max(late.values(), default=0.0)),
        "after_start_or_jump_tiles": len(excused),
        "after_start_or_jump_ms": round(1e3 * max(excused.values(), default=0.0)),
    }
