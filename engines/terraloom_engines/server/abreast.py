"""Abreast: a lot done by a few tasks, so that what one call asks for costs no memory before its turn."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

__all__ = ["for_each"]

T = TypeVar("T")

BREATH = 16
"""Items after which a task lets others go, even where it never waits."""


async def for_each(items: Collection[T], abreast: int, do: Callable[[T], Awaitable[None]]) -> None:
    """Does all items, in order, at most `abreast` at a time. Raises the first error, once the others are cancelled."""
    rest = iter(items)

    async def work() -> None:
        for number, item in enumerate(rest, 1):
            await do(item)
            if number % BREATH == 0:
                await asyncio.sleep(0)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(abreast, len(items))):
                group.create_task(work())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
