"""A session's contract under any order of valid messages: what is sent, in which order, how much at a time, and what is shown."""

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import TypeVar

import grpc
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from terraloom import TileId
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub
from test_hardening import OneWay, TwoWay

T = TypeVar("T")
PATIENCE = 60.0
LONGITUDES, LATITUDES = st.floats(-180, 180), st.floats(-85, 85)
PLACES = st.builds(lambda lon, lat: pb.Geodetic(longitude_degrees=lon, latitude_degrees=lat, height=1e5), LONGITUDES, LATITUDES)
BY_SIGHT = st.builds(lambda finest: pb.Selection(max_level=finest), st.integers(0, 2))
BY_RADIUS = st.builds(lambda level: pb.Selection(max_level=2, radius=pb.Radius(radius=1e6, level=level)), st.integers(0, 2))
BY_REGION = st.builds(
    lambda west, south: pb.Selection(max_level=2, region=pb.Rectangle(west=west, south=south, east=-west, north=min(south + 30.0, 85.0))),
    LONGITUDES,
    LATITUDES,
)
SELECTIONS = BY_SIGHT | BY_RADIUS | BY_REGION
NAMES = st.sampled_from(["", "left", "right"])
CREDITS = st.builds(lambda tiles: pb.Credit(tiles=tiles), st.integers(1, 5))
PICKS = st.lists(st.integers(0, 1000), min_size=1, max_size=3)
"""Which of several, whatever has come by then: draws must not depend on the server's speed."""
FEW = settings(max_examples=20, stateful_step_count=16, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def address(tile: pb.TileId) -> TileId:
    return TileId(tile.z, tile.x, tile.y)


def picked(items: Iterable[T], picks: list[int]) -> list[T]:
    """Some of the items, each once."""
    ordered = list(items)
    return [ordered[i] for i in sorted({pick % len(ordered) for pick in picks})] if ordered else []


def parent(tile: TileId) -> TileId:
    return TileId(tile.z - 1, tile.x // 2, tile.y // 2)


class SessionMachine(RuleBasedStateMachine):
    """A client that says valid things in any order, and holds the server to what it promises."""

    def __init__(self, stub: TerraloomStub, transport: type[TwoWay] | type[OneWay]) -> None:
        super().__init__()
        self._stub, self._transport = stub, transport
        self.session: TwoWay | OneWay | None = None
        self.events: SimpleQueue[pb.ServerEvent] = SimpleQueue()
        self.held: dict[TileId, bytes] = {}
        self.forgotten: set[TileId] = set()
        self.drawn: set[TileId] = set()
        self.unacknowledged: dict[int, TileId] = {}
        self.viewpoints: set[str] = set()
        self.deliveries = self.sequence = self.most = 0
        self.complete = 0
        self.came_back = False

    @initialize(credit=CREDITS, selection=SELECTIONS)
    def open(self, credit: pb.Credit, selection: pb.Selection) -> None:
        opening = pb.OpenSessionRequest(protocol_version=1, selection=selection, credit=credit)
        self.session, self.most = self._transport(self._stub, opening), credit.tiles
        self._begin()

    def _begin(self) -> None:
        self.events = SimpleQueue()
        threading.Thread(target=self._listen, args=(self.session.events, self.events), daemon=True).start()  # type: ignore[union-attr]

    @staticmethod
    def _listen(events: Iterator[pb.ServerEvent], into: SimpleQueue[pb.ServerEvent]) -> None:
        try:
            for event in events:
                into.put(event)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.CANCELLED:
                into.put(pb.ServerEvent(error=pb.ErrorDetail(message=str(error), final=True)))

    def _say(self, name: str, message: object) -> None:
        assert self.session is not None
        self.session.send(name, message)

    @rule(place=PLACES, name=NAMES)
    def look(self, place: pb.Geodetic, name: str) -> None:
        self.sequence += 1
        self.viewpoints.add(name)
        self._say("view", pb.View(sequence=self.sequence, geodetic=place, viewpoint=name))

    @rule(picks=PICKS)
    def leave(self, picks: list[int]) -> None:
        """Viewpoints are no more; without any, what is there stays."""
        if names := picked(sorted(self.viewpoints), picks):
            self.viewpoints -= set(names)
            self.sequence += 1
            self._say("leave", pb.Leave(viewpoints=names, sequence=self.sequence))

    @rule()
    def come_back(self) -> None:
        """Over another connection, where nothing is drawn and what was not acknowledged may not have arrived."""
        if isinstance(self.session, OneWay):
            self.session.come_back()
            self._begin()
            lost = set(self.unacknowledged.values())
            self.held = {tile: kept for tile, kept in self.held.items() if tile not in lost}
            self.forgotten |= lost
            self.unacknowledged, self.drawn, self.complete, self.came_back = {}, set(), 0, True

    @rule(place=PLACES)
    def look_late(self, place: pb.Geodetic) -> None:
        """A view that was overtaken by a newer one."""
        if self.sequence > 1 and "" in self.viewpoints:
            self._say("view", pb.View(sequence=self.sequence - 1, geodetic=place))

    @rule(selection=SELECTIONS)
    def select(self, selection: pb.Selection) -> None:
        self._say("selection", selection)

    @rule(credit=CREDITS)
    def widen(self, credit: pb.Credit) -> None:
        self.most = max(self.most, credit.tiles)
        self._say("credit", credit)

    @rule(picks=PICKS)
    def acknowledge_some(self, picks: list[int]) -> None:
        self._take_what_came()
        self._acknowledge(picked(self.unacknowledged, picks))

    @rule()
    def acknowledge_again(self) -> None:
        """Repeating one is harmless."""
        if self.deliveries and self.deliveries not in self.unacknowledged:
            self._say("ack", pb.Ack(deliveries=[self.deliveries, self.deliveries]))

    @rule(picks=PICKS)
    def forget(self, picks: list[int]) -> None:
        self._take_what_came()
        if tiles := picked(sorted(self.held), picks):
            for tile in tiles:
                del self.held[tile]
            self.forgotten |= set(tiles)
            self._say("forget", pb.Forget(tiles=[tile.message() for tile in tiles]))

    @rule(place=PLACES, name=NAMES)
    def settle(self, place: pb.Geodetic, name: str) -> None:
        """Everything comes in the end, and is shown: the whole world, nothing twice."""
        self.look(place, name)
        while self.complete < self.sequence:
            self._acknowledge([*self.unacknowledged])
            self._take(self.events.get(timeout=PATIENCE))
        self._acknowledge([*self.unacknowledged])
        assert self.drawn <= self.held.keys()
        assert sum(4.0**-tile.z for tile in self.drawn) == 1.0
        self.forgotten.clear()

    def _acknowledge(self, deliveries: list[int]) -> None:
        if deliveries:
            self._say("ack", pb.Ack(deliveries=deliveries))
            for delivery in deliveries:
                self.unacknowledged.pop(delivery, None)

    def _take_what_came(self) -> None:
        while True:
            try:
                self._take(self.events.get_nowait())
            except Empty:
                return

    def _take(self, event: pb.ServerEvent) -> None:
        match event.WhichOneof("event"):
            case "tile":
                tile, message = address(event.tile.id), event.tile
                assert message.delivery == self.deliveries + 1 or (self.came_back and message.delivery > self.deliveries), "numbered"
                self.came_back = False
                assert tile not in self.held, "nothing that is held comes again"
                assert tile.z == 0 or parent(tile) in self.held or self.forgotten, "parents come first"
                self.deliveries, self.held[tile] = message.delivery, message.content_hash
                self.unacknowledged[message.delivery] = tile
                assert len(self.unacknowledged) <= self.most, "no more under way than the credit allows"
            case "visible":
                self.drawn = (self.drawn - {address(tile) for tile in event.visible.hide}) | {address(tile) for tile in event.visible.show}
                assert self.drawn <= self.held.keys() | self.forgotten, "only what is held is shown"
                self.complete = event.visible.view_sequence if event.visible.complete else self.complete
            case "remove":
                for gone in event.remove.tiles:
                    assert address(gone) not in self.drawn
                    self.held.pop(address(gone), None)
            case _:
                raise AssertionError(f"unexpected: {event}")

    def teardown(self) -> None:
        if self.session is not None:
            self.session.close()


@pytest.mark.parametrize("transport", [TwoWay, OneWay])
def test_any_order_of_valid_messages_keeps_the_promises(server: str, transport: type[TwoWay] | type[OneWay]) -> None:
    with grpc.insecure_channel(server) as channel:
        stub = TerraloomStub(channel)
        run_state_machine_as_test(lambda: SessionMachine(stub, transport), settings=FEW)  # type: ignore[no-untyped-call]
