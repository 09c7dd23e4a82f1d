"""Credit: what classes leave to each other, and windows that follow from what connections do, most of which are simulated here."""

import heapq
from collections import deque

import grpc
import pytest
from benchmarks.links import Link as RealLink
from benchmarks.links import run_link

from terraloom import ClassCredit, Credit, StreamOptions
from terraloom.errors import InvalidArgumentError
from terraloom.v1 import terraloom_pb2 as pb
from terraloom.v1.terraloom_pb2_grpc import TerraloomStub
from terraloom_engines.selection import WorkClass
from terraloom_engines.server.credit import Credit as Granted
from terraloom_engines.server.credit import CreditWindow
from terraloom_engines.server.pipe import Piece, Pipe
from terraloom_engines.tiling import TileId
from test_hardening import TwoWay, settle

ANYWHERE = TileId(0, 0, 0)
TILE = 50_000
COLLISION, NEAR, FAR, PREFETCH = WorkClass


def fill(window: CreditWindow, work_class: WorkClass, size: int = 1000) -> list[int]:
    """Sends as many tiles of a class as may go."""
    sent = []
    while window.allows(size, work_class):
        sent.append(window.send(ANYWHERE, size, work_class))
    return sent


@pytest.mark.parametrize("credit", [Granted(bytes=8000), Granted(bytes=1 << 28, tiles=8), Granted(most_bytes=8000)])
def test_bulk_leaves_the_credit_that_a_more_urgent_tile_needs(credit: Granted) -> None:
    window = CreditWindow(credit)
    window.acknowledge([window.send(ANYWHERE, 2000, NEAR)])
    prefetched = fill(window, PREFETCH)
    assert len(prefetched) == 4
    assert len(fill(window, FAR)) == 2 and not window.allows(1000, PREFETCH)
    assert len(fill(window, NEAR)) == 2 and not window.allows(1000, COLLISION)
    window.acknowledge(prefetched)
    assert window.bytes == 4000 and fill(window, NEAR), "what less urgent tiles took is free for all"


def test_what_is_more_urgent_takes_the_credit_of_bulk_too() -> None:
    window = CreditWindow(Granted(bytes=8000))
    assert len(fill(window, NEAR)) == 8 and not window.allows(1, PREFETCH)


def test_one_tile_always_goes_when_nothing_is_under_way() -> None:
    window = CreditWindow(Granted(bytes=1, tiles=1))
    (only,) = fill(window, PREFETCH)
    assert not window.allows(1, COLLISION)
    window.acknowledge([only, only])
    assert window.bytes == 0 and window.allows(1 << 20, PREFETCH)


def test_a_client_says_how_much_a_class_may_take() -> None:
    asked = Credit(bytes=8000, tiles=20, classes={"prefetch": ClassCredit(tiles=1), "near": ClassCredit(bytes=3000)})
    message = StreamOptions(credit=asked).message(pb.WorldId(), "test").credit
    granted = Granted.from_message(message)
    assert granted.message() == pb.Credit(bytes=8000, tiles=20, most_bytes=8 << 20, classes=message.classes)
    window = CreditWindow(granted)
    assert len(fill(window, PREFETCH)) == 1
    assert len(fill(window, NEAR)) == 2


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        ([(7, 1)], r"credit.classes\[0\].priority = 7 is unknown: allowed are COLLISION, NEAR, FAR, PREFETCH"),
        ([(3, 1), (3, 2)], r"credit.classes\[1\] is the second one for FAR"),
        ([(3, 1 << 30)], r"credit.classes\[0\].bytes = 1073741824 is out of range"),
    ],
)
def test_wrong_credits_are_told(classes: list[tuple[int, int]], text: str) -> None:
    message = pb.Credit(classes=[pb.ClassCredit(priority=pb.Priority.ValueType(kind), bytes=size) for kind, size in classes])
    with pytest.raises(InvalidArgumentError, match=text):
        Granted.from_message(message)


def test_the_python_client_knows_the_classes() -> None:
    with pytest.raises(InvalidArgumentError, match="classes = 'soon' is unknown: allowed are near, far, prefetch"):
        StreamOptions(credit=Credit(classes={"soon": ClassCredit(1)})).message(pb.WorldId(), "test")  # type: ignore[dict-item]


