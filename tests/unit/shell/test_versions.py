"""Versions: a run keeps those of its children, and a rerun may go on with another one of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.engine.core.plan import Plan
from headrace.engine.core.workflow import Task
from headrace.engine.shell import history
from headrace.engine.shell.commands import RerunBody
from tests.support.flows import child, flow, over, py, sleep, tries
from tests.unit.shell.rig import HOLD, Answer, Rig, fails

ONCE = tries(1)


async def restart(bench: Rig) -> None:
    await bench.engine.stop()
    bench.make()
    await bench.engine.start()
    await bench.settle()


# -- children ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_run_calls_the_version_that_there_was_when_it_started(bench: Rig, restarted: bool) -> None:
    """faults 14: live runs keep their versions, those of what they call too."""
    old, new = flow(py("old")), flow(py("new"))
    await bench.register(old, "inner")
    row = await bench.submit(flow(sleep("nap", 60), child("call", "inner", "nap")))
    await bench.settle()
    await bench.register(new, "inner")
    if restarted:
        await restart(bench)
    await bench.advance(61)
    assert bench.worker.names == ["old"]
    (made,) = await bench.store.children(row.no)
    assert made.version == 1
    later = await bench.run(flow(child("call", "inner")))
    assert [made.version for made in await bench.store.children(later.run.no)] == [2]
    await bench.agrees(row.no)


async def test_every_item_of_a_map_calls_the_same_version(bench: Rig) -> None:
    await bench.register(flow(py("old")), "inner")
    row = await bench.submit(flow(child("call", "inner", map=over([1, 2, 3]), max_parallel=1)))
    bench.worker.body = lambda dispatch: HOLD
    await bench.settle()
    await bench.register(flow(py("new")), "inner")
    for _ in range(3):
        await bench.worker.finish("old")
        await bench.settle()
    assert (await bench.row(row.no)).state == 6
    assert {made.version for made in await bench.store.children(row.no)} == {1}


async def test_a_workflow_that_comes_later_is_found_when_it_is_called(bench: Rig) -> None:
    row = await bench.submit(flow(sleep("nap", 60), child("call", "inner", "nap")))
    await bench.settle()
    await bench.register(flow(py("work")), "inner")
    await bench.advance(61)
    assert (await bench.row(row.no)).state == 6


# -- reruns ------------------------------------------------------------------------------------------------------

OLD = flow(py("first"), py("m", "first", retry=ONCE, with_={"x": "${{ tasks.first.output }}"}))
NEW = flow(
    py("added"),
    py("first"),
    py(
        "m", "first", "added", retry=ONCE, with_={"x": "${{ tasks.first.output }}", "n": "${{ run.version }}"}
    ),
    output="${{ tasks.m.output }}",
)


async def failed(bench: Rig, plan: Plan = OLD, output: Any = 7) -> int:
    """A run of version 1 whose task m failed; from now on all succeed."""
    bench.worker.body = lambda d: fails() if d.job.task_id == "m" else Answer(output=output)
    view = await bench.run(plan)
    assert view.run.state == 7
    bench.worker.seen.clear()
    bench.worker.body = lambda d: Answer(output=d.inputs.get("with"))
    return view.run.no


@pytest.mark.parametrize("version", [2, "latest"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_rerun_goes_on_with_the_new_version(bench: Rig, version: Any, restarted: bool) -> None:
    no = await failed(bench)
    await bench.register(NEW)
    await bench.command(no, "rerun", RerunBody("ann", version=version))
    if restarted:
        bench.worker.body = lambda dispatch: HOLD
        await bench.settle()
        bench.worker.held.clear()
        bench.worker.seen.clear()
        bench.worker.body = lambda d: Answer(output=d.inputs.get("with"))
        await restart(bench)
    await bench.settle()
    view = await bench.view(no)
    assert (view.run.state, view.run.generation, view.run.version, view.run.plan) == (6, 2, 2, NEW.hash)
    assert bench.worker.names == ["added", "m"]
    assert json.loads(view.run.output or b"") == {"x": 7, "n": 2}
    assert {task.id: (task.state, task.generation) for task in view.tasks} == dict.fromkeys(
        ("added", "first", "m"), ("succeeded", 2)
    )
    await bench.agrees(no)


async def test_what_the_store_kept_of_a_task_run_is_kept(bench: Rig) -> None:
    no = await failed(bench)
    (before,) = [row for row in await bench.store.task_rows(no) if row.task == 0]
    await bench.register(NEW)
    await bench.command(no, "rerun", RerunBody("ann", version=2))
    await bench.settle()
    number = NEW.index["first"]
    (after,) = [row for row in await bench.store.task_rows(no) if (row.generation, row.task) == (2, number)]
    assert after == before._replace(generation=2, task=number)


async def test_after_a_rerun_on_a_new_version_reruns_and_commands_mean_that_version(bench: Rig) -> None:
    no = await failed(bench)
    await bench.register(NEW)
    await bench.command(no, "rerun", RerunBody("ann", version=2))
    await bench.settle()
    bench.worker.seen.clear()
    await bench.command(no, "rerun", RerunBody("ann", ["added"]))
    await bench.settle()
    assert bench.worker.names == ["added", "m"]
    view = await bench.view(no)
    assert (view.run.state, view.run.generation, view.run.version) == (6, 3, 2)
    await bench.agrees(no)
    await bench.command(no, "rerun", RerunBody("ann", ["m"], version=1))  # and back again
    await bench.settle()
    view = await bench.view(no)
    assert (view.run.state, view.run.version, {task.id for task in view.tasks}) == (6, 1, {"first", "m"})
    await bench.agrees(no)


async def refusal(bench: Rig, no: int) -> str:
    body = (await bench.store.history(no))[-1].body
    shelf: Any = type("Nothing", (), {"output": lambda *_: None, "artifact": lambda *_: None})()
    (refused,) = history.decode(body, shelf).refused
    assert (await bench.row(no)).generation == 1
    return refused.why


async def test_a_version_that_does_not_fit_is_refused_with_what_and_why(bench: Rig) -> None:
    no = await failed(bench)
    await bench.register(flow(py("first")))
    await bench.command(no, "rerun", RerunBody("ann", version=2))
    await bench.settle()
    assert await refusal(bench, no) == (
        'The run cannot go on with version 2: task "m" is to run again, and version 2 has no such task. '
        "Name tasks that it has, or start a new run of it."
    )
    await bench.agrees(no)


async def test_a_version_that_is_not_there_is_refused(bench: Rig) -> None:
    no = await failed(bench)
    await bench.command(no, "rerun", RerunBody("ann", version=9))
    await bench.settle()
    assert await refusal(bench, no) == 'Workflow "w" has no version 9 that is registered.'


async def test_the_runs_own_version_is_a_plain_rerun(bench: Rig) -> None:
    no = await failed(bench)
    await bench.command(no, "rerun", RerunBody("ann", version=1))
    await bench.settle()
    view = await bench.view(no)
    assert (view.run.state, view.run.version) == (6, 1)
    assert {task.id: task.generation for task in view.tasks} == {"first": 1, "m": 2}
    await bench.agrees(no)


async def test_maps_keep_items_and_judged_elements_under_the_new_version(bench: Rig) -> None:
    def mapped(*more: Task) -> Plan:
        return flow(py("p", map=over("${{ params.l }}"), with_={"x": "${{ item }}"}), py("m", "p", retry=ONCE), *more,
                    params={"l": {"type": "array"}})  # fmt: skip

    bench.worker.body = lambda d: fails() if d.job.task_id == "m" else Answer(output=d.inputs["with"]["x"])
    view = await bench.run(mapped(), {"l": ["a", "b", "c"]})
    await bench.register(mapped(py("added")))
    bench.worker.seen.clear()
    await bench.command(view.run.no, "rerun", RerunBody("ann", ["p[1]"], version=2))
    bench.worker.body = lambda d: Answer(output=d.inputs.get("with"))
    await bench.settle()
    assert sorted(bench.worker.names) == ["added", "m", "p"]
    (again,) = [dispatch for dispatch in bench.worker.seen if dispatch.job.task_id == "p"]
    assert again.inputs["with"] == {"x": "b"}
    assert (await bench.row(view.run.no)).state == 6
    await bench.agrees(view.run.no)


async def test_a_rerun_on_a_new_version_calls_what_is_the_latest_then(bench: Rig) -> None:
    await bench.register(flow(py("old")), "inner")
    one = flow(child("call", "inner"), py("m", "call", retry=ONCE))
    no = await failed(bench, one)
    await bench.register(flow(py("new")), "inner")
    await bench.register(flow(child("call", "inner"), child("more", "inner"), py("m", "call", retry=ONCE)))
    await bench.command(no, "rerun", RerunBody("ann", version=2))
    await bench.settle()
    assert (await bench.row(no)).state == 6
    assert [made.version for made in await bench.store.children(no)] == [1, 2]
    await bench.agrees(no)
