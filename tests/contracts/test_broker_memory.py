"""What only the in-process broker does: forgetting, faults on purpose, reports from other threads (faults 17, 19)."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest

from headrace.engine.broker.memory import RETAINED, Faults, MemoryBroker
from headrace.engine.ports.broker import EngineSide, Told
from tests.contracts.brokers import PARTS, ask, gather, number_of, reports


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(parts=PARTS, inboxes=2)


async def started(broker: MemoryBroker, *parts: int) -> EngineSide:
    side = broker.engine_side()
    await side.start()
    for part in parts:
        side.seek(part, 0)
    return side


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


async def test_a_worker_may_have_everything_handed_over_whichever_thread_sends(broker: MemoryBroker) -> None:
    engine, worker = await started(broker, 0), broker.worker_side("w", 0, ["q"])
    await worker.start()
    engine.send("q", 0, ask(1))
    taken: list[tuple[int, int]] = []
    all_came = asyncio.Event()

    def take(messages: Sequence[Told]) -> None:
        taken.extend((told.message.epoch, threading.get_ident()) for told in messages)
        if len(taken) == 5:
            all_came.set()

    assert worker.hand_over(take)
    here = threading.get_ident()
    assert taken == [(1, here)], "what had come already"
    engine.send("q", 0, ask(2))
    assert taken[1:] == [(2, here)], "before send returns"
    thread = threading.Thread(target=lambda: [engine.send("q", 0, ask(number)) for number in (3, 4)])
    thread.start()
    thread.join()
    engine.send("q", 0, ask(5))
    await all_came.wait()
    assert taken[2:] == [(3, here), (4, here), (5, here)], "in order, and always on the worker's own loop"


def test_nothing_is_handed_over_where_messages_are_to_be_late() -> None:
    side = MemoryBroker(faults=Faults(seed=1)).worker_side("w", 0)
    assert not side.hand_over(lambda messages: None)


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


def test_an_inbox_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        MemoryBroker(inboxes=2).worker_side("w", 2)
