"""Live streams and job-events of a cluster: two API processes, Redis that dies, an engine that is killed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from headrace.engine.core.states import RunState
from headrace.engine.ports.store import RunRow
from headrace.engine.shell import history
from headrace.engine.shell.announcing import plan_hash
from headrace.engine.shell.plans import build
from headrace.engine.shell.views import Changes
from tests.support.api import LiveApi, serving
from tests.support.deployment import Deployment, opened
from tests.support.servers import BreakableServers
from tests.support.waiting import PATIENCE, eventually

FAN = """\
workflow: fan
params: {gate: {type: string}, items: {type: array}}
tasks:
  each: {python: "bodies:note", with: {value: "${{ item }}"}, map: "${{ params.items }}"}
  hold: {python: "bodies:until", with: {path: "${{ params.gate }}"}, depends_on: [each]}
  more: {python: "bodies:note", with: {value: "${{ item }}"}, map: "${{ params.items }}", depends_on: [hold]}
"""
Move = tuple[str, str | None, str, str]


@pytest.fixture
def deployment(breakable_lab: BreakableServers, tmp_path: Path) -> Iterator[Deployment]:
    settings = {"HEADRACE_REDIS_URL": breakable_lab.redis_url, "HEADRACE_EVENTS": "true"}
    with opened(breakable_lab, tmp_path, settings=settings) as made:
        yield made


@pytest.fixture
def servers(deployment: Deployment) -> Iterator[list[LiveApi]]:
    """Two `headrace api` processes."""
    settings = {name: value for name, value in deployment.environment.items() if name.startswith("HEADRACE_")}
    with ExitStack() as closing:
        made = []
        for name in ("one", "two"):
            folder = deployment.folder / name
            folder.mkdir()
            made.append(closing.enter_context(serving(folder, "api", "--no-auth", **settings)))
        yield made


class Client(threading.Thread):
    """Follows a run at several servers in turn: after so many events it leaves one and goes on at the next."""

    def __init__(self, run: str, servers: list[LiveApi], most: int | None) -> None:
        super().__init__(daemon=True)
        self._run_id, self._servers, self._most = run, servers, most
        self.moves: list[Move] = []
        self.last: str | None = None
        self.ended: str | None = None
        self.gaps: list[Any] = []

    def run(self) -> None:
        turn = 0
        while self.ended is None:
            self.listen(self._servers[turn % len(self._servers)])
            turn += 1

    def listen(self, server: LiveApi) -> None:
        headers = {} if self.last is None else {"Last-Event-ID": self.last}
        path = f"{server.address}/api/v1/runs/{self._run_id}/events"
        had = 0
        with httpx2.stream("GET", path, headers=headers, timeout=PATIENCE) as answer:
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    continue
                said, fields = fields, {}
                if "data" not in said:
                    continue
                data = json.loads(said["data"])
                self.last = said.get("id", self.last)
                if said["event"] == "end":
                    self.ended = data["state"]
                    return
                if said["event"] == "gap":
                    self.gaps.append(data)
                else:
                    self.moves.append((said["id"], data["task"], data["before"], data["state"]))
                had += 1
                if had == self._most:
                    return


def recorded(deployment: Deployment, run: RunRow) -> list[Move]:
    """What the history of a run says, in order."""

    async def ask() -> list[Move]:
        store = (await deployment.outside()).store
        row = await store.run(run.no)
        assert row is not None
        document = await store.plan(plan_hash(row, 1))
        assert document is not None
        changes = Changes(build(document), RunState.QUEUED)
        return [
            (f"{entry.seq}.{place}", move.task, move.before, move.after)
            for entry in await store.history(run.no)
            for place, move in enumerate(
                changes.recorded(history.decode(entry.body, history.NoContent())), start=1
            )
        ]

    return deployment.go(ask())


def test_clients_hear_all_at_any_server_whatever_becomes_of_redis(
    deployment: Deployment, servers: list[LiveApi], breakable_lab: BreakableServers
) -> None:
    deployment.team()
    gate = deployment.folder / "gate"
    run = deployment.submit(deployment.plan(FAN), gate=str(gate), items=list(range(40)))
    clients = [Client(run.id, servers, most) for most in (None, None, 7, 30)]
    clients.append(Client(run.id, servers[::-1], None))
    for client in clients:
        client.start()
    deployment.until_state(run, "hold", "running")
    breakable_lab.kill("valkey")
    gate.touch()
    deployment.wait(run)
    breakable_lab.restart("valkey")
    story = recorded(deployment, run)
    for client in clients:
        client.join(PATIENCE)
        assert client.ended == "succeeded"
        assert client.gaps == []
        assert client.moves == story


def test_a_server_ends_though_streams_are_open(deployment: Deployment, servers: list[LiveApi]) -> None:
    deployment.team()
    gate = deployment.folder / "gate"
    run = deployment.submit(deployment.plan(FAN), gate=str(gate), items=[1, 2])
    client = Client(run.id, servers[:1], None)
    listening = threading.Thread(target=client.listen, args=(servers[0],), daemon=True)
    listening.start()
    deployment.until_state(run, "hold", "running")
    eventually(
        lambda: [(move[1], move[3]) for move in client.moves[-1:]] == [("hold", "running")], f"{client.moves}"
    )
    assert servers[0].end() == 0
    listening.join(PATIENCE)
    assert client.ended is None
    gate.touch()
    client.listen(servers[1])
    assert client.moves == recorded(deployment, run)


async def _events(deployment: Deployment) -> list[tuple[int, bytes, dict[str, Any], list[Any]]]:
    """All of job-events, by partition: where it is, its key, itself, its headers."""
    topic = deployment.kafka.prefix + "job-events"
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(deployment.kafka.bootstrap), enable_auto_commit=False, group_id=None
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic) or ())]
        if not partitions:
            await consumer._client.force_metadata_update()
            await consumer.topics()
            partitions = [TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found = []
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                found += [
                    (partition.partition, record.key, json.loads(record.value), record.headers)
                    for record in records
                ]
        return found
    finally:
        await consumer.stop()


def told(deployment: Deployment, run: RunRow) -> list[Move]:
    """What job-events says of a run, as a reader takes it that passes over repetitions."""
    moves: list[Move] = []
    last = (0, 0)
    for partition, key, event, headers in deployment.go(_events(deployment)):
        if event["data"]["run"] != run.id:
            continue
        name, seq, place = event["id"].split("/")
        assert (name, key, partition) == (run.id, run.id.encode(), run.part)
        assert dict(headers)["content-type"].startswith(b"application/cloudevents+json")
        assert event["specversion"] == "1.0"
        data = event["data"]
        kind = "run" if data["task"] is None else "task"
        assert event["type"] == f"headrace.{kind}.{data['state']}"
        if (int(seq), int(place)) <= last:
            continue
        last = (int(seq), int(place))
        moves.append((f"{seq}.{place}", data["task"], data["before"], data["state"]))
    return moves


def test_job_events_tell_every_move_though_an_engine_is_killed(deployment: Deployment) -> None:
    deployment.team(("e1", "e2"))
    deployment.settled()
    made = deployment.plan(FAN)
    gate = deployment.folder / "gate"
    runs = [deployment.submit(made, gate=str(gate), items=list(range(20))) for _ in range(12)]
    # a partition of which nothing was ever told begins with what happens next (docs/design/kafka.md)
    deployment.eventually(lambda: all(told(deployment, run) for run in runs))
    deployment.member("e1").kill()
    gate.touch()
    deployment.wait(*runs)
    for run in runs:
        story = recorded(deployment, run)
        deployment.eventually(
            lambda run=run, story=story: len(told(deployment, run)) >= len(story),  # type: ignore[misc]
            lambda run=run: f"{told(deployment, run)}",  # type: ignore[misc]
        )
        assert told(deployment, run) == story


def test_what_happened_while_nobody_told_is_told_by_the_next(deployment: Deployment) -> None:
    """An engine without the setting stands for one that commits and dies before it has told."""
    deployment.worker("w1").ready()
    first = deployment.engine("e1").ready()
    gate = deployment.folder / "gate"
    gate.touch()
    made = deployment.plan(FAN)
    runs = [deployment.submit(made, gate=str(gate), items=[1, 2, 3]) for _ in range(3)]
    deployment.wait(*runs)
    for run in runs:
        story = recorded(deployment, run)
        deployment.eventually(lambda run=run, story=story: told(deployment, run) == story)  # type: ignore[misc]
    first.terminate()
    silent = deployment.engine("e2", HEADRACE_EVENTS="false").ready()
    by_part = {run.part: run for run in runs}
    while len(later := [r for r in runs[3:] if r.part in by_part]) < 2:
        runs.append(deployment.submit(made, gate=str(gate), items=[1, 2, 3]))
    deployment.wait(*runs)
    assert all(told(deployment, run) == [] for run in later)
    silent.kill()
    deployment.engine("e3").ready()
    for run in later:
        story = recorded(deployment, run)
        deployment.eventually(lambda run=run, story=story: told(deployment, run) == story)  # type: ignore[misc]
