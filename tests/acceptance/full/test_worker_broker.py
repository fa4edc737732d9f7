"""A worker whose Kafka goes away: its tasks go on, and no report is lost. W6, W10; faults 17."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.full.workplace import Workplace, opened
from tests.support.office import key_of, python, report_key
from tests.support.servers import BreakableServers
from tests.support.waiting import PATIENCE, appears

TASKS = """
import os, time
def until(path, mark):
    while not os.path.exists(path): time.sleep(0.01)
    open(mark, "w").close()
    return mark
"""


@pytest.fixture
async def place(breakable_lab: BreakableServers, tmp_path: Path) -> AsyncIterator[Workplace]:
    async with opened(tmp_path, breakable_lab.kafka, breakable_lab.kafka_prefix()) as workplace:
        workplace.write("tasks.py", TASKS)
        yield workplace


async def appear(paths: list[Path]) -> None:
    for path in paths:
        await asyncio.to_thread(appears, path)


@pytest.mark.parametrize("ending", ["kill", "stop"])
async def test_tasks_go_on_and_every_report_arrives_in_order(
    place: Workplace, breakable_lab: BreakableServers, tmp_path: Path, ending: str
) -> None:
    worker, _ = await place.hire("one", "--concurrency", "8")
    office, go = place.office, tmp_path / "go"
    marks = [tmp_path / f"mark{number}" for number in range(8)]
    sent = [
        office.make(python("tasks:until"), {"with": {"path": str(go), "mark": str(mark)}}) for mark in marks
    ]
    office.send(*sent[:4], part=0)
    office.send(*sent[4:], part=1)
    await office.hear(8, "started")
    await asyncio.to_thread(getattr(breakable_lab, ending), "kafka")
    go.touch()
    await appear(marks)  # all have ended while there was no broker
    await asyncio.to_thread(breakable_lab.restart, "kafka")
    reports = await office.hear(8, within=PATIENCE)
    while len({*map(report_key, reports)}) < len(sent):  # whoever hears no acknowledgement sends again
        reports += await office.hear(1, within=PATIENCE)
    assert {*map(report_key, reports)} == {*map(key_of, sent)}
    assert {report.kind for report in reports} == {"succeeded"}
    again = office.make(python("tasks:until"), {"with": {"path": str(go), "mark": str(marks[0])}})
    office.send(again)
    assert (await office.report_of(again, within=PATIENCE)).kind == "succeeded"
    async with asyncio.timeout(PATIENCE):  # held until the worker, too, knows that its report is there
        office.ask()
        while (await office.hear_alive()).held:
            office.ask()
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    assert "Traceback" not in worker.said


async def test_results_outlive_a_worker_that_is_stopped_while_the_broker_is_away(
    place: Workplace, breakable_lab: BreakableServers, tmp_path: Path
) -> None:
    worker, _ = await place.hire("one")
    office, go, mark = place.office, tmp_path / "go", tmp_path / "mark"
    dispatch = office.make(python("tasks:until"), {"with": {"path": str(go), "mark": str(mark)}})
    office.send(dispatch)
    await office.hear(1, "started")
    await asyncio.to_thread(breakable_lab.stop, "kafka")
    go.touch()
    await appear([mark])
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0, worker.said
    assert "1 report could not be sent" in worker.said
    assert list((tmp_path / "home" / "worker" / "one" / "reports").iterdir())
    await asyncio.to_thread(breakable_lab.restart, "kafka")
    await place.hire("one")
    report = await office.report_of(dispatch, within=PATIENCE)
    assert (report.kind, report.output) == ("succeeded", f'"{mark}"'.encode())
    office.send(office.make(python("tasks:until"), {"with": {}}, task=dispatch.task, n=2))
    async with asyncio.timeout(PATIENCE):
        while office.reports[-1].n != 2:
            await office.hear(1)
    assert office.reports[-1].kind == "succeeded", "it is remembered, not done again"


async def test_a_broker_that_stands_still_is_waited_for(
    place: Workplace, breakable_lab: BreakableServers, tmp_path: Path
) -> None:
    await place.hire("one")
    office, go, mark = place.office, tmp_path / "go", tmp_path / "mark"
    dispatch = office.make(python("tasks:until"), {"with": {"path": str(go), "mark": str(mark)}})
    office.send(dispatch)
    await office.hear(1, "started")
    with breakable_lab.paused("kafka"):
        go.touch()
        await appear([mark])
    assert (await office.report_of(dispatch, within=PATIENCE)).kind == "succeeded"
    while (await office.beat(of="one")).held:
        pass
