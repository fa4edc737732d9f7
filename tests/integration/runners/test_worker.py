"""The worker's side of the protocol, W1 to W9, with real threads and real tasks."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from headrace.engine.ports.messages import Alive, Limits
from headrace.runners.attempt import Attempt
from headrace.runners.pace import MOST_AHEAD
from tests.integration.runners.desk import TASKS, Desk, key_of, module, opened, python, report_key


async def test_every_task_of_a_burst_is_executed_once_and_reported_once(desk: Desk) -> None:
    desk.write("tasks.py", TASKS)
    sent = [desk.make(python("tasks:count")) for _ in range(1500)]
    sent += [desk.make(python("tasks:anoop")) for _ in range(500)]
    for start in range(0, len(sent), 500):
        desk.send(*sent[start : start + 500])
    reports = await desk.hear(len(sent))
    assert sorted(map(report_key, reports)) == sorted(map(key_of, sent))
    assert {report.kind for report in reports} == {"succeeded"}
    assert len(module(desk).calls) == 1500
    assert desk.worker._held == {}, "acknowledged reports are no longer held"


async def test_it_says_what_it_is_and_how_far_ahead_it_may_be_sent_tasks(tmp_path: Path) -> None:
    async with opened(
        tmp_path, slots=3, queues=("gpu", "default"), labels={"zone": "a"}, incarnation="i1", ahead=7
    ) as desk:
        beat = await desk.beat()
        assert (beat.worker, beat.incarnation, beat.queues, beat.labels) == (
            "w",
            "i1",
            ["gpu", "default"],
            {"zone": "a"},
        )
        assert (beat.slots, beat.ahead, beat.draining) == (3, 7, False)
        desk.write("tasks.py", TASKS)
        desk.send(*[desk.make(python("tasks:noop")) for _ in range(300)])
        await desk.hear(300)
        async with asyncio.timeout(10):
            while (beat := await desk.beat()).ahead <= 100:
                pass
        assert beat.ahead <= MOST_AHEAD


async def test_messages_for_others_and_of_old_owners_are_dropped(small: Desk) -> None:
    first = small.make(python("tasks:noop"), epoch=5)
    small.send(first, epoch=5)
    await small.hear(1)
    small.send(small.make(python("tasks:fail"), epoch=4), epoch=4)
    small.send(small.make(python("tasks:fail"), epoch=5), epoch=5, to="somebody else")
    last = small.make(python("tasks:noop"), epoch=5)
    small.send(last, epoch=5)
    (report,) = await small.hear(1)
    assert report_key(report) == key_of(last)
    assert len(small.reports) == 2


async def test_a_finished_attempt_sent_again_is_answered_with_the_new_delivery(small: Desk) -> None:
    first = small.make(python("tasks:count"))
    small.send(first)
    (before,) = await small.hear(1)
    small.send(small.make(python("tasks:count"), task=first.task, n=2))
    (again,) = await small.hear(1)
    assert (before.n, again.n) == (1, 2)
    assert (again.kind, again.output, again.started_at) == ("succeeded", b"1", before.started_at)
    assert module(small).calls == [1]


async def test_a_clock_that_is_put_right_takes_no_memory_with_it(tmp_path: Path) -> None:
    wall = 1_900_000_000.0
    async with opened(tmp_path, clock=lambda: wall) as desk:
        desk.write("tasks.py", TASKS)
        first = desk.make(python("tasks:count"))
        desk.send(first)
        await desk.hear(1)
        wall += 3600
        desk.worker._reporter.renew_leases(time.monotonic() + 3600)
        desk.send(desk.make(python("tasks:count"), task=first.task, n=2))
        (again,) = await desk.hear(1)
        assert (again.n, again.kind, again.output) == (2, "succeeded", b"1")
        assert module(desk).calls == [1]


async def test_a_running_attempt_sent_again_adopts_the_higher_delivery(small: Desk) -> None:
    running = small.make(python("tasks:wait"))
    small.send(running)
    (started,) = await small.hear(1, "started")
    assert started.n == 1
    small.send(small.make(python("tasks:wait"), task=running.task, n=3))
    small.send(small.make(python("tasks:wait"), task=running.task, n=2))
    small.ask(running)
    await small.hear_alive()
    assert [report.n for report in small.reports if report.kind == "started"] == [1, 3], (
        "whoever sent it again did not know that it runs"
    )
    module(small).gate.set()
    (done,) = await small.hear(1)
    assert (done.kind, done.n, done.output) == ("succeeded", 3, b'"done"')


async def test_started_is_said_only_of_tasks_that_last(small: Desk) -> None:
    quick, long = small.make(python("tasks:noop")), small.make(python("tasks:wait"))
    small.send(quick, long)
    (started,) = await small.hear(1, "started")
    assert report_key(started) == key_of(long)
    assert started.started_at is not None
    assert started.finished_at is None
    module(small).gate.set()
    (done,) = await small.hear(1, "succeeded")
    assert done.started_at == started.started_at
    assert [report.kind for report in small.reports].count("started") == 1


async def test_what_does_not_get_a_slot_within_a_second_is_handed_back(small: Desk) -> None:
    running, waiting = small.make(python("tasks:wait")), small.make(python("tasks:count"))
    small.send(running, waiting)
    (back,) = await small.hear(1, "handed_back")
    assert report_key(back) == key_of(waiting)
    assert back.started_at is None
    module(small).gate.set()
    await small.hear(1, "succeeded")
    small.send(small.make(python("tasks:count"), task=waiting.task, n=2))
    (done,) = await small.hear(1, "succeeded")
    assert (done.n, done.output) == (2, b"1"), "handed back is not finished: sent again it runs"


async def test_a_late_copy_of_what_was_handed_back_is_not_started(small: Desk) -> None:
    """W3: it may run elsewhere by now. Only a higher delivery says that it is to run here after all."""
    running, waiting = small.make(python("tasks:wait")), small.make(python("tasks:count"), n=2)
    small.send(running, waiting)
    await small.hear(1, "handed_back")
    module(small).gate.set()
    await small.hear(1, "succeeded")
    small.send(waiting)
    small.send(small.make(python("tasks:count"), task=waiting.task, n=1))
    assert [(report.kind, report.n) for report in await small.hear(2)] == [("handed_back", 2)] * 2
    small.send(small.make(python("tasks:count"), task=waiting.task, n=3))
    (done,) = await small.hear(1)
    assert (done.kind, done.n, done.output) == ("succeeded", 3, b"1")


async def test_who_hands_back_takes_less_until_tasks_are_short_again(tmp_path: Path) -> None:
    """Short tasks made it say that it takes a thousand ahead; then come long ones."""
    async with opened(tmp_path, slots=20, ahead=1000) as desk:
        desk.write("tasks.py", TASKS)
        desk.send(*[desk.make(python("tasks:noop")) for _ in range(100)])
        await desk.hear(100)
        long = [desk.make(python("tasks:wait")) for _ in range(300)]
        desk.send(*long)
        await desk.hear(280, "handed_back")
        while (beat := await desk.beat()).ahead > 2:
            pass
        assert beat.held <= 300
        module(desk).gate.set()
        await desk.hear(20)
        async with asyncio.timeout(20):
            while (await desk.beat()).ahead < 20:
                desk.send(*[desk.make(python("tasks:noop")) for _ in range(400)])
                await desk.hear(400)


async def test_a_barrier_is_answered_per_queue(small: Desk) -> None:
    small.ask(epoch=2, queue="a")
    await small.hear_alive()
    small.ask(epoch=3, queue="b")
    alive = await small.hear_alive()
    assert alive.seen == {"a": 2, "b": 3}
    small.send(small.make(python("tasks:fail"), epoch=2), epoch=2, queue="a")
    last = small.make(python("tasks:noop"), epoch=3)
    small.send(last, epoch=3, queue="b")
    (report,) = await small.hear(1)
    assert report_key(report) == key_of(last)


async def test_an_alive_is_said_until_the_broker_takes_it(
    small: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine that asks waits for it; another would come only while something is held."""
    real, failures = small.side.report, 2

    async def report(part: int, message: object) -> None:
        nonlocal failures
        if isinstance(message, Alive) and failures:
            failures -= 1
            raise ConnectionError("no broker")
        await real(part, message)  # type: ignore[arg-type]

    monkeypatch.setattr(small.side, "report", report)
    monkeypatch.setattr(small.side, "report_at_once", lambda part, message: False)
    small.ask(epoch=2)
    assert (await small.hear_alive(5)).seen == {"default": 2}
    assert failures == 0


