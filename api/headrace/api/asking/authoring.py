"""Texts of workflows from outside, checked within bounds of time and memory, a few at once. No Litestar here.

A small text is checked on a thread: it cannot take long (a fraction of a second for the worst that is known). A larger one
has a process of its own, which is killed when it takes too long or too much, and which holds no interpreter lock of ours.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection
from contextlib import suppress

import msgspec

from headrace.api.asking import checking
from headrace.api.asking.checking import Checked, Version
from headrace.api.problems import Problem
from headrace.engine.core.workflow import Json
from headrace.engine.ports.store import VersionRow

SMALL = 64 * 1024
"""Bytes that are checked on a thread."""
WITHIN = 30.0
"""Seconds that a check may take, waiting for its turn left out."""
AT_ONCE, IN_LINE = 2, 32
"""Checks at a time, and how many wait for their turn before the next is told to come again."""
SECONDS_LATER = 2

_decode = msgspec.msgpack.Decoder(Checked).decode


class Desk:
    """Checks texts, so many at a time. One per process of the API."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        self._here = 0

    async def check(self, data: bytes, *, json: bool, pools: Collection[str]) -> Checked:
        """What is said of the text. `pools`: those that have a size. Raises Problem: 413 for one that cannot be checked within the bounds, 503 when too many
        wait already."""
        if self._here >= AT_ONCE + IN_LINE:
            raise Problem(
                503,
                "busy",
                "Too many workflows are being checked at the moment; send it again a little later.",
                headers={"Retry-After": str(SECONDS_LATER)},
            )
        self._here += 1
        try:
            async with self._places:
                if len(data) <= SMALL:
                    return await asyncio.to_thread(checking.check, data, json, pools)
                return await _apart(data, "json" if json else "yaml", pools)
        finally:
            self._here -= 1

    async def accept(self, data: bytes, *, json: bool, pools: Collection[str]) -> tuple[Version, list[Json]]:
        """The version that the text is, and its warnings. Raises Problem: 422 with the problems of `validate --json`, and what
        `check` raises."""
        checked = await self.check(data, json=json, pools=pools)
        if checked.version is None:
            raise refused(checked)
        return checked.version, checked.report["warnings"]


def refused(checked: Checked) -> Problem:
    """422: what is wrong with the text."""
    problems = checked.report["problems"]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    first = problems[0]["message"] if problems else "it is not valid"
    return Problem(
        422,
        "invalid_workflow",
        f"The workflow has {count}: {first}" + ("" if len(problems) == 1 else " …"),
        problems=problems,
        warnings=checked.report["warnings"],
    )


def row_of(version: Version, project: str, at: float) -> VersionRow:
    """What registering the version stores. `at`: seconds since the epoch."""
    return VersionRow(
        project, version.name, 0, version.plan, version.document, version.description, version.tags, at
    )


async def _apart(data: bytes, kind: str, pools: Collection[str]) -> Checked:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        checking.__name__,
        kind,
        *pools,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(WITHIN):
            said, _ = await process.communicate(data)
    except TimeoutError:
        raise _too_much() from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise _too_much()
    return _decode(said)


def _too_much() -> Problem:
    return Problem(
        413,
        "too_large",
        "The workflow cannot be checked within the time and memory that one may take. Split it: a part can be a workflow of "
        "its own, called with `workflow:`.",
    )
