"""What engines and workers rely on of any broker. Every adapter is run through the same suite (faults 19, 20)."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict

import pytest

from headrace.engine.broker.memory import RETAINED, Faults, MemoryBroker
from headrace.engine.ports.broker import Arrived, EngineSide
from headrace.engine.ports.messages import Alive, Ask, Beat, Lines, Nudge, Reports

PARTS = 3


def reports(number: int) -> Reports:
    return Reports(f"w{number}", "i", [])


def number_of(message: object) -> int:
    assert isinstance(message, Reports)
    return int(message.worker[1:])


def ask(number: int, to: str = "w") -> Ask:
    return Ask(to, 0, number, None)


def beat(worker: str, ahead: int = 0) -> Beat:
    return Beat(worker, "i", 0, ["default"], {}, 1, ahead, 0)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(parts=PARTS, inboxes=2)


async def started(broker: MemoryBroker, *parts: int) -> EngineSide:
    side = broker.engine_side()
    await side.start()
    for part in parts:
        side.seek(part, 0)
    return side


async def gather(side: EngineSide, count: int) -> list[Arrived]:
    """Read until `count` different messages have come."""
    arrived: list[Arrived] = []
    async with asyncio.timeout(10):
        while len({number_of(each.message) for each in arrived}) < count:
            arrived += await side.receive(1.0)
    return arrived


async def test_each_part_keeps_its_order_and_counts_its_offsets(broker: MemoryBroker) -> None:
    engine, worker = await started(broker, 0, 1), broker.worker_side("w", 0)
    await worker.start()
    for number in range(20):
        await worker.report(number % 2, reports(number))
    arrived = await gather(engine, 20)
    for part in (0, 1):
        mine = [each for each in arrived if each.part == part]
        assert [number_of(each.message) for each in mine] == list(range(part, 20, 2))
        assert [each.offset for each in mine] == list(range(10))


async def test_a_part_nobody_asked_for_is_not_read(broker: MemoryBroker) -> None:
    engine, worker = await started(broker, 1), broker.worker_side("w", 0)
    await worker.start()
    await worker.report(0, reports(0))
    await worker.report(1, reports(1))
    assert [number_of(each.message) for each in await gather(engine, 1)] == [1]
    assert await engine.receive(0) == []


async def test_seeking_back_reads_again(broker: MemoryBroker) -> None:
    engine, worker = await started(broker, 0), broker.worker_side("w", 0)
    await worker.start()
    for number in range(5):
        await worker.report(0, reports(number))
    await gather(engine, 5)
    engine.seek(0, 3)
    assert [(each.offset, number_of(each.message)) for each in await gather(engine, 2)] == [(3, 3), (4, 4)]


async def test_a_log_that_begins_anew_goes_on_from_the_stored_offset(broker: MemoryBroker) -> None:
    engine, worker = broker.engine_side(), broker.worker_side("w", 0)
    await engine.start()
    await worker.start()
    await worker.report(0, reports(0))  # before the engine has come: it is not lost
    engine.seek(0, 1000)
    await worker.report(0, reports(1))
    assert [each.offset for each in await gather(engine, 2)] == [1000, 1001]


async def test_an_offset_outside_of_the_log_becomes_its_nearest_end(broker: MemoryBroker) -> None:
    engine, worker = await started(broker, 0), broker.worker_side("w", 0)
    await worker.start()
    for number in range(RETAINED * 2):
        await worker.report(0, reports(number))
    await gather(engine, RETAINED * 2)
    other = broker.engine_side()
    await other.start()
    other.seek(0, 10_000)
    await worker.report(0, reports(7))
    assert [each.offset for each in await gather(other, 1)] == [RETAINED * 2]
    other.seek(0, 0)
    oldest = (await other.receive(0))[0]
    assert oldest.offset == number_of(oldest.message) == RETAINED


async def test_what_was_read_does_not_stay_in_memory(broker: MemoryBroker) -> None:
    engine, slow, worker = await started(broker, 0), await started(broker, 0), broker.worker_side("w", 0)
    await worker.start()
    for number in range(1000):
        await worker.report(0, reports(number))
        if number % 50 == 0:
            await engine.receive(0)
    assert broker.held() == 1000, "the slower side still needs them"
    await slow.receive(0)
    await engine.receive(0)
    assert broker.held() <= RETAINED


async def test_receive_returns_at_once_what_is_there_and_waits_no_longer_than_told(
    broker: MemoryBroker,
) -> None:
    engine, worker = await started(broker, 0), broker.worker_side("w", 0)
    await worker.start()
    assert await engine.receive(0) == []
    assert await engine.receive(0.01) == []
    assert await worker.receive(0.01) == []
    waiting = asyncio.ensure_future(engine.receive(None))
    await asyncio.sleep(0)
    assert not waiting.done()
    await worker.report(0, reports(1))
    assert [number_of(each.message) for each in await asyncio.wait_for(waiting, 5)] == [1]


async def test_wake_ends_a_wait_from_another_thread_and_is_not_lost_before_it(broker: MemoryBroker) -> None:
    engine, worker = await started(broker, 0), broker.worker_side("w", 0)
    await worker.start()
    for side in (engine, worker):
        waiting = asyncio.ensure_future(side.receive(None))
        await asyncio.sleep(0)
        thread = threading.Thread(target=side.wake)
        thread.start()
        assert await asyncio.wait_for(waiting, 5) == []
        thread.join()
        side.wake()
        assert await asyncio.wait_for(side.receive(None), 5) == []


async def test_inbox_and_queue_decide_who_hears_a_message(broker: MemoryBroker) -> None:
    engine = await started(broker, 0)
    first, neighbour = broker.worker_side("a", 0, ["default"]), broker.worker_side("b", 0, ["gpu"])
    other = broker.worker_side("c", 1)
    for side in (first, neighbour, other):
        await side.start()
    engine.send("default", 0, ask(1))
    engine.send("gpu", 0, ask(2))
    engine.send("default", 1, ask(3))
    await engine.flush()
    heard = [[told.message.epoch for told in await side.receive(1)] for side in (first, neighbour, other)]
    assert heard == [[1], [2], [3]]


async def test_a_worker_hears_what_is_sent_after_its_start_in_order(broker: MemoryBroker) -> None:
    engine, worker = await started(broker, 0), broker.worker_side("w", 0)
    engine.send("default", 0, ask(1))
    await worker.start()
    for number in range(2, 50):
        engine.send("default", 0, ask(number))
    assert [told.message.epoch for told in await worker.receive(1)] == list(range(2, 50))
    await worker.stop()
    engine.send("default", 0, ask(50))
    assert await worker.receive(0) == []


async def test_every_engine_hears_every_beat_and_a_new_one_the_last_of_each_worker(
    broker: MemoryBroker,
) -> None:
    early = await started(broker, 0)
    first, second = broker.worker_side("a", 0), broker.worker_side("b", 1)
    await first.start()
    await second.start()
    await first.beat(beat("a", 1))
    await first.beat(beat("a", 2))
    await second.beat(beat("b", 3))
    late = await started(broker, 0)
    assert [each.ahead for each in early.heard() if isinstance(each, Beat)] == [1, 2, 3]
    assert [each.ahead for each in late.heard() if isinstance(each, Beat)] == [2, 3]
    assert list(early.heard()) == []
    waiting = asyncio.ensure_future(early.receive(None))
    await asyncio.sleep(0)
    await first.beat(beat("a", 4))
    assert await asyncio.wait_for(waiting, 5) == [], "a beat wakes the engine"


async def test_other_threads_may_report(broker: MemoryBroker) -> None:
    engine = await started(broker, 0)

    def work(first: int) -> None:
        async def run() -> None:
            side = broker.worker_side(f"w{first}", 0)
            await side.start()
            for number in range(first, first + 200):
                await side.report(0, reports(number))

        asyncio.run(run())

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 200, 400)]
    for thread in threads:
        thread.start()
    arrived = await gather(engine, 600)
    for thread in threads:
        thread.join()
    numbers = [number_of(each.message) for each in arrived]
    assert sorted(numbers) == list(range(600))
    for first in (0, 200, 400):
        mine = [number for number in numbers if first <= number < first + 200]
        assert mine == sorted(mine)


@pytest.mark.parametrize("seed", range(5))
async def test_faults_lose_nothing_and_keep_the_order_of_first_arrivals(seed: int) -> None:
    """faults 17, 19: at least once, in order per partition, whatever goes wrong on the way."""
    faults = Faults(seed=seed, duplicate=0.2, lose_ack=0.2, delay=0.2, max_delay=0.002, shuffle=True)
    broker = MemoryBroker(parts=PARTS, faults=faults)
    engine, worker = await started(broker, *range(PARTS)), broker.worker_side("w", 0)
    await worker.start()

    async def publish(part: int) -> None:
        for number in range(part, 90, PARTS):
            await worker.report(part, reports(number))

    publishing = asyncio.gather(*(publish(part) for part in range(PARTS)))
    arrived = await gather(engine, 90)
    await asyncio.wait_for(publishing, 10)
    arrived += await engine.receive(0)
    first_seen: dict[int, list[int]] = defaultdict(list)
    for each in arrived:
        number = number_of(each.message)
        assert number % PARTS == each.part
        if number not in first_seen[each.part]:
            first_seen[each.part].append(number)
    assert all(numbers == sorted(numbers) for numbers in first_seen.values())
    for part in range(PARTS):
        offsets = [each.offset for each in arrived if each.part == part]
        assert offsets == list(range(len(offsets)))
    assert max(Counter(number_of(each.message) for each in arrived).values()) > 1, "the faults did nothing"


async def test_faulty_dispatches_all_arrive_and_flush_waits_for_them() -> None:
    broker = MemoryBroker(faults=Faults(seed=3, delay=0.5, lose_ack=0.3, max_delay=0.005))
    engine, worker = await started(broker, 0), broker.worker_side("w", 0)
    await worker.start()
    for number in range(50):
        engine.send("default", 0, ask(number))
    await asyncio.wait_for(engine.flush(), 10)
    seen = [told.message.epoch for told in await worker.receive(1)]
    assert sorted(set(seen)) == list(range(50))
    first = sorted(set(seen), key=seen.index)
    assert first == sorted(first)


async def test_other_messages_travel_too(broker: MemoryBroker) -> None:
    engine, worker = await started(broker, 2), broker.worker_side("w", 0)
    await worker.start()
    sent: list[Nudge | Alive] = [Nudge(2), Alive("w", "i", 2, {"default": 1}, [(1, 0, 0, 0, 1)])]
    for message in sent:
        await worker.report(2, message)
    assert [each.message for each in await engine.receive(1)] == sent


def test_an_inbox_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        MemoryBroker(inboxes=2).worker_side("w", 2)


async def test_an_engine_hears_the_lines_of_others_and_not_its_own(broker: MemoryBroker) -> None:
    first, second = await started(broker, 0), await started(broker, 1)
    said = Lines("first", {"gpu": (0, 7, 0)})
    first.announce(said)
    assert await asyncio.wait_for(second.receive(None), 5) == [], "lines wake the engine"
    assert list(second.heard()) == [said]
    assert second.workers_caught_up()
    assert list(first.heard()) == []


async def test_a_worker_hears_which_queue_told_it(broker: MemoryBroker) -> None:
    engine, worker = await started(broker, 0), broker.worker_side("w", 1, ["default", "gpu"])
    await worker.start()
    assert worker.inbox == 1
    engine.send("gpu", worker.inbox, ask(1))
    engine.send("default", worker.inbox, ask(2))
    await engine.flush()
    assert [(told.queue, told.message.epoch) for told in await worker.receive(1)] == [
        ("gpu", 1),
        ("default", 2),
    ]


async def test_a_part_that_was_left_is_silent_until_it_is_sought_again(broker: MemoryBroker) -> None:
    engine, worker = await started(broker, 0, 1), broker.worker_side("w", 0)
    await worker.start()
    await worker.report(0, reports(0))
    assert not engine.caught_up(0), "a report is there that was not received"
    engine.leave(0)
    await worker.report(1, reports(1))
    assert [each.part for each in await gather(engine, 1)] == [1]
    assert engine.caught_up(1)
    assert not engine.caught_up(0), "nobody reads it"
    engine.seek(0, 0)
    assert [number_of(each.message) for each in await gather(engine, 1)] == [0]
    assert engine.caught_up(0)


async def test_an_offset_outside_of_the_log_is_told_once(broker: MemoryBroker) -> None:
    engine, worker = await started(broker, 0), broker.worker_side("w", 0)
    await worker.start()
    await worker.report(0, reports(0))
    assert list(engine.gaps()) == []
    engine.seek(0, 50)
    assert [tuple(gap) for gap in engine.gaps()] == [(0, 50, 1)]
    assert list(engine.gaps()) == []
