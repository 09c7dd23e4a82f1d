"""Pipe: what lies between a tile that is sent and its acknowledgement, measured, so that the window is as large as it must be.

A window below the product of bandwidth and delay leaves the connection idle; what is above it stands in some queue, of the network or of
the client, before whatever is more urgent. So the product is measured as BBR does it (Cardwell et al., BBR: Congestion-Based Congestion
Control, 2016): the most that was acknowledged per second lately, times the least time that an acknowledgement took lately. Two things
differ here. A piece is a tile, which takes time of its own to go through: that is left out of the delay, and the window has room for one
more. And acknowledgements come when a tile was applied, often several at once from a client that looks once a frame: the window has room
for as many (like `extra_acked` of later versions of BBR).

Times are seconds of one monotonic clock.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

__all__ = ["Piece", "Pipe"]

START_BYTES = 256 << 10
"""Window before anything is known."""
LEAST_BYTES = 64 << 10
STARTUP_GAIN, PROBE_GAIN = 2.0, 1.25
"""Factor on the product of bandwidth and delay: while the bandwidth still turns out to be larger, and later in every eighth round."""
PROBE_ROUNDS = 8
GROWTH, PLATEAU_ROUNDS = 1.25, 3
"""The bandwidth is found when it has not grown by this factor in so many rounds."""
ROUNDS = 10
"""Rounds (from a piece to its acknowledgement) for which a bandwidth counts."""
DELAY_SECONDS, BUCKET_SECONDS = 10.0, 0.5
"""How long a delay counts; after that long without a piece that went alone, one is made to."""
BURSTS = 16
"""Bursts of acknowledgements whose median counts: a client that looks once a frame sends nothing else, one that was held up sends a few."""
FORGETTING = 0.98
"""Factor on the largest piece with every one that is smaller."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What is noted of a piece when it is sent."""

    size: int
    sent_at: float
    delivered: int
    """Bytes acknowledged until then, the last of them at `delivered_at`."""
    delivered_at: float
    first_sent_at: float
    """When the piece was sent whose acknowledgement came last."""
    alone: bool
    filled: bool
    """Whether the window was full with it: only then does the rate of delivery tell the bandwidth."""


class _Most:
    """The largest value of the last `ROUNDS` rounds."""

    def __init__(self) -> None:
        self._values: deque[tuple[int, float]] = deque()

    @property
    def value(self) -> float:
        return self._values[0][1] if self._values else 0.0

    def add(self, number: int, value: float) -> None:
        while self._values and self._values[-1][1] <= value:
            self._values.pop()
        self._values.append((number, value))
        while self._values[0][0] <= number - ROUNDS:
            self._values.popleft()


class Pipe:
    """The measurements of one connection, and the window that follows from them."""

    def __init__(self) -> None:
        self.window = START_BYTES
        """Bytes that may be under way."""
        self.largest = 0
        """About the largest piece of late."""
        self._under_way = self._delivered = 0
        self._delivered_at = self._first_sent_at = 0.0
        self._rate = _Most()
        self._bursts: deque[float] = deque(maxlen=BURSTS)
        self._round, self._round_ends = 0, 0
        self._best, self._plateau, self._plateau_round = 0.0, 0, 0
        self._delays: deque[tuple[float, float, int]] = deque()
        self._alone_at: float | None = None
        self._epoch_start, self._epoch_acked, self._burst = 0.0, 0, 0.0

    @property
    def rate(self) -> float:
        """Bytes a second that were acknowledged lately, at most; 0 before the first."""
        return self._rate.value

    @property
    def round_trip(self) -> float:
        """Seconds from a piece to its acknowledgement lately, at least, less those that the piece itself takes."""
        return self._product() / self.rate if self.rate else 0.0

    def waits(self, now: float) -> bool:
        """Whether nothing may be sent until all is acknowledged, so that a piece goes alone and tells the delay without a queue."""
        return self._under_way > 0 and self._alone_at is not None and now - self._alone_at > DELAY_SECONDS

    def send(self, size: int, now: float) -> Piece:
        """Notes that a piece is sent; give the result to `acknowledge`."""
        if alone := self._under_way == 0:
            self._delivered_at = self._first_sent_at = now
            self._alone_at = now
        self._under_way += size
        self.largest = max(size, int(self.largest * FORGETTING))
        filled = self._under_way + self.largest > self.window
        return Piece(size, now, self._delivered, self._delivered_at, self._first_sent_at, alone, filled)

    def acknowledge(self, pieces: Iterable[Piece], now: float) -> None:
        """Learns from pieces that are acknowledged in one go."""
        pieces = list(pieces)
        if not pieces:
            return
        size = sum(piece.size for piece in pieces)
        self._note_bursts(size, now)
        self._under_way -= size
        self._delivered += size
        self._delivered_at, self._first_sent_at = now, max(piece.sent_at for piece in pieces)
        if max(piece.delivered for piece in pieces) >= self._round_ends:
            self._next_round()
        for piece in pieces:
            self._note_rate(piece, now)
        for piece in pieces:
            self._note_delay(piece, now)
        burst = max(median(self._bursts or (0,)), self.largest)
        self.window = max(int(self._gain * self._product() + burst) + self.largest, LEAST_BYTES)

    @property
    def _gain(self) -> float:
        if self._plateau < PLATEAU_ROUNDS:
            return STARTUP_GAIN
        return 1.0 if self._round % PROBE_ROUNDS else PROBE_GAIN

    def _next_round(self) -> None:
        """What is under way now belongs to a new round."""
        self._round += 1
        self._round_ends = self._delivered

    def _note_rate(self, piece: Piece, now: float) -> None:
        seconds = max(now - piece.delivered_at, piece.sent_at - piece.first_sent_at)
        rate = (self._delivered - piece.delivered) / max(seconds, 1e-6)
        if piece.filled or rate > self.rate:
            self._rate.add(self._round, rate)
        if self.rate >= self._best * GROWTH:
            self._best, self._plateau, self._plateau_round = self.rate, 0, self._round
        elif piece.filled and self._round > self._plateau_round:
            self._plateau, self._plateau_round = self._plateau + 1, self._round

    def _note_delay(self, piece: Piece, now: float) -> None:
        """Keeps the least delay of every half second, of which only those of the last 10 seconds count."""
        waited = now - piece.sent_at
        if self._delays and now - self._delays[-1][0] < BUCKET_SECONDS:
            at, least, size = self._delays[-1]
            if self._beyond(waited, piece.size) < self._beyond(least, size):
                self._delays[-1] = at, waited, piece.size
        else:
            self._delays.append((now, waited, piece.size))
        while now - self._delays[0][0] > DELAY_SECONDS:
            self._delays.popleft()

    def _note_bursts(self, size: int, now: float) -> None:
        """How much more is acknowledged at once than the bandwidth delivers meanwhile."""
        if self._epoch_acked <= self.rate * (now - self._epoch_start):
            self._bursts.append(self._burst)
            self._epoch_start, self._epoch_acked, self._burst = now, 0, 0.0
        self._epoch_acked += size
        self._burst = max(self._burst, self._epoch_acked - self.rate * (now - self._epoch_start))

    def _beyond(self, waited: float, size: int) -> float:
        """Bytes that the pipe takes up beyond a piece, by the time until that was acknowledged."""
        return max(self.rate * waited - size, 0.0)

    def _product(self) -> float:
        """Bandwidth times delay in bytes."""
        return min((self._beyond(waited, size) for _, waited, size in self._delays), default=0.0)
