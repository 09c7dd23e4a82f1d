"""Coverage: which of the tiles that a client holds to draw, so that no region once covered is ever uncovered."""

from collections.abc import Callable, Collection, Iterable

from terraloom_engines.selection import SelectedTile
from terraloom_engines.tiling import TileId


def drawn_tiles(selected: Iterable[SelectedTile], holds: Callable[[TileId], bool], former: Collection[TileId]) -> set[TileId]:
    """The tiles to draw: disjoint, held, as fine as the selection asks for wherever all of it is there.

    A refined tile gives way to its children only when they, or what covers them, are all held. Where neither a selected tile nor an
    ancestor is held, what was drawn there before (`former`) stays while it is held. `selected` is coarse to fine.
    """
    visible = {entry.tile: entry.refined for entry in selected if entry.visible}
    remaining = {tile for tile in former if holds(tile)}

    def cover(tile: TileId, drawn_above: bool) -> tuple[list[TileId], bool]:
        """What to draw of `tile`, and whether it covers all of it."""
        drawn_above = drawn_above or tile in remaining
        parts: list[TileId] = []
        whole = False
        if visible[tile]:
            covers = [cover(child, drawn_above) for child in tile.children]
            parts = [part for found, _ in covers for part in found]
            whole = all(full for _, full in covers)
        if whole or holds(tile):
            return (parts if whole else [tile]), True
        if not drawn_above and (below := [old for old in remaining if old.z > tile.z and old.ancestor(tile.z) == tile]):
            return below, sum(4.0 ** (tile.z - old.z) for old in below) == 1.0
        return parts, False

    roots = [tile for tile in visible if not tile.has_parent or tile.parent not in visible]
    return {tile for root in roots for tile in cover(root, drawn_above=False)[0]}
