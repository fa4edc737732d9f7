"""Several questions under way at once, and no more than a few."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

AT_ONCE = 8


async def each(questions: Sequence[Q], ask: Callable[[Q], Awaitable[A]]) -> list[A]:
    """An answer to each, in their order. The first that fails ends the others."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(question: Q) -> A:
        async with room:
            return await ask(question)

    try:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(one(question)) for question in questions]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [answer.result() for answer in asked]
