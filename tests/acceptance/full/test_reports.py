"""What may arrive on job-status beside what should: repetitions, old news, strangers and nonsense (faults 19 to 22)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from headrace.engine.broker.kafka import topics, wire
from headrace.engine.ports.messages import Report, Reports
from tests.support.deployment import Deployment

FLOW = """
workflow: flow
params: {on: {type: string}}
tasks:
  work: {python: bodies:note, with: {value: 7}}
  after: {python: bodies:until, with: {path: "${{ params.on }}"}, depends_on: work}
output: "${{ tasks.work.output }}"
"""
MARK = "workflow: mark\ntasks: {mark: {python: bodies:note}}\n"
NONSENSE = [
    b"hello",
    b"[1,2]",
    b'{"v":99,"type":"Reports","items":[]}',
    b'{"v":1,"type":"Reprots"}',
    b'{"v":1,"type":"Reports","worker":"w","incarnation":"i","items":[{"run":"x"}]}',
    b'{"v":1,"x":' + b"[" * 10_000,
]


def test_a_run_is_deaf_to_all_but_its_own_news(deployment: Deployment) -> None:
    """Every report of a task that has succeeded comes again a hundred times, the last first, with a failure that claims to be an
    earlier attempt, a success of runs that do not exist, and what nobody can read. One transition stands, what is unreadable is
    kept with its reason, and the part goes on."""
    deployment.team()
    on = deployment.folder / "on"
    run = deployment.submit(deployment.plan(FLOW), on=str(on))
    deployment.until_state(run, "after", "running")
    history = "SELECT * FROM history WHERE run = $1 ORDER BY seq"
    before = deployment.rows(history, run.no)
    said = deployment.go(_read(deployment, run.part))
    reports = [body for body in said if b'"type":"Reports"' in body]
    assert reports
    late = Report(run.no, 1, deployment.plan(FLOW).index["work"], 0, 0, 1, 1, "failed")
    strangers = [msgspec.structs.replace(late, run=number, kind="succeeded") for number in (10**9, 10**12)]
    forged = [
        body for each in (late, *strangers) for _, body in wire.encode_to_engine(Reports("w1", "i", [each]))
    ]
    deployment.go(_say(deployment, run.part, [*reversed(reports)] * 100 + forged + NONSENSE))

    marks = deployment.submit_all([deployment.plan(MARK)] * 80)
    assert any(mark.part == run.part for mark in marks), "nothing would show that the part goes on"
    deployment.wait(*marks)
    assert deployment.rows(history, run.no) == before
    assert deployment.states(run) == {"work": "succeeded", "after": "running"}
    kept = deployment.rows('SELECT reason FROM poison WHERE "partition" = $1', run.part)
    reasons = [row["reason"] for row in kept]
    assert len(reasons) == len(NONSENSE) + len(strangers)
    assert all(reasons)
    assert sum("There is no run number" in reason for reason in reasons) == len(strangers)
    on.touch()
    deployment.wait(run)
    assert deployment.view(run).run.output == b"7"
    assert [start.attempt for start in deployment.starts() if start.run == run.id] == [1, 1]
    deployment.agree(run)


async def _read(deployment: Deployment, part: int) -> list[bytes]:
    """All that was said on job-status to one part."""
    where = TopicPartition(deployment.kafka.prefix + topics.STATUS, part)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(deployment.kafka.bootstrap), auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([where])
        end = (await consumer.end_offsets([where]))[where]
        await consumer.seek_to_beginning(where)
        said: list[bytes] = []
        async with asyncio.timeout(60):
            while not said or await consumer.position(where) < end:
                said.append((await consumer.getone()).value)
        return said
    finally:
        await consumer.stop()


async def _say(deployment: Deployment, part: int, bodies: Sequence[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=list(deployment.kafka.bootstrap), acks="all")
    await producer.start()
    try:
        topic = deployment.kafka.prefix + topics.STATUS
        await asyncio.gather(*[await producer.send(topic, body, partition=part) for body in bodies])
    finally:
        await producer.stop()