async def test_a_short_lease_is_renewed_in_time(small: Desk) -> None:
    small.send(small.make(python("tasks:wait", limits=Limits(heartbeat=0.4))))
    loop = asyncio.get_running_loop()
    await small.hear_alive()
    began = loop.time()
    for _ in range(5):
        await small.hear_alive()
    assert loop.time() - began < 5 * 0.4, "an Alive for every lease, at the least"
    module(small).gate.set()
    await small.hear(1, "succeeded")


async def test_a_dispatch_that_makes_no_sense_fails_and_leaves_the_worker_well(small: Desk) -> None:
    from tests.integration.runners.desk import job

    for senseless in (
        job("python", {}),
        job("python", {"function": 7}),
        job("python", {"function": "nowhere"}),
        job("shell", {}),
        job("switch", {"function": None}),
        job("http", {"method": 3}),
    ):
        report = await small.run(senseless)
        assert (report.kind, report.error is not None) == ("failed", True), senseless
    assert (await small.run(python("tasks:noop"))).kind == "succeeded"


async def test_a_result_that_waited_on_disk_goes_out_with_the_delivery_that_counts_then(
    small: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.runners import outbox

    monkeypatch.setattr(outbox, "MOST_WAITING", 0)
    real, up = small.side.report, asyncio.Event()

    async def report(part: int, message: object) -> None:
        if not isinstance(message, Alive):
            await up.wait()
        await real(part, message)  # type: ignore[arg-type]

    monkeypatch.setattr(small.side, "report", report)
    monkeypatch.setattr(small.side, "report_at_once", lambda part, message: False)
    on_disk = asyncio.Event()
    sender = small.worker._reporter.outbox
    spilled = sender._spilled

    def note(items: list[outbox.Sent]) -> None:
        spilled(items)
        if any(key == key_of(second) for key, _ in items):
            on_disk.set()

    monkeypatch.setattr(sender, "_spilled", note)
    second = small.make(python("tasks:count"))
    small.send(small.make(python("tasks:noop")))
    small.send(second)
    await asyncio.wait_for(on_disk.wait(), 20)
    small.send(small.make(python("tasks:count"), task=second.task, n=4))
    small.ask(second)
    assert key_of(second) in (await small.hear_alive()).held
    up.set()
    async with asyncio.timeout(20):
        while not (
            done := [report for report in small.reports if (report.task, report.n) == (second.task, 4)]
        ):
            await small.hear(1)
    assert (done[0].kind, done[0].output) == ("succeeded", b"1")
    small.ask()
    assert (await small.hear_alive()).held == []
    assert module(small).calls == [1]


async def test_a_higher_class_goes_first(small: Desk) -> None:
    small.send(small.make(python("tasks:wait"), task=100))
    await small.hear(1, "started")
    low = small.make(python("tasks:noop"), priority=2)
    normal = small.make(python("tasks:noop"), priority=1)
    high = small.make(python("tasks:noop"), priority=0)
    small.send(low, normal, high)
    small.ask(low)
    await small.hear_alive()  # all three are in the buffer now
    module(small).gate.set()
    order = [report.task for report in await small.hear(4)]
    assert order == [100, high.task, normal.task, low.task]


async def test_long_tasks_do_not_wait_behind_each_other(tmp_path: Path) -> None:
    """A first task of unknown length holds no other thread back for long."""
    async with opened(tmp_path, slots=4) as desk:
        desk.write(
            "meet.py",
            "import threading\nbarrier = threading.Barrier(4)\ndef meet(): barrier.wait(20)\n",
        )
        desk.send(*[desk.make(python("meet:meet")) for _ in range(4)])
        assert {report.kind for report in await desk.hear(4)} == {"succeeded"}


async def test_no_more_than_its_slots_run_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path, slots=3) as desk:
        desk.write(
            "many.py",
            "import asyncio, threading, time\nlock = threading.Lock()\nnow = most = 0\n"
            "def enter(n):\n    global now, most\n    with lock:\n        now += n; most = max(most, now)\n"
            "def thread(): enter(1); time.sleep(0.003); enter(-1)\n"
            "async def coroutine(): enter(1); await asyncio.sleep(0.003); enter(-1)\n",
        )
        desk.send(*[desk.make(python(f"many:{name}")) for _ in range(40) for name in ("thread", "coroutine")])
        await desk.hear(80)
        from headrace.runners.modules import Folder

        assert Folder.at(str(desk.app)).load("many").most == 3


