"""What the measured tasks do."""

import asyncio


def noop() -> None:
    """Nothing."""


async def anoop() -> None:
    """Nothing, as a coroutine."""


async def pause() -> None:
    """Nothing, for so long that a task run moves three times in about 0.3 s."""
    await asyncio.sleep(0.28)


async def nap() -> None:
    """Nothing, for a while."""
    await asyncio.sleep(0.05)


def fail() -> None:
    """What fails, each time."""
    raise ValueError("on purpose")
