"""What has arrived over all connections of a stream: the tiles held, and those to draw, without a jump from one connection to the next."""

import time
from collections.abc import Iterable, Mapping

from terraloom._tile import Notice, Reconnected, Removed, TileId, VisibleChange

HANDOVER_SECONDS = 5.0
"""How long a reopened session may take to show as much as was drawn before."""


class Arrivals:
    """`held` and `drawn` as of what the wire brought, which is ahead of what the consumer took."""

    def __init__(self, have: Mapping[TileId, bytes]) -> None:
        self.held = dict(have)
        self.drawn: set[TileId] = set()
        self._coming: set[TileId] | None = None
        """What a reopened session wants drawn, until it is as good as `drawn`."""
        self._handover_ends = 0.0

    def tile(self, tile: TileId, content_hash: bytes) -> None:
        """A tile arrived."""
        self.held[tile] = content_hash

    def drop(self, tiles: Iterable[TileId]) -> None:
        """Tiles are held no longer, on whose account ever."""
        for tile in tiles:
            self.held.pop(tile, None)

    def change(self, change: VisibleChange) -> VisibleChange | None:
        """The change to pass on: the server's, or None while a reopened session catches up, and then all of it at once."""
        if self._coming is None:
            self.drawn = (self.drawn - set(change.hide)) | set(change.show)
            return change
        self._coming = (self._coming - set(change.hide)) | set(change.show)
        if not change.complete and time.monotonic() < self._handover_ends and self.drawn <= self.held.keys():
            return None
        show, hide = sorted(self._coming - self.drawn), sorted(self.drawn - self._coming)
        self.drawn, self._coming = self._coming, None
        return VisibleChange(tuple(show), tuple(hide), change.view_sequence, change.complete)

    def reopened(self, event: Reconnected) -> list[Notice]:
        """What to tell of a new session: in another world, that nothing of the old one is drawn or held any more."""
        told: list[Notice] = []
        if event.world_changed:
            told = [VisibleChange((), tuple(sorted(self.drawn)), 0, False), Removed(tuple(sorted(self.held)))]
            self.held.clear()
            self.drawn.clear()
        self._coming = set() if self.drawn else None
        self._handover_ends = time.monotonic() + HANDOVER_SECONDS
        return [*told, event]
