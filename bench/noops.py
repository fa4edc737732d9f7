"""What the measured tasks do."""


def noop() -> None:
    """Nothing."""


async def anoop() -> None:
    """Nothing, as a coroutine."""
