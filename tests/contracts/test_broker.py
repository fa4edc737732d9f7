"""What engines and workers rely on of any broker. Every adapter is run through the same suite (faults 19, 20, 25)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from headrace.engine.ports.messages import (
    Abort,
    Alive,
    ArtifactRef,
    Ask,
    Beat,
    Dispatch,
    Dispatches,
    ErrorInfo,
    Hole,
    Job,
    Limits,
    Lines,
    Nudge,
    Report,
    Reports,
    ToEngine,
    ToWorker,
)
from tests.contracts.brokers import (
    PATIENCE,
    House,
    KafkaHouse,
    MemoryHouse,
    ask,
    beat,
    gather,
    named,
    number_of,
    reports,
    told,
    until,
)


@pytest.fixture(params=["memory", "kafka"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    made: House
    if request.param == "memory":
        made = MemoryHouse()
    else:
        made = await KafkaHouse(request.getfixturevalue("kafka_settings")).prepare()
    yield made
    await made.close()


async def test_each_part_keeps_its_order_and_counts_its_offsets(house: House) -> None:
    engine, worker = await house.engine(0, 1), await house.worker()
    for number in range(20):
        await worker.report(number % 2, reports(number))
    arrived = await gather(engine, 20)
    for part in (0, 1):
        mine = [each for each in arrived if each.part == part]
        assert [number_of(each.message) for each in mine] == list(range(part, 20, 2))
        assert [each.offset for each in mine] == list(range(10))


async def test_reports_sent_at_once_keep_their_order(house: House) -> None:
    engine, worker = await house.engine(0), await house.worker()
    sending = [asyncio.ensure_future(worker.report(0, reports(number))) for number in range(200)]
    assert [number_of(each.message) for each in await gather(engine, 200)] == list(range(200))
    await asyncio.wait_for(asyncio.gather(*sending), PATIENCE)


async def test_a_part_nobody_asked_for_is_not_read(house: House) -> None:
    engine, worker = await house.engine(1), await house.worker()
    await worker.report(0, reports(0))
    await worker.report(1, reports(1))
    assert [number_of(each.message) for each in await gather(engine, 1)] == [1]
    await until(engine, lambda: engine.caught_up(1))
    assert await engine.receive(0) == []


async def test_seeking_back_reads_again(house: House) -> None:
    engine, worker = await house.engine(0), await house.worker()
    for number in range(5):
        await worker.report(0, reports(number))
    await gather(engine, 5)
    engine.seek(0, 3)
    assert [(each.offset, number_of(each.message)) for each in await gather(engine, 2)] == [(3, 3), (4, 4)]


async def test_an_engine_that_comes_later_reads_from_the_offset_it_is_told(house: House) -> None:
    worker = await house.worker()
    for number in range(5):
        await worker.report(2, reports(number))
    engine = await house.engine(name="late")
    engine.seek(2, 4)
    assert [(each.offset, number_of(each.message)) for each in await gather(engine, 1)] == [(4, 4)]


async def test_two_engines_read_different_parts_and_hand_one_over(house: House) -> None:
    first, second, worker = await house.engine(0, 1), await house.engine(2, name="b"), await house.worker()
    for number in range(6):
        await worker.report(number % 3, reports(number))
    assert {number_of(each.message) for each in await gather(first, 4)} == {0, 1, 3, 4}
    assert {number_of(each.message) for each in await gather(second, 2)} == {2, 5}
    first.leave(1)
    second.seek(1, 2)
    await worker.report(1, reports(6))
    await worker.report(0, reports(7))
    assert [(each.part, each.offset) for each in await gather(second, 1)] == [(1, 2)]
    assert [(each.part, each.offset) for each in await gather(first, 1)] == [(0, 2)]


async def test_receive_returns_at_once_what_is_there_and_waits_no_longer_than_told(house: House) -> None:
    engine, worker = await house.engine(0), await house.worker()
    assert await engine.receive(0) == []
    assert await engine.receive(0.01) == []
    assert await worker.receive(0) == []
    assert await worker.receive(0.01) == []
    waiting = asyncio.ensure_future(engine.receive(None))
    await asyncio.sleep(0)
    assert not waiting.done()
    await worker.report(0, reports(1))
    assert [number_of(each.message) for each in await asyncio.wait_for(waiting, PATIENCE)] == [1]


async def test_wake_ends_a_wait_from_another_thread_and_is_not_lost_before_it(house: House) -> None:
    engine, worker = await house.engine(0), await house.worker()
    for side in (engine, worker):
        waiting = asyncio.ensure_future(side.receive(None))
        await asyncio.sleep(0)
        thread = threading.Thread(target=side.wake)
        thread.start()
        assert await asyncio.wait_for(waiting, PATIENCE) == []
        thread.join()
        side.wake()
        assert await asyncio.wait_for(side.receive(None), PATIENCE) == []


async def test_inbox_and_queue_decide_who_hears_a_message(house: House) -> None:
    engine = await house.engine(0)
    name, other_name = named(0), named(1)
    first = await house.worker(name, ["default"])
    other = await house.worker(other_name, ["default", "gpu"])
    assert (first.inbox, other.inbox) == (0, 1)
    for queue, inbox, to, number in (
        ("default", 0, name, 1),
        ("gpu", 0, name, 2),  # nobody listens there
        ("gpu", 1, other_name, 3),
        ("default", 0, name, 4),
        ("default", 1, other_name, 5),
    ):
        engine.send(queue, inbox, ask(number, to))
    await asyncio.wait_for(engine.flush(), PATIENCE)
    assert [(each.queue, each.message.epoch) for each in await told(first, 2)] == [
        ("default", 1),
        ("default", 4),
    ]
    assert sorted((each.queue, each.message.epoch) for each in await told(other, 2)) == [
        ("default", 5),
        ("gpu", 3),
    ]


async def test_a_worker_hears_what_is_sent_after_its_start_in_order(house: House) -> None:
    engine = await house.engine(0)
    inbox = (await house.worker("earlier-w")).inbox
    name = named(inbox, "late")
    engine.send("default", inbox, ask(1, name))
    await asyncio.wait_for(engine.flush(), PATIENCE)
    worker = await house.worker(name)
    for number in range(2, 50):
        engine.send("default", inbox, ask(number, name))
    assert [each.message.epoch for each in await told(worker, 48)] == list(range(2, 50))


async def test_every_engine_hears_every_beat_and_a_new_one_what_workers_said_last(house: House) -> None:
    early, first, second = await house.engine(0), await house.worker("a"), await house.worker("b")
    await first.beat(beat("a", 1))
    await first.beat(beat("a", 2))
    await second.beat(beat("b", 3))
    late = await house.engine(0, name="late")
    heard: dict[str, list[int]] = {"early": [], "late": []}
    async with asyncio.timeout(PATIENCE):
        while heard["early"] != [1, 2, 3] or 3 not in heard["late"]:
            for name, side in (("early", early), ("late", late)):
                await side.receive(0.05)
                heard[name] += [each.ahead for each in side.heard() if isinstance(each, Beat)]
    assert heard["late"][-2:] == [2, 3], "the last of each worker"
    assert list(early.heard()) == []
    waiting = asyncio.ensure_future(early.receive(None))
    await asyncio.sleep(0)
    await first.beat(beat("a", 4))
    assert await asyncio.wait_for(waiting, PATIENCE) == [], "a beat wakes the engine"
    assert list(early.heard()) == [beat("a", 4)]


async def test_an_engine_hears_the_lines_of_others_and_not_its_own(house: House) -> None:
    first, second = await house.engine(0, name="first"), await house.engine(1, name="second")
    said = Lines("first", {"gpu": (0, 7, 0)})
    first.announce(said)
    assert await asyncio.wait_for(second.receive(None), PATIENCE) == [], "lines wake the engine"
    assert list(second.heard()) == [said]
    await until(second, second.workers_caught_up)
    await until(first, first.workers_caught_up)
    assert list(first.heard()) == []


async def test_a_nudge_reaches_whoever_reads_the_part(house: House) -> None:
    owner, other = await house.engine(1), await house.engine(0, 2, name="other")
    other.nudge(1)
    assert [each.message for each in await asyncio.wait_for(owner.receive(None), PATIENCE)] == [Nudge(1)]


async def test_a_part_that_was_left_is_silent_until_it_is_sought_again(house: House) -> None:
    engine, worker = await house.engine(0, 1), await house.worker()
    await worker.report(0, reports(0))
    engine.leave(0)
    await worker.report(1, reports(1))
    assert [each.part for each in await gather(engine, 1)] == [1]
    await until(engine, lambda: engine.caught_up(1))
    assert not engine.caught_up(0), "nobody reads it"
    engine.seek(0, 0)
    assert not engine.caught_up(0), "a report is there that was not received"
    assert [number_of(each.message) for each in await gather(engine, 1)] == [0]
    await until(engine, lambda: engine.caught_up(0))


async def test_an_offset_behind_the_log_becomes_its_end_and_is_told_once(house: House) -> None:
    """faults 26"""
    engine, worker = await house.engine(0), await house.worker()
    await worker.report(0, reports(0))
    await gather(engine, 1)
    assert list(engine.gaps()) == []
    engine.seek(0, 50)
    met: list[tuple[int, int, int]] = []

    def gap() -> bool:
        met.extend((each.part, each.wanted, each.found) for each in engine.gaps())
        return bool(met)

    await until(engine, gap)
    assert met == [(0, 50, 1)]
    await worker.report(0, reports(1))
    assert [(each.offset, number_of(each.message)) for each in await gather(engine, 1)] == [(1, 1)]
    assert list(engine.gaps()) == []


JOB = Job(
    "sales",
    "price",
    "python",
    {"function": "shop:price"},
    Limits(60.0, 30.0, 5.0),
    "process",
    "fail",
    "/flows",
)
SHELL = Job("sales", "check", "shell", {"run": "exit 3", "interpreter": "sh", "cwd": None}, Limits())
KEYS = [(7, 1, 2, 0, 1), (2**62, 1, 0, 99_999, 3)]
TO_ENGINE: list[ToEngine] = [
    Nudge(2),
    Alive("w", "i", 2, {"default": 1, "gpu": 4}, KEYS),
    Reports(
        "w",
        "i",
        [
            Report(7, 1, 2, 0, 1, 4, 9, "started", started_at=1e9),
            Report(7, 1, 2, 0, 1, 4, 9, "succeeded", 1e9, 1e9 + 0.5, output=b'{"rows":[1,2.5,"\xc3\xbc"]}'),
            Report(7, 1, 3, 0, 1, 4, 9, "succeeded", artifact=ArtifactRef("s3://b/k", "sha256:0", 10)),
            Report(
                7,
                1,
                4,
                0,
                1,
                4,
                9,
                "failed",
                error=ErrorInfo("OSError", "no", ["OSError"], 3, 503, "timed_out", False, "Traceback…"),
                retry_after=1.5,
            ),
            Report(7, 1, 5, 0, 1, 4, 9, "succeeded"),
        ],
    ),
]
TO_WORKER: list[ToWorker] = [
    Abort("w", 2, 4, KEYS, 10.0),
    Ask("w", 2, 4, None),
    Ask("w", 2, 4, KEYS, [(4, 1), (2**62, 7)]),
    Dispatches(
        "w",
        2,
        4,
        [
            Dispatch(7, "0190", 1, 2, 0, 1, 4, 9, JOB, {"with": {"day": "2026-11-22", "n": 2**53 + 1}}),
            Dispatch(
                7,
                "0190",
                1,
                2,
                5,
                2,
                4,
                10,
                JOB,
                {},
                [Hole(["with", 0], ["a", {"secret": "s"}])],
                0,
                "00-a-b-01",
            ),
            Dispatch(8, "0191", 1, 3, 0, 1, 4, 11, SHELL, {"env": {"É": "ü"}}, priority=2),
        ],
    ),
]


@pytest.mark.parametrize("message", TO_ENGINE, ids=lambda each: type(each).__name__)
async def test_whatever_is_said_to_an_engine_arrives_as_it_was_said(house: House, message: ToEngine) -> None:
    engine, worker = await house.engine(2), await house.worker()
    await worker.report(2, message)
    assert [tuple(each) for each in await asyncio.wait_for(engine.receive(None), PATIENCE)] == [
        (2, 0, message)
    ]


@pytest.mark.parametrize("message", TO_WORKER, ids=lambda each: type(each).__name__)
async def test_whatever_is_said_to_a_worker_arrives_as_it_was_said(house: House, message: ToWorker) -> None:
    engine, worker = await house.engine(), await house.worker("w")
    engine.send("gpu", worker.inbox, message)
    assert [tuple(each) for each in await told(worker, 1)] == [("gpu", message)]
    await asyncio.wait_for(engine.flush(), PATIENCE)
    assert engine.unacknowledged == 0
    assert list(engine.refused()) == []
