"""Runs that tasks start: what they give back, and what goes down to them and up again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.engine.shell.commands import StopBody
from tests.support.flows import child, flow, py
from tests.unit.shell.rig import HOLD, Answer, Rig


async def test_a_child_runs_and_its_output_is_the_tasks(bench: Rig) -> None:
    inner = flow(
        py("work", with_={"d": "${{ params.day }}"}),
        params={"day": {"type": "string"}},
        output="${{ tasks.work.output }}",
    )
    await bench.register(inner, "inner")
    bench.worker.body = lambda d: Answer(output="did " + d.inputs["with"]["d"])
    view = await bench.run(
        flow(child("call", "inner", with_={"day": "monday"}), output="${{ tasks.call.output }}")
    )
    assert json.loads(view.run.output or b"") == "did monday"
    (made,) = await bench.store.children(view.run.no)
    assert view.tasks[0].child_run == made.id
    assert (made.depth, made.state) == (1, 6)
    await bench.agrees(view.run.no)
    await bench.agrees(made.no)


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [("nowhere", {}, "child_unknown"), ("inner", {"nope": 1}, "invalid_input")],
)
async def test_a_child_that_cannot_start_fails_its_task(
    bench: Rig, name: str, given: dict[str, Any], reason: str
) -> None:
    await bench.register(flow(py("work")), "inner")
    view = await bench.run(flow(child("call", name, with_=given)))
    assert (view.tasks[0].state, view.tasks[0].reason) == ("failed", reason)
    assert await bench.store.children(view.run.no) == []
    await bench.agrees(view.run.no)


async def test_a_child_that_is_not_waited_for_outlives_its_parent(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    await bench.register(flow(py("work")), "inner")
    view = await bench.run(flow(child("call", "inner", wait=False)))
    assert view.run.state == 6
    (made,) = await bench.store.children(view.run.no)
    assert view.tasks[0].child_run == made.id
    assert not made.finished_at
    await bench.worker.finish("work")
    await bench.settle()
    assert (await bench.row(made.no)).state == 6


async def test_cancel_goes_down_to_children_and_up_again(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    await bench.register(flow(py("work")), "inner")
    row = await bench.submit(flow(child("call", "inner")))
    await bench.settle()
    await bench.command(row.no, "cancel", StopBody("ann"))
    await bench.settle()
    (made,) = await bench.store.children(row.no)
    assert (made.state, (await bench.row(row.no)).state) == (10, 10)
    assert len(bench.worker.aborted) == 1


async def test_children_nest_eight_deep_and_no_deeper(bench: Rig) -> None:
    plan = flow(child("again", "w"))
    view = await bench.run(plan)
    assert view.run.state == 7
    deepest, depth = view.run, 0
    while below := await bench.store.children(deepest.no):
        deepest, depth = below[0], depth + 1
    assert depth == 8
    assert (await bench.view(deepest.no)).tasks[0].reason == "child_too_deep"
