"""What is drawn while tiles arrive: any order of arrival, any change of view, and never a hole."""

from hypothesis import given, settings
from hypothesis import strategies as st

from terraloom_engines.selection import Criteria, Radius, Selection, select
from terraloom_engines.server.coverage import drawn_tiles
from terraloom_engines.tiling import TileId
from terraloom_engines.viewpoint import ViewState

ROOT = TileId(0, 0, 0)
views = st.builds(ViewState, st.floats(-180.0, 180.0), st.floats(-84.0, 84.0), st.just(1000.0))


def selection(view: ViewState, level: int) -> Selection:
    """What a small radius asks for, all heights known."""
    return select(view, Criteria(Radius(1000.0, level)), lambda tile: (0.0, 0.0))


def covered(tiles: set[TileId]) -> float:
    """Share of the world that disjoint tiles cover; fails when they overlap."""
    for tile in tiles:
        assert not any(tile.ancestor(z) in tiles for z in range(tile.z))
    return sum(4.0**-tile.z for tile in tiles)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(views, st.integers(0, 7), st.integers(0, 30)), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_world_stays_covered_while_tiles_arrive_and_the_view_jumps(steps: list[tuple[ViewState, int, int]], random) -> None:
    held, drawn = {ROOT}, {ROOT}
    for view, level, arrivals in steps:
        wanted = selection(view, level)
        drawn = drawn_tiles(wanted.tiles, held.__contains__, drawn)
        for _ in range(arrivals):
            ready = [entry.tile for entry in wanted.tiles if entry.tile not in held and entry.tile.parent in held]
            if ready:
                held.add(random.choice(ready))
            drawn = drawn_tiles(wanted.tiles, held.__contains__, drawn)
            assert drawn <= held
            assert covered(drawn) == 1.0
    held |= {entry.tile for entry in wanted.tiles}
    assert drawn_tiles(wanted.tiles, held.__contains__, drawn) == set(wanted.leaves)


def test_a_parent_gives_way_only_to_all_four_children() -> None:
    wanted = selection(ViewState(10.0, 46.0, 1000.0), 1)
    held = {ROOT, *ROOT.children[:3]}
    assert drawn_tiles(wanted.tiles, held.__contains__, {ROOT}) == {ROOT}
    assert drawn_tiles(wanted.tiles, {ROOT, *ROOT.children}.__contains__, {ROOT}) == set(ROOT.children)


def test_finer_tiles_stay_until_the_coarser_one_is_there() -> None:
    coarse = selection(ViewState(10.0, 46.0, 1000.0), 0)
    held = set(ROOT.children)
    assert drawn_tiles(coarse.tiles, held.__contains__, held) == held
    assert drawn_tiles(coarse.tiles, {ROOT, *held}.__contains__, held) == {ROOT}


def test_nothing_is_drawn_that_is_not_held() -> None:
    wanted = selection(ViewState(10.0, 46.0, 1000.0), 2)
    assert drawn_tiles(wanted.tiles, lambda tile: False, set(ROOT.children)) == set()
