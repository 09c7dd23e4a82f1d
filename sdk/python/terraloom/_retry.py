"""When to try again after a connection was lost."""

import asyncio
import random
import time

from terraloom._options import Reconnect
from terraloom.errors import ResourceExhaustedError, TerraloomError, UnavailableError

STABLE_SECONDS = 10.0
"""A connection that lasted this long starts the pauses and the patience anew when it is lost."""


class Retry:
    """Attempts to reopen a connection: pauses double up to the longest, with jitter, until the patience is over."""

    def __init__(self, policy: Reconnect) -> None:
        self._policy = policy
        self._pause = policy.first_pause
        self._end = self._lost_at = time.monotonic()
        self.attempts = 0
        """Since the connection was lost last."""

    @property
    def seconds(self) -> float:
        """Since the connection was lost last."""
        return time.monotonic() - self._lost_at

    def lost(self, lasted: float) -> None:
        """The connection was lost after `lasted` seconds."""
        self._lost_at, self.attempts = time.monotonic(), 0
        if lasted >= STABLE_SECONDS or self._lost_at >= self._end:
            self._pause, self._end = self._policy.first_pause, self._lost_at + self._policy.patience

    async def wait(self, at_least: float | None) -> bool:
        """Pause before the next attempt, as long as the server asks for; False when the patience is over."""
        rest = self._end - time.monotonic()
        if rest <= 0.0:
            return False
        asked = (at_least or 0.0) * random.uniform(1.0, 1.5)
        await asyncio.sleep(min(max(self._pause * random.uniform(0.5, 1.0), asked), rest))
        self._pause = min(2 * self._pause, self._policy.longest_pause)
        self.attempts += 1
        return True


def is_worth_a_retry(error: TerraloomError, was_open: bool) -> bool:
    """Whether the same stream may be opened again after `error`; a server that is full may have room later, a session too large has not."""
    return isinstance(error, UnavailableError) or (isinstance(error, ResourceExhaustedError) and not was_open)