async def test_kinds_it_cannot_run_fail_for_good(desk: Desk) -> None:
    from tests.integration.runners.desk import job

    report = await desk.run(job("container", {"image": "x"}))
    assert report.error is not None
    assert (report.error.reason, report.error.retryable) == ("not_supported_yet", False)


def test_a_thread_may_not_be_left_over() -> None:
    """The tests above end their workers: idle task threads end with them."""
    names = [thread.name for thread in threading.enumerate() if thread.name == "headrace-processes"]
    assert names == []


async def test_an_attempt_whose_end_cannot_be_told_has_failed_for_a_fault_of_ours(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """What stands in its way here: a redactor that chokes on what the task raised."""

    class Choking:
        def error(self, error: object) -> object:
            raise RecursionError("no end")

    desk.write("tasks.py", TASKS)
    worker = desk.worker
    feed = worker._feed

    def choke(attempts: list[Attempt]) -> None:
        for attempt in attempts:
            if attempt.dispatch.job.work["function"] == "tasks:fail":
                attempt.redactor = Choking()  # type: ignore[assignment]
        feed(attempts)

    worker._feed = choke  # type: ignore[method-assign]
    sent = [desk.make(python("tasks:fail")), desk.make(python("tasks:noop"))]
    desk.send(*sent)
    reports = {report_key(report): report for report in await desk.hear(2)}
    failed, done = (reports[key_of(dispatch)] for dispatch in sent)
    assert done.kind == "succeeded"
    assert (failed.kind, failed.error and failed.error.reason) == ("failed", "internal_error")
    assert "could not be reported" in caplog.text
    assert worker._held == {}
