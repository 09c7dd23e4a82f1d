"""Streams of the client against a real server."""

import time
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from terraloom import (
    AsyncClient,
    Camera,
    Client,
    ContentOptions,
    Credit,
    Radius,
    Region,
    ScreenSpaceError,
    StreamOptions,
    Tile,
    TileId,
    View,
    VisibleChange,
    connect,
)
from terraloom.errors import DeadlineExceededError, InvalidArgumentError, UnavailableError
from terraloom.testing import run_server

MATTERHORN = View(longitude=7.66, latitude=45.98, height=60_000.0)
ANDES = View(longitude=-70.0, latitude=-32.65, height=60_000.0)
COARSE = StreamOptions(selection=Radius(radius=30_000.0, level=6))
PLAIN = replace(COARSE, content=ContentOptions())
PATIENCE = 60.0


def covers_the_world(visible: frozenset[TileId]) -> bool:
    """Whether tiles of one quadtree that do not overlap add up to its root."""
    return sum(4.0**-tile.z for tile in visible) == 1.0


def test_a_settled_stream_shows_the_whole_world_refined_below_the_viewpoint(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream:
        tiles = stream.settle(PATIENCE)
        assert stream.complete
        assert covers_the_world(stream.visible)
        assert max(tile.z for tile in stream.visible) == 6
        assert stream.visible <= {tile.id for tile in tiles} == stream.held.keys()
        assert stream.session.world.id.name == "earth"
        assert stream.counters.tiles == len(tiles)
        assert stream.counters.bytes > sum(len(tile.glb) for tile in tiles)


def test_a_stream_has_several_viewpoints_by_name_and_shows_what_each_of_them_needs(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as alone, client.stream(ANDES, COARSE) as other, client.stream(MATTERHORN, COARSE) as both:
        alone.settle(PATIENCE), other.settle(PATIENCE)
        both.move(ANDES, "south")
        tiles = [tile.id for tile in both.settle(PATIENCE)]
        assert len(tiles) == len(set(tiles)) == len(alone.held.keys() | other.held.keys())
        assert covers_the_world(both.visible)
        finest = {tile for tile in alone.visible | other.visible if tile.z == 6}
        assert finest == {tile for tile in both.visible if tile.z == 6}
        both.leave("")
        both.settle(PATIENCE)
        assert both.visible == other.visible
        with pytest.raises(InvalidArgumentError, match="no viewpoint 'north'"):
            both.leave("north")


def test_a_region_comes_without_a_view(client: Client) -> None:
    region = Region(west=7.0, south=45.5, east=9.0, north=46.5, level=6)
    with client.stream(options=StreamOptions(region, min_level=6)) as stream:
        tiles = stream.settle(PATIENCE)
        answer = client.barrier(region)
        assert {tile.id.z for tile in tiles} == {6}
        assert len(tiles) >= answer.tiles > 0
        assert stream.visible == {tile.id for tile in tiles}


def test_streams_compress_meshes_unless_asked_not_to_and_single_tiles_do_not(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream, client.stream(MATTERHORN, PLAIN) as plain:
        packed = {tile.id: tile for tile in stream.settle(PATIENCE)}
        spread = {tile.id: tile for tile in plain.settle(PATIENCE)}
    deepest = max(packed)
    single = client.get_tile(*deepest, PLAIN.content)
    assert packed.keys() == spread.keys()
    assert spread[deepest].glb == single.glb
    assert len(packed[deepest].glb) < len(single.glb) / 2 and b"EXT_meshopt_compression" in packed[deepest].glb
    ours, theirs = packed[deepest].mesh(), single.mesh()
    step = packed[deepest].geometric_error / 256
    np.testing.assert_allclose(ours.positions, theirs.positions, atol=step / 2 + 0.1)
    np.testing.assert_allclose(ours.uv, theirs.uv, atol=1e-6)
    assert ours.texture == theirs.texture


def test_parents_come_before_children_and_what_was_shown_stays_covered(client: Client) -> None:
    arrived: set[TileId] = set()
    visible: set[TileId] = set()
    with client.stream(MATTERHORN, COARSE) as stream:
        for event in stream.events():
            if isinstance(event, Tile):
                assert event.id.z == 0 or TileId(event.id.z - 1, event.id.x // 2, event.id.y // 2) in arrived
                arrived.add(event.id)
            elif isinstance(event, VisibleChange):
                visible = (visible - set(event.hide)) | set(event.show)
                assert visible <= arrived
                assert not visible or covers_the_world(frozenset(visible))
                if event.complete:
                    break


def test_the_smallest_credit_is_slow_but_delivers_everything(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream:
        usual = stream.settle(PATIENCE)
    options = StreamOptions(selection=COARSE.selection, credit=Credit(bytes=1, tiles=1))
    with client.stream(MATTERHORN, options) as stream:
        frugal = stream.settle(PATIENCE)
    assert {tile.id: tile.content_hash for tile in frugal} == {tile.id: tile.content_hash for tile in usual}


def test_a_consumer_that_takes_nothing_gets_no_more_than_its_credit(client: Client) -> None:
    options = StreamOptions(selection=COARSE.selection, credit=Credit(tiles=3))
    with client.stream(MATTERHORN, options) as stream:
        time.sleep(1.0)
        assert 1 <= stream.counters.tiles <= 3
        assert len([event for event in stream.poll() if isinstance(event, Tile)]) == stream.counters.tiles
        assert stream.settle(PATIENCE)


def test_what_is_held_is_not_sent_again(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream:
        stream.settle(PATIENCE)
        held, visible = stream.held, stream.visible
    with client.stream(MATTERHORN, StreamOptions(selection=COARSE.selection, have=held)) as stream:
        assert stream.settle(PATIENCE) == []
        assert stream.visible == visible


def test_what_the_client_dropped_is_sent_again(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream:
        stream.settle(PATIENCE)
        dropped = {tile for tile in stream.visible if tile.z == 6}
        stream.forget(dropped)
        stream.move(MATTERHORN)
        again: set[TileId] = set()
        for tile in stream:
            again.add(tile.id)
            if again >= dropped:
                break


def test_a_drawn_tile_that_the_client_dropped_and_needs_no_more_is_hidden(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream:
        stream.settle(PATIENCE)
        stream.forget({tile for tile in stream.visible if tile.z == 6})
        stream.move(ANDES)
        stream.settle(PATIENCE)
        assert covers_the_world(stream.visible), "else two levels are drawn over each other"
        assert stream.visible <= stream.held.keys()


def test_the_newest_view_wins(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream:
        for _ in range(200):
            stream.move(MATTERHORN)
        stream.move(ANDES)
        assert not stream.complete
        stream.settle(PATIENCE)
        finest = {tile for tile in stream.visible if tile.z == 6}
        assert TileId(6, 19, 38) in finest
        assert stream.counters.views == 202
        assert stream.counters.views_sent <= 202


def test_moving_on_refines_the_new_place_and_hides_what_it_replaces(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream:
        stream.settle(PATIENCE)
        before = stream.visible
        stream.move(ANDES)
        stream.settle(PATIENCE)
        assert covers_the_world(stream.visible)
        assert stream.visible != before


def test_a_camera_sees_less_than_an_agent_without_one(client: Client) -> None:
    options = StreamOptions(selection=ScreenSpaceError(64.0), max_level=6)
    shown = []
    for camera in (Camera(heading=30.0, pitch=-45.0), None):
        with client.stream(replace(MATTERHORN, camera=camera), options) as stream:
            stream.settle(PATIENCE)
            assert covers_the_world(stream.visible)
            assert max(tile.z for tile in stream.visible) <= 6
            shown.append(stream.visible)
    assert len(shown[0]) < len(shown[1])


@pytest.mark.parametrize("latitude", [90.0, 87.0, -90.0])
def test_a_viewpoint_beyond_the_rim_of_the_map_gets_the_rim(client: Client, latitude: float) -> None:
    options = StreamOptions(max_level=3)
    with client.stream(View(longitude=0.0, latitude=latitude, height=3000.0), options) as stream:
        stream.settle(PATIENCE)
        assert covers_the_world(stream.visible)
        assert {tile.y for tile in stream.visible if tile.z == 3} == ({0, 1} if latitude > 0 else {6, 7})


def test_latency_is_told_from_the_view_that_asked(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream:
        start = time.perf_counter()
        stream.settle(PATIENCE)
        assert 0.0 < stream.counters.latency(0.5) <= stream.counters.latency(0.99) <= time.perf_counter() - start + 1.0
        assert 0.0 < stream.counters.first_tile <= stream.counters.last_tile


def test_a_tile_names_the_first_view_that_asked_for_it(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream:
        stream.settle(PATIENCE)
    options = StreamOptions(selection=COARSE.selection, credit=Credit(tiles=1))
    with client.stream(MATTERHORN, options) as stream:
        tiles = [next(iter(stream))]  # so all was asked for; the credit holds it back
        for _ in range(5):
            stream.move(MATTERHORN)
            time.sleep(0.1)
        tiles += stream.settle(PATIENCE)
        assert len(tiles) > 5 and {tile.view_sequence for tile in tiles} == {1}


def test_options_out_of_range_are_refused_when_the_stream_is_entered(client: Client) -> None:
    stream = client.stream(MATTERHORN, StreamOptions(selection=Radius(radius=-1.0, level=6)))
    with pytest.raises(InvalidArgumentError, match="radius"), stream:
        pass


def test_a_view_out_of_range_ends_the_stream_with_the_reason(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream:
        stream.move(View(longitude=0.0, latitude=91.0, height=0.0))
        with pytest.raises(InvalidArgumentError, match="latitude"):
            stream.settle(PATIENCE)


def test_settling_gives_up_in_time(client: Client) -> None:
    options = StreamOptions(selection=Radius(radius=30_000.0, level=14))
    with client.stream(MATTERHORN, options) as stream, pytest.raises(DeadlineExceededError, match="not complete after 0.2 s"):
        stream.settle(0.2)


def test_a_closed_stream_ends_its_iterator(client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream:
        first = next(iter(stream))
        stream.close()
        rest = list(stream)
    assert first.id == TileId(0, 0, 0)
    assert len(rest) == stream.counters.tiles - 1


def test_a_server_that_goes_away_ends_the_stream_with_a_typed_error() -> None:
    with ExitStack() as running:
        address = running.enter_context(run_server())
        with connect(address) as client, client.stream(MATTERHORN, replace(COARSE, reconnect=None)) as stream:
            stream.settle(PATIENCE)
            running.close()
            with pytest.raises(UnavailableError, match=address):
                list(stream.events())


async def test_the_asynchronous_stream_delivers_alike(server: str, client: Client) -> None:
    with client.stream(MATTERHORN, COARSE) as stream:
        usual = {tile.id: tile.content_hash for tile in stream.settle(PATIENCE)}
    async with AsyncClient(server) as other, other.stream(MATTERHORN, COARSE) as own:
        found = {}
        async for tile in own:
            found[tile.id] = tile.content_hash
            if found.keys() == usual.keys():
                break
    assert found == usual
