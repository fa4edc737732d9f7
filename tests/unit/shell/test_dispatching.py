"""Who gets which task and when: room, queues, labels, priority, leases, limits."""

from __future__ import annotations

from pathlib import Path

from headrace.engine.core.workflow import Limits, Pool
from tests.support.flows import flow, py, tries
from tests.unit.shell.rig import HOLD, Answer, Rig, ScriptedWorker, rig


async def test_nobody_gets_more_than_there_is_room_for(bench: Rig) -> None:
    bench.worker.slots = 3
    await bench.worker.beat()
    bench.worker.body = lambda d: HOLD
    await bench.submit(flow(*(py(f"t{i}") for i in range(8))))
    await bench.settle()
    assert len(bench.worker.seen) == 3
    assert bench.engine.waiting == 5
    await bench.worker.finish(bench.worker.names[0])
    await bench.settle()
    assert len(bench.worker.seen) == 4


async def test_queues_and_labels_decide_who_gets_a_task(bench: Rig) -> None:
    other = ScriptedWorker(
        bench.broker, bench.clock, worker="w2", queues=("default", "gpu"), labels={"zone": "b"}, inbox=1
    )
    await other.side.start()
    row = await bench.submit(
        flow(py("x", queue="gpu"), py("y", labels={"zone": "b"}), py("z", labels={"zone": "c"}))
    )
    await bench.settle(bench.worker, other)
    assert bench.worker.seen == other.seen == []
    await other.beat()
    await bench.settle(bench.worker, other)
    assert sorted(other.names) == ["x", "y"]
    assert (await bench.states(row.no))["z"] == "pending"
    assert bench.engine.depths() == {"default": (0, 1, 0)}


async def test_priority_acts_until_the_last_moment(bench: Rig) -> None:
    bench.worker.slots = 1
    await bench.worker.beat()
    bench.worker.body = lambda d: HOLD
    await bench.submit(flow(py("a"), py("b")))
    await bench.settle()
    await bench.submit(flow(py("c")), priority="high")
    await bench.settle()
    await bench.worker.finish("a")
    await bench.settle()
    assert bench.worker.names == ["a", "c"]


async def test_what_a_worker_hands_back_costs_no_attempt_and_it_gets_nothing_until_its_next_beat(
    bench: Rig,
) -> None:
    answers = iter([Answer("handed_back"), Answer()])
    bench.worker.body = lambda d: next(answers)
    row = await bench.submit(flow(py("a")))
    await bench.settle()
    assert (await bench.states(row.no))["a"] == "queued"
    await bench.worker.beat()
    await bench.settle()
    view = await bench.view(row.no)
    assert (view.tasks[0].state, view.tasks[0].attempts) == ("succeeded", 1)
    assert bench.worker.seen[1].n > bench.worker.seen[0].n
    await bench.agrees(row.no)


async def test_a_new_incarnation_ends_what_the_old_one_had(bench: Rig) -> None:
    """faults 53: started attempts cost a try, others do not."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a", retry=tries(2, 0)), py("b"), py("c", on_lost="fail")))
    await bench.settle()
    started = next(d for d in bench.worker.seen if d.job.task_id == "a")
    await bench.worker.report(started, Answer("started"))
    await bench.settle()
    assert (await bench.states(row.no))["a"] == "running"
    bench.worker.held.clear()
    bench.worker.incarnation = "i2"
    bench.worker.body = lambda d: Answer()
    await bench.worker.beat()
    await bench.settle()
    for _ in range(4):
        await bench.advance(1)
    view = await bench.view(row.no)
    assert {t.id: (t.state, t.attempts, t.reason) for t in view.tasks} == {
        "a": ("succeeded", 2, None),
        "b": ("succeeded", 1, None),
        "c": ("failed", 1, "lease_lost"),
    }
    await bench.agrees(row.no)


async def test_a_result_that_was_reported_before_the_restart_counts(bench: Rig) -> None:
    """E8, crash point 8: the new incarnation is heard before the old one's last report is read."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a", retry=tries(2, 0)), py("b", on_lost="fail")))
    await bench.settle()
    started = next(d for d in bench.worker.seen if d.job.task_id == "a")
    await bench.worker.report(started, Answer("started"))
    await bench.settle()
    await bench.worker.finish("a")
    await bench.worker.finish("b")
    bench.worker.incarnation = "i2"
    await bench.worker.beat()
    for _ in range(4):
        await bench.advance(1)
    view = await bench.view(row.no)
    assert {t.id: (t.state, t.attempts) for t in view.tasks} == {"a": ("succeeded", 1), "b": ("succeeded", 1)}
    await bench.agrees(row.no)


