"""Rates: how much a caller may have a second. What is over delays a stream, and refuses a call with the time to come back.

A token bucket holds at most what comes in a second. A tile is never cut in two, so the bucket may go into debt, and nothing more is
handed out until that is paid; what is urgent may go a second's worth deeper, so that bulk does not stand before it.
"""

import time
from dataclasses import dataclass

from terraloom.errors import ResourceExhaustedError

__all__ = ["Allowance", "Bucket"]

RESERVE_SECONDS = 1.0
"""How deep in debt what is urgent may still go."""


class Bucket:
    """Fills with `rate` a second. Times are those of `time.monotonic`."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._level, self._at = rate, time.monotonic()

    def _fill(self) -> float:
        now = time.monotonic()
        self._level, self._at = min(self._level + self.rate * (now - self._at), self.rate), now
        return self._level

    def take(self, amount: float) -> None:
        """Takes out, into debt if need be."""
        self._level = self._fill() - amount

    def wait(self, reserve: float = 0.0) -> float:
        """Seconds until the debt is paid, or but for `reserve` seconds' worth; 0 when that is so now."""
        return max(-self._fill() / self.rate - reserve, 0.0)


@dataclass(slots=True)
class Allowance:
    """What one caller may have, and has had. Without buckets it is without limits."""

    tiles_bucket: Bucket | None = None
    bytes_bucket: Bucket | None = None
    tiles: int = 0
    """Handed out so far."""
    bytes: int = 0
    refused: int = 0
    """Calls turned away."""

    def spend(self, tiles: int, size: int) -> None:
        """Notes what was handed out: tiles, and bytes of messages."""
        self.tiles += tiles
        self.bytes += size
        if self.tiles_bucket is not None and tiles:
            self.tiles_bucket.take(tiles)
        if self.bytes_bucket is not None:
            self.bytes_bucket.take(size)

    def pause(self, urgent: bool = False) -> float:
        """Seconds until a stream may have its next tile; 0 when it may now."""
        reserve = RESERVE_SECONDS if urgent else 0.0
        return max((bucket.wait(reserve) for bucket in (self.tiles_bucket, self.bytes_bucket) if bucket is not None), default=0.0)

    def require(self) -> None:
        """Raises ResourceExhaustedError, with the time to come back, while there is debt."""
        seconds = self.pause()
        if seconds > 0.0:
            self.refused += 1
            text = f"the token's tiles or bytes a second are used up: try again in {seconds:.1f} s"
            raise ResourceExhaustedError(text, retry_after=seconds)
