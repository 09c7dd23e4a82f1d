"""Admission: how much of what calls ask for may be in hand at a time, so that no crowd of calls fills the memory.

Counted are places: tiles of a barrier, points of a `SampleHeights`. A client may have as many as would be left for others (dynamic
thresholds, Choudhury and Hahne 1998), so that one takes at most half and there is room for another.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from terraloom.errors import ResourceExhaustedError

__all__ = ["MOST_PLACES", "Admission"]

MOST_PLACES = 1 << 20
"""Of all calls in hand; a place takes some 200 bytes."""
LEAST_PLACES = 256
"""What any call counts for: it takes some 50 kB itself. So at most 4096 calls are in hand."""
RETRY_SECONDS = 2.0
"""When a client that was turned away is asked to come back."""


class Admission:
    """What the calls in hand ask for, by client. Lives on the event loop's thread."""

    def __init__(self, capacity: int = MOST_PLACES) -> None:
        self._capacity = capacity
        self._places: Counter[str] = Counter()
        self._total = 0

    @contextmanager
    def __call__(self, client: str, places: int = LEAST_PLACES) -> Iterator[None]:
        """Room for so much while the body runs. Raises ResourceExhaustedError, with the time to come back, when there is none."""
        places = max(places, LEAST_PLACES)
        if places > (self._capacity - self._total - self._places[client]) // 2:
            text = "the server has as many of your calls in hand as it takes at a time: try again later"
            raise ResourceExhaustedError(text, retry_after=RETRY_SECONDS)
        self._count(client, places)
        try:
            yield
        finally:
            self._count(client, -places)

    def _count(self, client: str, places: int) -> None:
        self._total += places
        self._places[client] += places
        if not self._places[client]:
            del self._places[client]