async def test_a_lease_that_is_not_renewed_is_lost_and_one_that_is_lives_on(bench: Rig) -> None:
    """faults 53, 55."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a", retry=tries(2, 0)), py("b")))
    await bench.settle()
    for dispatch in bench.worker.seen:
        await bench.worker.report(dispatch, Answer("started"))
    await bench.settle()
    lost = next(key for key, d in bench.worker.held.items() if d.job.task_id == "a")
    del bench.worker.held[lost]
    bench.worker.body = lambda d: Answer()
    for _ in range(40):
        await bench.worker.alive(1)
        await bench.advance(1)
    view = await bench.view(row.no)
    assert {t.id: (t.state, t.attempts) for t in view.tasks} == {"a": ("succeeded", 2), "b": ("running", 1)}
    assert [key[2] for ask in bench.worker.asked for key in ask.keys or []] != []


async def test_an_unanswered_dispatch_is_asked_after_and_sent_again_when_unknown(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a")))
    await bench.settle()
    for _ in range(7):
        await bench.advance(1)
    (ask,) = bench.worker.asked
    assert ask.keys == [(row.no, 1, 0, 0, 1)]
    (dispatch,) = bench.worker.seen
    bench.worker.body = lambda d: Answer()
    await bench.worker.report(dispatch, Answer("unknown"))
    await bench.settle()
    assert (await bench.states(row.no))["a"] == "succeeded"
    assert [d.attempt for d in bench.worker.seen] == [1, 1]
    await bench.agrees(row.no)


async def test_a_worker_without_beats_gets_nothing_and_its_unstarted_work_goes_elsewhere(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a")))
    await bench.settle()
    other = ScriptedWorker(bench.broker, bench.clock, worker="w2", inbox=1)
    await other.side.start()
    for _ in range(8):
        bench.clock.advance(1)
        await other.beat()
        await bench.settle(bench.worker, other)
    assert other.names == ["a"]
    assert (await bench.states(row.no))["a"] == "succeeded"


async def test_active_runs_lets_the_next_run_start_when_one_has_ended(bench: Rig) -> None:
    bench.worker.body = lambda d: HOLD
    plan = flow(py("a"), limits=Limits(active_runs=1))
    first, second = await bench.submit(plan), await bench.submit(plan)
    await bench.settle()
    assert [(await bench.row(no)).state for no in (first.no, second.no)] == [1, 0]
    await bench.worker.finish("a")
    await bench.settle()
    assert [(await bench.row(no)).state for no in (first.no, second.no)] == [6, 1]


async def test_a_pool_grants_its_slots_and_no_more(tmp_path: Path) -> None:
    async with rig(tmp_path, pools={"db": 2}) as bench:
        bench.worker.body = lambda d: HOLD
        row = await bench.submit(flow(*(py(f"t{i}", pool=Pool("db")) for i in range(3))))
        await bench.settle()
        assert len(bench.worker.seen) == 2
        await bench.worker.finish(bench.worker.names[0])
        await bench.settle()
        assert len(bench.worker.seen) == 3
        for name in bench.worker.names[1:]:
            await bench.worker.finish(name)
        await bench.settle()
        assert (await bench.row(row.no)).state == 6
        await bench.agrees(row.no)
