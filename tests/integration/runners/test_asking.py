"""What a worker tells of what it holds, and what it answers when it is asked."""

from __future__ import annotations

from headrace.engine.ports.messages import Report
from tests.integration.runners.desk import Desk, key_of, module, python, report_key


async def test_alive_names_what_is_held_and_stands_behind_the_reports_of_the_rest(small: Desk) -> None:
    """The barrier of a takeover: whatever an Alive does not name has its report in the log before it."""
    done, running = small.make(python("tasks:noop")), small.make(python("tasks:wait"))
    small.send(done, running)
    small.ask(epoch=4)
    alive = await small.hear_alive()
    assert (alive.seen, alive.incarnation) == ({"default": 4}, small.worker.incarnation)
    assert key_of(running) in alive.held
    if key_of(done) not in alive.held:
        before = small.heard[: small.heard.index(alive)]
        assert any(isinstance(each, Report) and report_key(each) == key_of(done) for each in before)
    module(small).gate.set()
    while key_of(running) not in [report_key(report) for report in small.reports if report.finished_at]:
        await small.hear(1)
    small.send(small.make(python("tasks:fail"), epoch=3), epoch=3)
    small.ask(epoch=4)
    assert (await small.hear_alive()).held == [], "a dispatch from before the barrier is refused"


async def test_asked_about_keys_it_tells_what_it_knows(small: Desk) -> None:
    finished, running = small.make(python("tasks:noop")), small.make(python("tasks:wait"))
    small.send(finished, running)
    await small.hear(1, "succeeded")
    never = small.make(python("tasks:noop"))
    small.ask(finished, never)
    assert [(report.kind, report.task) for report in await small.hear(2)] == [
        ("succeeded", finished.task),
        ("unknown", never.task),
    ]
    small.ask(running)
    assert (await small.hear_alive()).held == [key_of(running)]
    module(small).gate.set()


async def test_answers_bear_the_delivery_that_was_asked_after(small: Desk) -> None:
    """W7: the engine compares; with any other delivery the answer is stale, and the question is asked for ever."""
    finished, running = small.make(python("tasks:noop")), small.make(python("tasks:wait"))
    small.send(finished, running)
    await small.hear(1, "succeeded")
    small.ask(
        small.make(finished.job, task=finished.task, epoch=3, n=7),
        small.make(finished.job, task=77, epoch=3, n=8),
        epoch=3,
    )
    assert [(report.kind, report.epoch, report.n) for report in await small.hear(2)] == [
        ("succeeded", 3, 7),
        ("unknown", 3, 8),
    ]
    small.ask(small.make(running.job, task=running.task, epoch=3, n=9), epoch=3)
    await small.hear_alive()
    module(small).gate.set()
    (done,) = await small.hear(1)
    assert (done.kind, done.epoch, done.n) == ("succeeded", 3, 9)


async def test_what_was_denied_is_refused_when_it_comes_after_all(small: Desk) -> None:
    """W7: the engine may have ended the attempt because of that answer."""
    late = small.make(python("tasks:count"), n=4)
    small.ask(late)
    (denied,) = await small.hear(1)
    small.send(late)
    (again,) = await small.hear(1)
    assert [(each.kind, each.n) for each in (denied, again)] == [("unknown", 4)] * 2
    small.send(small.make(late.job, task=late.task, n=5))
    (done,) = await small.hear(1)
    assert (done.kind, done.n, done.output) == ("succeeded", 5, b"1")
    small.ask(late)
    (repeated,) = await small.hear(1)
    assert (repeated.kind, repeated.n) == ("succeeded", 5), "an old answer on its way has not displaced it"


async def test_abort_of_what_was_denied_or_handed_back_ends_it(small: Desk) -> None:
    """W8: it is remembered as cancelled: no delivery of it runs any more."""
    denied = small.make(python("tasks:count"))
    small.ask(denied)
    await small.hear(1, "unknown")
    small.abort(small.make(denied.job, task=denied.task, n=2))
    (cancelled,) = await small.hear(1)
    small.send(small.make(denied.job, task=denied.task, n=3))
    (again,) = await small.hear(1)
    assert [(each.kind, each.n) for each in (cancelled, again)] == [("cancelled", 2), ("cancelled", 3)]
