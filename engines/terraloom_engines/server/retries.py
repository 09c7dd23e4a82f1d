"""Retries: tiles that failed are tried again after a while, and a client hears of each once until it succeeds."""

from collections.abc import Callable
from dataclasses import dataclass

from terraloom_engines.tiling import TileId

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
"""Time before the second attempt; it doubles with every further failure, up to the longest."""
MOST_EPISODES = 1024
"""Failed tiles remembered; the one that failed first goes first."""


@dataclass(slots=True)
class _Episode:
    """From a tile's first failure to its success."""

    failures: int
    again_at: float


class Retries:
    """The tiles of one session that failed. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._episodes: dict[TileId, _Episode] = {}

    def failed(self, tile: TileId, now: float) -> bool:
        """Notes a failure; whether it is the first of its episode, which the client is told of."""
        if tile not in self._episodes and len(self._episodes) >= MOST_EPISODES:
            del self._episodes[next(iter(self._episodes))]
        episode = self._episodes.setdefault(tile, _Episode(0, now))
        episode.again_at = now + min(FIRST_SECONDS * 2.0**episode.failures, LONGEST_SECONDS)
        episode.failures = min(episode.failures + 1, 63)
        return episode.failures == 1

    def succeeded(self, tile: TileId) -> None:
        """Ends the tile's episode, if it has one."""
        self._episodes.pop(tile, None)

    def waits(self, tile: TileId, now: float) -> bool:
        """Whether the tile failed and its next attempt is not due yet."""
        episode = self._episodes.get(tile)
        return episode is not None and now < episode.again_at

    def seconds_to_next(self, concerns: Callable[[TileId], bool], now: float) -> float | None:
        """Seconds until a tile that failed, of those that `concerns` names, is due; 0 when one is, None when there is none."""
        due = [episode.again_at - now for tile, episode in self._episodes.items() if concerns(tile)]
        return max(min(due), 0.0) if due else None

    def clear(self) -> None:
        """Everything is tried again at once, and told of again."""
        self._episodes.clear()
