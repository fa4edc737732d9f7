"""Waiting for processes that are not ours to be told by: the one place in the tests that looks again and again."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

PATIENCE = 60.0
"""Seconds after which something that should have happened long ago is given up."""

LOOK_EVERY = 0.01


def eventually(
    holds: Callable[[], object], otherwise: Callable[[], str] | str, within: float = PATIENCE
) -> None:
    """Look until it holds: for what another process does and nothing tells. Fails with `otherwise` after the deadline."""
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(otherwise if isinstance(otherwise, str) else otherwise())
        time.sleep(LOOK_EVERY)


async def comes_true(
    holds: Callable[[], Awaitable[object]], otherwise: str, within: float = PATIENCE
) -> None:
    """The same while the loop goes on, where looking takes asking somebody."""
    end = time.monotonic() + within
    while not await holds():
        if time.monotonic() > end:
            raise AssertionError(otherwise)
        await asyncio.sleep(LOOK_EVERY)


def appears(path: Path, otherwise: Callable[[], str] = str, within: float = PATIENCE) -> None:
    """Until the file is there: a task says in this way that it has come so far."""
    eventually(path.exists, lambda: f"{path.name} never appeared {otherwise()}", within)


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] != "Z"


def gone(*pids: int, within: float = PATIENCE) -> bool:
    """Whether all these processes end, as the system tells it, within so many seconds."""
    end = time.monotonic() + within
    return all(_ends(pid, end) for pid in pids)


def _ends(pid: int, end: float) -> bool:
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        told = select.poll()
        told.register(watched, select.POLLIN)
        return bool(told.poll(max(0.0, end - time.monotonic()) * 1000))
    finally:
        os.close(watched)


async def gone_meanwhile(*pids: int, within: float = PATIENCE) -> bool:
    """The same, while the loop goes on."""
    return await asyncio.to_thread(gone, *pids, within=within)
