"""A worker that is asked to leave is asked until it says so, whichever engine has read the request."""

from __future__ import annotations

from headrace.engine.ports.messages import Drain
from headrace.engine.ports.roster import WorkerRow
from headrace.engine.ports.store import InboxRow
from headrace.engine.shell.draining import DRAIN, HOME, request
from tests.unit.shell.rig import Rig, crash


def worker(incarnation: str = "i1", name: str = "w1") -> WorkerRow:
    return WorkerRow(name, incarnation, ("default",), {}, (), 10, 0, False, 0.0)


def asked(bench: Rig) -> int:
    """How often the worker was asked since the last call."""
    told = [message for message in bench.worker.asked if isinstance(message, Drain)]
    bench.worker.asked.clear()
    assert {message.incarnation for message in told} <= {"i1"}
    return len(told)


async def looks(bench: Rig) -> None:
    """The engine reads what was posted, and sweeps."""
    await bench.advance(2.0)
    await bench.advance(2.0)


async def left(bench: Rig) -> int:
    return len(await bench.store.inbox(HOME, 0, 10))


async def test_it_is_asked_until_its_beats_say_that_it_drains(bench: Rig) -> None:
    await bench.settle()
    await bench.store.post(request(worker(), "ann", bench.clock.now()))
    await looks(bench)
    assert asked(bench) >= 1
    assert await left(bench) == 1
    await crash(bench)
    await looks(bench)
    assert asked(bench) >= 1, "the next engine goes on asking"
    bench.worker.draining = True
    await looks(bench)
    assert await left(bench) == 0
    asked(bench)
    await looks(bench)
    assert asked(bench) == 0


async def test_another_incarnation_is_not_meant(bench: Rig) -> None:
    await bench.store.post(request(worker("older"), "ann", bench.clock.now()))
    await looks(bench)
    assert (asked(bench), await left(bench)) == (0, 0)


async def test_a_worker_that_is_not_heard_is_waited_for_and_then_given_up(bench: Rig) -> None:
    await bench.store.post(request(worker(name="w9"), "ann", bench.clock.now()))
    await bench.advance(2.0)
    assert await left(bench) == 1
    await bench.advance(20.0)
    await bench.advance(2.0)
    assert (asked(bench), await left(bench)) == (0, 0)


async def test_a_request_that_cannot_be_read_goes(bench: Rig) -> None:
    await bench.store.post(InboxRow(0, HOME, None, DRAIN, b'{"worker": 1}', bench.clock.now()))
    await looks(bench)
    assert await left(bench) == 0
