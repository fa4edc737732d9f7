"""How attempts end: aborted, past their limit, given up, drained, without a broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headrace.engine.ports.messages import Alive, Drain, Limits
from headrace.runners.attempt import Attempt
from tests.integration.runners.desk import TASKS, Desk, key_of, module, opened, python, report_key


async def test_abort_of_a_waiting_attempt(small: Desk) -> None:
    running, waiting = small.make(python("tasks:wait")), small.make(python("tasks:count"))
    small.send(running, waiting)
    small.abort(waiting)
    (cancelled,) = await small.hear(1, "cancelled")
    assert report_key(cancelled) == key_of(waiting)
    module(small).gate.set()
    await small.hear(1, "succeeded")
    assert module(small).calls == []


async def test_abort_of_a_running_attempt_raises_inside_of_it_and_frees_the_slot(small: Desk) -> None:
    running = small.make(python("tasks:wait"))
    small.send(running)
    await small.hear(1, "started")
    small.abort(running)
    (cancelled,) = await small.hear(1)
    assert (cancelled.kind, cancelled.error) == ("cancelled", None)
    assert (await small.run(python("tasks:noop"))).kind == "succeeded"


async def test_abort_before_the_dispatch_wins(small: Desk) -> None:
    late = small.make(python("tasks:count"), n=6)
    small.abort(late)
    (cancelled,) = await small.hear(1, "cancelled")
    assert (cancelled.epoch, cancelled.n) == (1, 6)
    small.send(late)
    (answer,) = await small.hear(1)
    assert (answer.kind, answer.epoch, answer.n) == ("cancelled", 1, 6)


async def test_abort_brings_the_delivery_that_counts(small: Desk) -> None:
    """W8: who stops what it holds answers for the delivery that the engine names."""
    running, finished = small.make(python("tasks:wait")), small.make(python("tasks:noop"))
    small.send(finished)
    await small.hear(1)
    small.send(running)
    await small.hear(1, "started")
    small.abort(
        *(small.make(each.job, task=each.task, epoch=2, n=3) for each in (running, finished)), epoch=2
    )
    told = {(report.task, report.kind, report.epoch, report.n) for report in await small.hear(2)}
    assert told == {(running.task, "cancelled", 2, 3), (finished.task, "succeeded", 2, 3)}


async def test_a_task_that_ignores_its_end_is_given_up_and_another_thread_takes_its_place(
    small: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.runners import sentry

    monkeypatch.setattr(sentry, "KILL_MARGIN", 0.1)
    stuck = small.make(python("tasks:stubborn"))
    small.send(stuck)
    await small.hear(1, "started")
    small.abort(stuck, grace=0.1)
    (cancelled,) = await small.hear(1)
    assert (cancelled.kind, report_key(cancelled)) == ("cancelled", key_of(stuck))
    assert (await small.run(python("tasks:noop"))).kind == "succeeded"
    module(small).gate.set()
    assert (await small.run(python("tasks:noop"))).kind == "succeeded"
    assert [report.kind for report in small.reports].count("cancelled") == 1


async def test_interrupts_never_hit_the_next_task(tmp_path: Path) -> None:
    async with opened(tmp_path, slots=2) as desk:
        desk.write("tasks.py", TASKS + "\ndef spin():\n    for i in range(20000): pass\n")
        for _ in range(60):
            victim = desk.make(python("tasks:spin"))
            followers = [desk.make(python("tasks:noop")) for _ in range(3)]
            desk.send(victim, *followers)
            desk.abort(victim)
            reports = await desk.hear(4)
            kinds = {report_key(report): report.kind for report in reports}
            assert kinds.pop(key_of(victim)) in ("succeeded", "cancelled")
            assert set(kinds.values()) == {"succeeded"}


@pytest.mark.parametrize("body", ["while True: time.sleep(0.01)", "time.sleep(0.4)"])
async def test_an_attempt_past_its_limit_has_timed_out(small: Desk, body: str) -> None:
    small.write("late.py", f"import time\ndef late():\n    {body}\n")
    report = await small.run(python("late:late", limits=Limits(attempt=0.15, grace=2)))
    assert report.kind == "failed"
    assert report.error is not None
    assert (report.error.kind, report.error.reason, report.error.retryable) == ("timeout", "timed_out", True)
    assert (await small.run(python("tasks:noop"))).kind == "succeeded"


async def test_a_fault_about_one_attempt_ends_no_limit_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, slots=2) as desk:
        desk.write("tasks.py", TASKS)
        desk.write("late.py", "import time\ndef late():\n    while True: time.sleep(0.01)\n")
        odd = desk.make(python("tasks:wait"))
        look_at = desk.worker._sentry.look_at

        def faulty(attempt: Attempt, now: float) -> float:
            if attempt.key == key_of(odd):
                raise RuntimeError("a fault")
            return look_at(attempt, now)

        monkeypatch.setattr(desk.worker._sentry, "look_at", faulty)
        desk.send(odd)
        report = await desk.run(python("late:late", limits=Limits(attempt=0.15, grace=2)))
        assert report.error is not None
        assert report.error.reason == "timed_out"
        assert "could not be looked after" in caplog.text
        module(desk).gate.set()


async def test_draining_finishes_what_runs_and_hands_back_the_rest(small: Desk) -> None:
    """faults 63: nothing is lost, nothing runs twice."""
    running, waiting = small.make(python("tasks:wait")), small.make(python("tasks:count"))
    small.send(running, waiting)
    await small.hear(1, "started")
    small.engine.heard()
    stopping = asyncio.ensure_future(small.worker.stop(grace=20))
    beat = await small.beat()
    assert (beat.draining, beat.ahead) == (True, 0)
    (back,) = await small.hear(1, "handed_back")
    assert report_key(back) == key_of(waiting)
    late = small.make(python("tasks:count"))
    small.send(late)
    (refused,) = await small.hear(1, "handed_back")
    assert report_key(refused) == key_of(late)
    module(small).gate.set()
    (done,) = await small.hear(1)
    assert (done.kind, report_key(done)) == ("succeeded", key_of(running))
    await asyncio.wait_for(stopping, 10)
    assert module(small).calls == []


async def test_what_outlasts_the_grace_is_reported_lost(small: Desk) -> None:
    running = small.make(python("tasks:wait"))
    small.send(running)
    await small.hear(1, "started")
    await asyncio.wait_for(small.worker.stop(grace=0.05), 10)
    (lost,) = await small.hear(1)
    assert lost.kind == "failed"
    assert lost.error is not None
    assert (lost.error.kind, lost.error.reason, lost.error.retryable) == ("lost", "lease_lost", True)


async def test_reports_wait_for_a_broker_that_is_away(small: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """W6, W10: unacknowledged is still held, and said again."""
    real, failures = small.side.report, 3

    async def report(part: int, message: object) -> None:
        nonlocal failures
        if not isinstance(message, Alive) and failures:
            failures -= 1
            raise ConnectionError("no broker")
        await real(part, message)  # type: ignore[arg-type]

    monkeypatch.setattr(small.side, "report", report)
    monkeypatch.setattr(small.side, "report_at_once", lambda part, message: False)
    sent = small.make(python("tasks:noop"))
    small.send(sent)
    small.ask(sent)
    assert (await small.hear_alive()).held == [key_of(sent)]
    (done,) = await small.hear(1)
    assert (done.kind, failures) == ("succeeded", 0)


async def test_asked_to_leave_it_says_so_and_finishes_what_it_holds_however_long_it_takes(
    small: Desk,
) -> None:
    running = small.make(python("tasks:wait"))
    small.send(running)
    await small.hear(1, "started")
    worker = small.worker
    small.engine.send("default", small.inbox, Drain(worker.id, 0, 1, worker.incarnation))
    async with asyncio.timeout(30):
        await worker.dismissed.wait()
    leaving = asyncio.create_task(worker.stop(None))
    late = small.make(python("tasks:count"))
    small.send(late)
    (back,) = await small.hear(1, "handed_back")
    assert report_key(back) == key_of(late)
    assert not leaving.done()
    module(small).gate.set()
    (done,) = await small.hear(1, "succeeded")
    assert report_key(done) == key_of(running)
    async with asyncio.timeout(30):
        await leaving


async def test_asked_to_leave_as_another_incarnation_it_stays(small: Desk) -> None:
    small.engine.send("default", small.inbox, Drain(small.worker.id, 0, 1, "another"))
    assert (await small.run(python("tasks:noop"))).kind == "succeeded"
    assert not small.worker.dismissed.is_set()
