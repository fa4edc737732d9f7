"""Runs of an open home are waited for, whoever started them and whenever."""

from __future__ import annotations

import asyncio
from pathlib import Path

from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import PythonCall, Retry, Task, Workflow
from headrace.engine.ports.store import RunRow
from headrace.runners.embedded import Embedded

CODE = """
def ok():
    return 1

def fails():
    raise ValueError("no")
"""


def plan_of(tmp_path: Path, *functions: str) -> Plan:
    (tmp_path / "waited.py").write_text(CODE)
    tasks = [Task(f"t{i}", PythonCall(f"waited:{name}"), retry=Retry()) for i, name in enumerate(functions)]
    return build_plan(Workflow("waited", tuple(tasks)))[0]


async def submit(embedded: Embedded, plan: Plan, folder: Path) -> RunRow:
    return await embedded.submit(plan, {}, trigger={"kind": "manual", "by": "test"}, folder=str(folder))


def home_of(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


async def test_many_at_once_each_end_in_their_own_state(tmp_path: Path) -> None:
    good, bad = plan_of(tmp_path, "ok", "ok"), plan_of(tmp_path, "ok", "fails")
    async with Embedded.open(home_of(tmp_path)) as embedded:

        async def one(plan: Plan) -> tuple[int, RunState]:
            row = await submit(embedded, plan, tmp_path)
            return row.no, await embedded.wait(row)

        ended = await asyncio.gather(*(one(bad if number % 5 == 0 else good) for number in range(40)))
        assert len({no for no, _ in ended}) == 40
        states = [state for _, state in ended]
        assert states == [RunState.FAILED if n % 5 == 0 else RunState.SUCCEEDED for n in range(40)]
        for no, state in ended:
            stored = await embedded.store.run(no)
            assert stored is not None
            assert stored.state == state


async def test_a_run_that_has_ended_is_waited_for_no_longer(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "ok")
    async with Embedded.open(home_of(tmp_path)) as embedded:
        row = await submit(embedded, plan, tmp_path)
        assert await embedded.wait(row) is RunState.SUCCEEDED
        assert await embedded.wait(row) is RunState.SUCCEEDED


async def test_a_rerun_starts_from_what_is_stored_not_from_what_was_created(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "ok", "fails")
    async with Embedded.open(home_of(tmp_path)) as embedded:
        row = await submit(embedded, plan, tmp_path)
        assert await embedded.wait(row) is RunState.FAILED
        (tmp_path / "waited.py").write_text(CODE.replace('raise ValueError("no")', "return 2"))
        await embedded.command(row.no, "rerun", {"by": "test", "keys": None})
        await embedded.wait(row)
        again = await embedded.store.run(row.no)
        assert again is not None
        assert again.generation == 2
        rows = await embedded.store.task_rows(row.no)
        assert {(r.generation, r.task) for r in rows} == {(1, 0), (1, 1), (2, 1)}, (
            "the one that succeeded is kept"
        )
