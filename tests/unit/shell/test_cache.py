"""The task cache: an earlier output is used again, wherever it lies."""

from __future__ import annotations

from datetime import timedelta

from headrace.engine.core.workflow import Cache
from headrace.engine.ports.messages import ArtifactRef
from tests.support.flows import flow, py
from tests.unit.shell.rig import HOLD, Answer, Rig

TTL = Cache(timedelta(hours=1))
LARGE = ArtifactRef("file:///large", "d" * 64, 1 << 20)
READS = flow(py("a", cache=TTL), py("b", with_={"x": "${{ tasks.a.output }}"}))


async def test_a_cached_output_that_lies_in_the_artifact_store_is_used_again(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD if d.job.task_id == "a" else Answer()
    first = await bench.submit(READS)
    await bench.settle()
    (dispatch,) = bench.worker.seen
    await bench.worker.report(dispatch, Answer(), artifact=LARGE)
    await bench.settle()
    again = await bench.run(READS)
    assert [(task.id, task.state, task.reason) for task in again.tasks] == [
        ("a", "succeeded", "cached"),
        ("b", "succeeded", None),
    ]
    assert bench.worker.names == ["a", "b", "b"]
    assert bench.worker.seen[1].inputs == bench.worker.seen[2].inputs
    assert bench.worker.seen[1].holes == bench.worker.seen[2].holes != []
    await bench.agrees(first.no)
    await bench.agrees(again.run.no)


async def test_a_cached_output_is_used_until_it_is_too_old(bench: Rig) -> None:
    bench.worker.body = lambda d: Answer(output=7)
    plan = flow(py("a", cache=TTL), output="${{ tasks.a.output }}")
    outputs = [(await bench.run(plan)).run.output for _ in range(2)]
    await bench.advance(3601)
    outputs.append((await bench.run(plan)).run.output)
    assert outputs == [b"7"] * 3
    assert bench.worker.names == ["a", "a"]
