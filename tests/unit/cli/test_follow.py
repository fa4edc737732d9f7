"""Ctrl-C while a run is followed."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from headrace.cli.follow import Interrupts


class Nobody:
    """No engine takes a command."""

    async def command(self, run: object, kind: str, body: dict[str, Any]) -> None:
        raise LookupError(f"nobody takes {kind}")


async def test_a_cancel_that_nobody_takes_is_said_and_the_next_one_kills() -> None:
    said: list[str] = []
    told = asyncio.Event()

    class Shown:
        def remark(self, text: str) -> None:
            said.append(text)
            if text.startswith("headrace:"):
                told.set()

    unseen: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context["message"]))
    interrupts = Interrupts(Nobody(), None, Shown())  # type: ignore[arg-type]
    async with interrupts.caught(True), asyncio.timeout(10):
        for _ in range(2):
            told.clear()
            os.kill(os.getpid(), signal.SIGINT)
            await told.wait()
    assert [text for text in said if text.startswith("headrace:")] == [
        "headrace: nobody takes cancel",
        "headrace: nobody takes kill",
    ]
    assert interrupts.count == 2
    assert unseen == []
