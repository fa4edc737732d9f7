"""Polls beside a store: they outlive their engine, and their history decides the same again."""

from __future__ import annotations

from datetime import timedelta

from headrace.engine.core.workflow import Poll, Timeouts
from headrace.engine.ports.messages import ArtifactRef
from headrace.engine.shell.commands import StopBody, TaskBody
from tests.support.flows import flow, py, tries
from tests.unit.shell.rig import HOLD, Answer, Rig, crash

POLL = Poll(timedelta(seconds=60), "output.done")
LARGE = ArtifactRef("file:///large", "d" * 64, 1 << 20)


async def test_a_wait_outlives_its_engine(bench: Rig) -> None:
    """How often it was polled, and from where its tries are counted, too."""
    given = [
        Answer(output={"done": False}),
        Answer("failed"),
        Answer(output={"done": False}),
        Answer("failed"),
    ]
    bench.worker.body = lambda d: given.pop(0) if given else Answer(output={"done": True})
    row = await bench.submit(flow(py("a", poll=POLL, retry=tries(2)), py("b", "a")))
    await bench.settle()
    for _ in range(2):
        [polling, _] = (await bench.view(row.no)).tasks
        assert (polling.state, polling.reason) == ("waiting", "polling")
        await crash(bench)
        await bench.advance(60.0)
        assert (await bench.states(row.no))["a"] == "retrying"
        await bench.advance(1.0)
    assert await bench.states(row.no) == {"a": "succeeded", "b": "succeeded"}
    assert [d.attempt for d in bench.worker.seen if d.job.task_id == "a"] == [1, 2, 3, 4, 5]
    await bench.agrees(row.no)


async def test_what_was_found_wanting_is_no_output(bench: Rig) -> None:
    bench.worker.body = lambda d: Answer(output={"done": False})
    row = await bench.submit(flow(py("a", poll=POLL, timeouts=Timeouts(total=timedelta(seconds=100)))))
    await bench.settle()
    await bench.advance(60.0)
    await bench.advance(60.0)
    [task] = (await bench.view(row.no)).tasks
    [stored] = await bench.store.values([(row.no, 1, 0, 0)])
    assert (task.state, task.reason, stored.output) == ("failed", "timed_out", None)
    await bench.agrees(row.no)


async def test_it_is_polled_by_hand_skipped_and_cancelled(bench: Rig) -> None:
    bench.worker.body = lambda d: Answer(output={"done": False})
    first = await bench.submit(flow(py("a", poll=POLL)))
    second = await bench.submit(flow(py("a", poll=POLL)))
    await bench.settle()
    await bench.command(first.no, "task", TaskBody("ann", "a", "retry"))
    await bench.settle()
    assert len(bench.worker.seen) == 3
    await bench.command(first.no, "task", TaskBody("ann", "a", "skip"))
    await bench.command(second.no, "cancel", StopBody("ann"))
    await bench.settle()
    assert [await bench.states(row.no) for row in (first, second)] == [{"a": "skipped"}, {"a": "cancelled"}]
    for row in (first, second):
        await bench.agrees(row.no)


async def test_a_condition_cannot_read_what_cannot_be_loaded(bench: Rig) -> None:
    """Nor does the history of what was found wanting lose it."""
    bench.worker.body = lambda d: HOLD
    reads = flow(py("a", poll=POLL, retry=tries(1)))
    blind = flow(py("a", poll=Poll(timedelta(seconds=60), "run.id == ''")))
    rows = [await bench.submit(reads), await bench.submit(blind)]
    await bench.settle()
    for dispatch in bench.worker.seen:
        await bench.worker.report(dispatch, Answer(), artifact=LARGE)
    await bench.settle()
    [failed], [waits] = [(await bench.view(row.no)).tasks for row in rows]
    assert (failed.state, failed.reason) == ("failed", "expression_error")
    assert (waits.state, waits.reason) == ("waiting", "polling")
    await bench.command(rows[1].no, "cancel", StopBody("ann"))
    await bench.settle()
    for row in rows:
        await bench.agrees(row.no)