class Link:
    """A connection of some bandwidth (bytes a second) and delay (seconds there and back) behind one queue, filled with tiles as its window
    allows. The client acknowledges what it has at every `frame`, or at once."""

    def __init__(self, bandwidth: float, delay: float, frame: float = 0.0) -> None:
        self.bandwidth, self.delay, self.frame = bandwidth, delay, frame
        self.pipe = Pipe()
        self.now = self._free = 0.0
        self.delivered = 0
        self.waits: deque[float] = deque(maxlen=200)
        """Seconds that the newest tiles stood in the queue."""
        self._acks: list[tuple[float, int, Piece]] = []
        self._number = self._under_way = 0

    @property
    def usual_wait(self) -> float:
        """What 95 % of the newest tiles do not exceed: after a pause a whole window goes at once."""
        return sorted(self.waits)[int(0.95 * len(self.waits))]

    def run(self, seconds: float) -> float:
        """Bytes a second that were delivered in some more seconds of bulk."""
        end, before = self.now + seconds, self.delivered
        while self.now < end:
            while not self._under_way or (self._under_way + TILE <= self.pipe.window and not self.pipe.waits(self.now)):
                self._send()
            self.now = self._acks[0][0]
            pieces = []
            while self._acks and self._acks[0][0] <= self.now:
                pieces.append(heapq.heappop(self._acks)[2])
            self._under_way -= TILE * len(pieces)
            self.delivered += TILE * len(pieces)
            self.pipe.acknowledge(pieces, self.now)
        return (self.delivered - before) / (self.now - end + seconds)

    def _send(self) -> None:
        self.waits.append(max(self._free - self.now, 0.0))
        self._free = max(self._free, self.now) + TILE / self.bandwidth
        applied = self._free + self.delay / 2
        if self.frame:
            applied = (applied // self.frame + 1) * self.frame
        self._number += 1
        self._under_way += TILE
        heapq.heappush(self._acks, (applied + self.delay / 2, self._number, self.pipe.send(TILE, self.now)))


@pytest.mark.parametrize("delay", [0.0005, 0.02, 0.1])
@pytest.mark.parametrize("bandwidth", [2.5e6, 25e6])
def test_the_window_fills_a_connection_and_lets_no_queue_grow(bandwidth: float, delay: float) -> None:
    link = Link(bandwidth, delay)
    link.run(3.0)
    assert link.run(12.0) >= 0.93 * bandwidth
    assert link.usual_wait <= 0.3 * delay + 3 * TILE / bandwidth
    assert link.pipe.round_trip == pytest.approx(delay, rel=0.05, abs=1e-5)
    assert link.pipe.rate == pytest.approx(bandwidth, rel=0.02)


@pytest.mark.parametrize("frame", [1 / 60, 0.1])
def test_a_client_that_looks_once_a_frame_is_kept_busy_too(frame: float) -> None:
    link = Link(12.5e6, 0.005, frame)
    link.run(4.0)
    assert link.run(3.0) >= 0.9 * link.bandwidth


def test_the_window_follows_a_connection_that_changes() -> None:
    link = Link(12.5e6, 0.02)
    link.run(2.0)
    link.bandwidth, link.delay = 2.5e6, 0.08
    link.run(20.0)
    assert link.run(10.0) >= 0.9 * link.bandwidth
    assert link.usual_wait <= 0.3 * link.delay + 3 * TILE / link.bandwidth
    link.bandwidth, link.delay = 12.5e6, 0.01
    link.run(3.0)
    assert link.run(3.0) >= 0.9 * link.bandwidth


def test_little_to_send_says_nothing_of_the_bandwidth() -> None:
    link = Link(12.5e6, 0.02)
    link.run(3.0)
    for acknowledged, _, piece in sorted(link._acks):
        link.pipe.acknowledge([piece], acknowledged)
    window = link.pipe.window
    for i in range(200):
        piece = link.pipe.send(500, 100.0 + i)
        link.pipe.acknowledge([piece], 100.02 + i)
    assert link.pipe.rate == pytest.approx(12.5e6, rel=0.02)
    assert link.pipe.window == pytest.approx(window, rel=0.3)


def test_a_real_connection_is_measured_and_its_window_chosen(server: str) -> None:
    """2 MB a second, 20 ms there and back."""
    view = pb.View(sequence=1, geodetic=pb.Geodetic(longitude_degrees=8.0, latitude_degrees=46.0, height=3000.0))
    selection = pb.Selection(radius=pb.Radius(radius=1000.0, level=2))
    opening = pb.OpenSessionRequest(protocol_version=1, selection=selection, view=view, stats=True)
    with run_link(RealLink(2e6 * 8, 0.02), server) as link, grpc.insecure_channel(link.address) as channel:
        session = TwoWay(TerraloomStub(channel), opening)
        settle(session, 1)
        stats = next(event.stats for event in session.events if event.HasField("stats"))
        session.close()
    assert stats.bytes_sent > 1_500_000 and stats.bytes_unacknowledged <= stats.window_bytes
    assert 0.05 * 2e6 < stats.delivery_rate < 1.3 * 2e6
    assert stats.round_trip > 0.019 and stats.window_bytes > stats.delivery_rate * stats.round_trip
