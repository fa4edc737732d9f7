"""What the measured tasks do."""

import asyncio


def noop() -> None:
    """Nothing."""


async def anoop() -> None:
    """Nothing, as a coroutine."""


async def nap() -> None:
    """Nothing, for a while."""
    await asyncio.sleep(0.05)
