"""W6: what is held stays held until its last report is acknowledged."""

from __future__ import annotations

import asyncio

import pytest

from headrace.engine.ports.messages import Alive
from tests.integration.runners.desk import Desk, key_of, python


async def test_a_result_that_the_broker_has_not_taken_is_still_held(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults 18: the task has ended; whoever asks is told that it is here, not that nobody knows it."""
    real, refused, away = desk.side.report, asyncio.Event(), True

    async def report(part: int, message: object) -> None:
        if not isinstance(message, Alive) and away:
            refused.set()
            raise ConnectionError("no broker")
        await real(part, message)  # type: ignore[arg-type]

    monkeypatch.setattr(desk.side, "report", report)
    monkeypatch.setattr(desk.side, "report_at_once", lambda part, message: False)
    desk.write("tasks.py", "def noop(): ...\n")
    sent = desk.make(python("tasks:noop"))
    desk.send(sent)
    await refused.wait()  # so it has ended, and its report has not arrived
    desk.ask(sent)
    assert (await desk.hear_alive()).held == [key_of(sent)]
    away = False
    (done,) = await desk.hear(1)
    assert done.kind == "succeeded"
