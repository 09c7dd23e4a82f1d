"""Waiting for tiles: as long as the client does, and only so many at a time."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TypeVar

from starlette.requests import Request

from terraloom.errors import CancelledError, ResourceExhaustedError

__all__ = ["MOST_WAITING", "Admission", "unless_disconnected"]

T = TypeVar("T")

MOST_WAITING = 512
"""Requests that may wait for generation at a time; at some 5 tiles a second the last one waits for less than two minutes."""


RETRY_SECONDS = 2.0
"""When a client that was turned away is asked to come back."""


class Admission:
    """Counts the requests that wait for generation."""

    def __init__(self, limit: int = MOST_WAITING) -> None:
        self._limit = limit
        self.waiting = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Room for one more while the body runs. Raises ResourceExhaustedError when there is none."""
        if self.waiting >= self._limit:
            raise ResourceExhaustedError(f"{self._limit} requests wait for tiles already: try again later", retry_after=RETRY_SECONDS)
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


async def unless_disconnected(request: Request, work: Coroutine[None, None, T]) -> T:
    """Result of `work`, which is cancelled when the client goes away; then raises CancelledError, which nobody hears."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise CancelledError("the client has gone")
    finally:
        for future in (task, gone):
            future.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
