"""job-dlq: every letter is published at least once, by one engine, and again when nobody said that it was."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from headrace.engine.broker.streams import letters
from headrace.engine.broker.streams.letters import DeadLetters
from headrace.engine.core.keys import pack
from headrace.engine.ports.broker import BrokerUnavailable
from headrace.engine.ports.letters import DeadLetterRow, PoisonRow
from headrace.engine.ports.store import Batch, NewRun, TaskRow
from tests.integration.streams.bench import Bench
from tests.support.flows import flow, py


async def fail(bench: Bench, *tasks: int, inputs: bytes = b'[{"with": {"n": 1}}]', part: int = 0) -> str:
    """A run of which these tasks have failed for good, as an engine commits it. Returns its id."""
    version = await bench.register(flow(py("a")))
    now = bench.clock.now()
    name = f"run-{part}-{now}"
    created = await bench.store.create_run(
        NewRun(
            name,
            "default",
            "w",
            version.version,
            version.plan,
            part,
            b"{}",
            b'{"kind": "manual"}',
            now,
            now,
            "normal",
        )
    )
    owned = await bench.store.claim(part, "owner")
    batch = Batch(part, owned.epoch, owned.seq + 1, now)
    error = b'{"kind": "ValueError", "message": "no such day"}'
    for task in tasks:
        path = pack((task,))
        batch.dead.append(DeadLetterRow(created.no, 1, 0, path, 2, now, error, "w", "a"))
        batch.tasks.append(
            TaskRow(
                created.no, 1, 0, path, 6, "failed", 2, 1, 1, "w1", now, now, now, None, None, None, error, inputs, None, None, None
            )
        )  # fmt: skip
    assert await bench.store.commit([batch]) == []
    return name


async def test_what_failed_for_good_is_told_with_error_fingerprint_and_inputs(bench: Bench) -> None:
    read = await bench.listen("job-dlq")
    bench.start()
    run = await fail(bench, 7)
    record = await read()
    assert record.key == run.encode()
    message = json.loads(record.value)
    [kept] = await bench.store.dead_letters("default")
    assert message == {
        "v": 1,
        "type": "DeadLetter",
        "id": kept.id,
        "project": "default",
        "run_id": run,
        "workflow": "w",
        "task": "a",
        "map": [7],
        "generation": 1,
        "attempt": 2,
        "at": kept.at,
        "error": {"kind": "ValueError", "message": "no such day"},
        "fingerprint": kept.fingerprint,
        "inputs": {"with": {"n": 1}},
    }


async def test_what_is_too_large_is_named_by_its_size(bench: Bench) -> None:
    read = await bench.listen("job-dlq")
    bench.start()
    inputs = json.dumps([{"with": "x" * 300_000}]).encode()
    await fail(bench, 1, inputs=inputs)
    message = json.loads((await read()).value)
    assert "inputs" not in message
    assert message["inputs_bytes"] == len(inputs)


async def test_a_message_that_nobody_could_read_is_told_with_its_place_and_body(bench: Bench) -> None:
    read = await bench.listen("job-dlq")
    bench.start()
    place = await bench.send("job-requests", b"\xff no json", partition=2)
    message = json.loads((await read()).value)
    assert message["type"] == "UnreadableMessage"
    assert (message["topic"], message["partition"], message["offset"]) == (
        bench.settings.prefix + "job-requests", 2, place.offset,
    )  # fmt: skip
    assert base64.b64decode(message["body"]) == b"\xff no json"
    assert "cannot be read" in message["reason"]


async def test_engines_at_once_tell_each_letter_once(bench: Bench) -> None:
    read = await bench.listen("job-dlq")
    for part in range(3):
        await fail(bench, *range(80), part=part)
    bench.start("one")
    bench.start("two")
    heard = [json.loads((await read()).value)["id"] for _ in range(240)]
    last = await fail(bench, 1)
    assert json.loads((await read()).value)["run_id"] == last
    assert len(set(heard)) == 240


class Topic:
    """What job-dlq has heard; it may refuse."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.refuses: set[int] = set()

    async def publish(self, body: bytes, key: bytes) -> None:
        message = json.loads(body)
        if message["map"][0] in self.refuses:
            raise BrokerUnavailable("not now")
        self.heard.append(message)


async def test_a_letter_whose_publishing_was_not_acknowledged_is_told_again(bench: Bench) -> None:
    await fail(bench, 1, 2, 3)
    topic, now = Topic(), bench.clock.now()
    first = DeadLetters(bench.store, topic.publish, lambda: now)
    topic.refuses = {2}
    with pytest.raises(BrokerUnavailable, match="not taken all"):
        await first.sweep()
    topic.refuses = set()
    assert await first.sweep() is False
    assert [message["map"] for message in topic.heard] == [[1], [3]]
    later = DeadLetters(bench.store, topic.publish, lambda: now + letters.HELD + 1)
    await later.sweep()
    await later.sweep()
    assert [message["map"] for message in topic.heard] == [[1], [3], [2]]


async def test_an_engine_that_dies_between_publishing_and_noting_it_costs_a_repetition(bench: Bench) -> None:
    await fail(bench, 1)
    topic, now = Topic(), bench.clock.now()

    async def publish_and_die(body: bytes, key: bytes) -> None:
        await topic.publish(body, key)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await DeadLetters(bench.store, publish_and_die, lambda: now).sweep()
    later = DeadLetters(bench.store, topic.publish, lambda: now + letters.HELD + 1)
    await later.sweep()
    assert [message["id"] for message in topic.heard] == [topic.heard[0]["id"]] * 2
    assert await later.sweep() is False
    assert len(topic.heard) == 2


async def test_poison_is_kept_once_by_its_place(bench: Bench) -> None:
    row = PoisonRow("t", 1, 2, -1, 3.0, "why", b"body")
    await bench.store.park([row, row._replace(offset=3)])
    await bench.store.park([row._replace(reason="other")])
    await bench.store.park([])
    assert [(letter.offset, letter.reason) for letter in await bench.poison()] == [(3, "why"), (2, "why")]
