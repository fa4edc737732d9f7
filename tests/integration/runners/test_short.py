"""Tasks that are known to be short: their ends are told of together, which must not hold any of them back for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.runners.modules import Folder
from tests.integration.runners.desk import key_of, opened, python, report_key

TASKS = """
import threading

gate = threading.Event()

def mostly(lasts=False):
    if lasts:
        gate.wait(30)
"""


@pytest.mark.parametrize("before", [5, 150])
async def test_what_ended_before_a_task_that_lasts_is_told_though_all_were_thought_to_be_short(
    tmp_path: Path, before: int
) -> None:
    """Short ends wait for each other, but never for what turns out to be long."""
    async with opened(tmp_path, slots=1, ahead=1000) as desk:
        desk.write("tasks.py", TASKS)
        desk.send(*[desk.make(python("tasks:mostly")) for _ in range(300)])
        await desk.hear(300)
        short = [desk.make(python("tasks:mostly")) for _ in range(before)]
        desk.send(*short, desk.make(python("tasks:mostly"), {"with": {"lasts": True}}))
        told = await desk.hear(before)
        assert {report_key(report) for report in told} == {key_of(each) for each in short}
        Folder.at(str(desk.app)).load("tasks").gate.set()
        await desk.hear(1)
