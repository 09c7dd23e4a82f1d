"""Ready: contents that one session has and has not sent yet. Whether generation was for nothing is told when they are sent, or are not."""

from collections.abc import Container, Iterator

from terraloom_engines.content import Options, TileContent
from terraloom_engines.server.contents import ContentKey, Contents, Found
from terraloom_engines.tiling import TileId

__all__ = ["Ready"]


class Ready:
    """The contents made with `options` that wait for their turn and for credit, by tile."""

    def __init__(self, contents: Contents, options: Options) -> None:
        self._scheduler, self._options = contents.scheduler, options
        self._found: dict[TileId, Found] = {}

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, tile: TileId) -> bool:
        return tile in self._found

    def __iter__(self) -> Iterator[TileId]:
        return iter(self._found)

    @property
    def contents(self) -> dict[TileId, TileContent]:
        """What is to be sent."""
        return {tile: found.content for tile, found in self._found.items()}

    def put(self, found: Found) -> None:
        """A content is there."""
        self._found[found.content.tile] = found

    def send(self, tile: TileId) -> Found:
        """A content serves its end now."""
        self._scheduler.used(ContentKey(tile, self._options))
        return self._found.pop(tile)

    def _drop(self, tile: TileId) -> bool:
        self._scheduler.unused(ContentKey(tile, self._options))
        return self._found.pop(tile).generated

    def keep(self, tiles: Container[TileId]) -> int:
        """Gives up all but these, which stay in memory for whoever wants them; how many were generated for this session."""
        return sum(self._drop(tile) for tile in [tile for tile in self._found if tile not in tiles])
