"""Live streams over a home whose engine runs in the same loop: complete, resumable, bounded, and over when the server is."""

from __future__ import annotations

import asyncio
import base64
import random
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from headrace.api.live.runs import RunTale
from headrace.api.live.sharing import Bounds
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.ports.artifacts import LogReader
from headrace.engine.ports.messages import Log
from headrace.engine.shell import history
from headrace.engine.shell.views import Changes
from tests.integration.api.listening import Event, Listener, listening
from tests.support.api import Api
from tests.support.waiting import PATIENCE

FAN = """\
workflow: fan
tasks:
  list: {shell: 'echo "[1, 2, 3, 4, 5, 6, 7, 8]"'}
  each: {shell: 'echo line of $N; echo another', env: {N: "${{ item }}"}, map: "${{ tasks.list.output }}"}
  last: {shell: 'echo done', depends_on: [each]}
"""
FAILS = """\
workflow: fails
tasks:
  bad: {shell: 'echo what a pity >&2; exit 3'}
"""
WAITS = """\
workflow: waits
tasks:
  first: {shell: 'echo begun'}
  hold: {shell: 'echo waiting; while [ ! -e "$GATE" ]; do sleep 0.02; done', env: {GATE: "${{ params.gate }}"}, depends_on: [first]}
params: {gate: {type: string}}
"""
Story = list[tuple[Any, ...]]


def moves(events: list[Event]) -> Story:
    return [
        (event.id, event.data["task"], event.data["before"], event.data["state"], event.data["attempt"])
        for event in events
        if event.name in ("run", "task")
    ]


async def recorded(api: Api, run: str) -> Story:
    """What the store says happened, row by row."""
    row = (await api.office.store.find_runs("default", run))[0]
    plan = (await api.office.plans.get(row.plan)).plan
    changes = Changes(plan, RunState.QUEUED)
    told: Story = []
    for entry in await api.office.store.history(row.no):
        found = changes.recorded(history.decode(entry.body, history.NoContent()))
        told += [
            (f"{entry.seq}.{place + 1}", change.task, change.before, change.after, change.attempt)
            for place, change in enumerate(found)
        ]
    return told


async def test_a_run_is_told_from_its_beginning_to_its_end(api: Api) -> None:
    await api.register(FAN)
    run = await api.start("fan")
    async with listening(api.app, f"/runs/{run}/events") as stream:
        events = await stream.rest()
    assert stream.status == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["x-accel-buffering"] == "no"
    assert stream.headers["cache-control"] == "no-store"
    assert "content-length" not in stream.headers
    assert moves(events) == await recorded(api, run)
    assert events[-1].name == "end"
    assert events[-1].data == {"run": run, "state": "succeeded", "reason": None}
    assert [event.data["state"] for event in events if event.name == "run"] == ["running", "succeeded"]
    assert len({task for _, task, *_ in moves(events) if task and task.startswith("each[")}) == 8
    assert api.office.live.streams == api.office.live.followed == 0


async def test_who_comes_later_hears_the_same(api: Api) -> None:
    ran = await api.ran(FAN)
    async with listening(api.app, f"/runs/{ran['run']}/events", role="viewer") as stream:
        assert moves(await stream.rest()) == await recorded(api, ran["run"])


async def resumed(api: Api, run: str, dice: random.Random) -> list[Event]:
    """The whole story, by a client that loses its connection again and again."""
    events: list[Event] = []
    last: str | None = None
    while True:
        async with listening(api.app, f"/runs/{run}/events", id=last) as stream:
            if stream.status == 204:
                return events
            for _ in range(dice.randint(0, 7)):
                event = await stream.next()
                if event is None:
                    break
                events.append(event)
                last = stream.last_id


@pytest.mark.parametrize("whole", [True, False], ids=["tape", "store"])
@pytest.mark.parametrize("seed", range(3))
async def test_a_client_that_is_cut_off_goes_on_where_it_was(
    api: Api, seed: int, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event twice, none missing, however often, and whether the tape has what is missing or not."""
    if not whole:
        monkeypatch.setattr("headrace.api.live.runs.SHORT", -1)
        monkeypatch.setattr(api.office.live, "bounds", Bounds(room=1))
    await api.register(FAN)
    run = await api.start("fan")
    clients = [resumed(api, run, random.Random(seed * 10 + each)) for each in range(4)]
    for events in await asyncio.gather(*clients):
        assert moves(events) == await recorded(api, run)
        assert [event.name for event in events].count("end") == 1


async def test_every_place_is_one_to_go_on_from(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    run = (await api.ran(FAN))["run"]
    story = await recorded(api, run)
    for short in (500, -1):
        monkeypatch.setattr("headrace.api.live.runs.SHORT", short)
        for at, (id, *_) in enumerate(story):
            async with listening(api.app, f"/runs/{run}/events", id=id) as stream:
                assert moves(await stream.rest()) == story[at + 1 :]
    last = story[-1][0].partition(".")[0]
    async with listening(api.app, f"/runs/{run}/events?after={last}") as stream:
        assert [event.name for event in await stream.rest()] == ["end"]
    async with listening(api.app, f"/runs/{run}/events?after=now") as stream:
        assert [event.id for event in await stream.rest()] == [f"{last}.end"]
    async with listening(api.app, f"/runs/{run}/events", id=f"{last}.end") as stream:
        assert (stream.status, stream.body) == (204, b"")


async def test_an_id_from_the_future_is_told_as_a_gap(api: Api) -> None:
    run = (await api.ran(FAN))["run"]
    last = (await recorded(api, run))[-1][0].partition(".")[0]
    async with listening(api.app, f"/runs/{run}/events", id="100000.7") as stream:
        gap, end = await stream.rest()
    assert (gap.name, gap.id, gap.data) == ("gap", last, {"from": "99999", "to": last, "why": "ahead"})
    assert end.name == "end"


async def test_an_id_that_is_none_is_refused(api: Api) -> None:
    run = (await api.ran(FAILS))["run"]
    bomb = base64.urlsafe_b64encode(zlib.compress(b"\0" * 1_000_000, 9)).decode()
    for what in ("events", "logs"):
        for id in ("x", "1.x", "-1", "1.2.3", "9" * 30, "1" * 7000, "१", bomb):
            answer = await api("GET", f"/runs/{run}/{what}", params={"after": id})
            assert answer.status_code in (400, 422), (what, id)
            assert answer.headers["content-type"] == "application/problem+json"


async def test_what_tasks_said_is_for_operators(api: Api) -> None:
    run = (await api.ran(FAILS))["run"]
    seen = {}
    for role in ("viewer", "operator"):
        async with listening(api.app, f"/runs/{run}/events", role=role) as stream:
            events = await stream.rest()
        seen[role] = next(event for event in events if event.data.get("state") == "failed").data["error"]
    assert seen["viewer"] == {"kind": "exit", "message": None}
    assert seen["operator"]["kind"] == "exit"
    assert "3" in seen["operator"]["message"]
    assert (await api("GET", f"/runs/{run}/logs", role="viewer")).status_code == 403


async def test_runs_of_other_projects_are_not_there(api: Api) -> None:
    run = (await api.ran(FAILS))["run"]
    for what in ("events", "logs"):
        answer = await api("GET", f"/runs/{run}/{what}", project="other")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def begun(api: Api, project: str = "default") -> tuple[str, Any]:
    """A run that waits for a file, and the file."""
    gate = api.folder / "gate"
    await api.register(WAITS)
    return await api.start("waits", {"params": {"gate": str(gate)}}), gate


async def test_many_share_one_reading(api: Api) -> None:
    run, gate = await begun(api)
    async with AsyncExitStack() as open_:
        streams = [
            await open_.enter_async_context(listening(api.app, f"/runs/{run}/events")) for _ in range(50)
        ]
        assert (api.office.live.streams, api.office.live.followed) == (50, 1)
        gate.touch()
        heard = [await stream.rest() for stream in streams]
    story = await recorded(api, run)
    assert all(moves(events) == story for events in heard)


async def test_one_that_takes_nothing_is_told_what_it_missed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it missed can be had with the gap's `from`."""
    monkeypatch.setattr(api.office.live, "bounds", Bounds(room=1, read_back=2))
    run, gate = await begun(api)
    async with listening(api.app, f"/runs/{run}/events") as stream:
        events = await _until_running(stream, "hold")
        stream.hold()
        gate.touch()
        await api.ended(run)
        await api("POST", f"/runs/{run}/rerun?wait=30s", json={"from": ["first"]})
        assert (await api.ended(run))["generation"] == 2
        row = (await api.office.store.find_runs("default", run))[0]
        async with api.office.live.run(row) as tale:
            await _read_to(tale, row.seq)
        stream.take()
        events += await stream.rest()
    story = await recorded(api, run)
    gap = next(event for event in events if event.name == "gap")
    assert gap.data["why"] == "slow"
    before = [move for move in story if int(move[0].split(".")[0]) <= int(gap.data["from"])]
    after = [move for move in story if int(move[0].split(".")[0]) > int(gap.data["to"])]
    assert moves(events) == before + after
    assert len(before) + len(after) < len(story)
    async with listening(api.app, f"/runs/{run}/events", id=gap.data["from"]) as stream:
        assert moves(await stream.rest()) == story[len(before) :]


async def _read_to(tale: RunTale, seq: int) -> None:
    """Until the tape has that row."""
    new = asyncio.Event()
    unwatch = tale.tape.watch(new.set)
    async with asyncio.timeout(PATIENCE):
        while tale.tape.end < seq:
            await new.wait()
            new.clear()
    unwatch()


async def _until_running(stream: Listener, task: str) -> list[Event]:
    events: list[Event] = []
    while not events or (events[-1].data.get("task"), events[-1].data.get("state")) != (task, "running"):
        event = await stream.next()
        assert event is not None
        events.append(event)
    return events


async def test_one_that_takes_nothing_for_long_is_left(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.office.live, "bounds", Bounds(patience=0.05))
    run, gate = await begun(api)
    async with listening(api.app, f"/runs/{run}/events") as stream:
        await _until_running(stream, "hold")
        stream.hold()
        gate.touch()
        await api.ended(run)
        await stream.left()
        assert api.office.live.streams == api.office.live.followed == 0


async def test_streams_are_counted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.office.live, "bounds", Bounds(all=3, each=2))
    run, gate = await begun(api)
    path = f"/runs/{run}/events"
    async with listening(api.app, path), listening(api.app, path):
        refused = await api("GET", path)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert "retry-after" in refused.headers
        async with listening(api.app, "/events", project="other"):
            refused = await api("GET", "/events", project="third")
            assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
    async with listening(api.app, path) as stream:
        gate.touch()
        assert (await stream.rest())[-1].name == "end"


async def test_they_end_when_the_server_does(api: Api) -> None:
    run, gate = await begun(api)
    paths = [f"/runs/{run}/events", f"/runs/{run}/logs", "/events"]
    async with (
        listening(api.app, paths[0]) as one,
        listening(api.app, paths[1]) as two,
        listening(api.app, paths[2]) as three,
    ):
        await _until_running(one, "hold")
        api.app.state["ending"].begin()
        for stream in (one, two, three):
            assert "end" not in [event.name for event in await stream.rest()]
    async with listening(api.app, paths[0]) as late:
        assert await late.rest() == []
    gate.touch()
    await api.ended(run)


async def test_a_silent_stream_is_pinged(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("runs", "logs", "projects"):
        monkeypatch.setattr(f"headrace.api.live.{module}.PING_EVERY", 0.02)
    run, gate = await begun(api)
    for path in (f"/runs/{run}/events", f"/runs/{run}/logs", "/events"):
        async with listening(api.app, path) as stream:
            await stream.pinged(3)
    gate.touch()
    await api.ended(run)


async def test_a_project_is_told_how_its_runs_stand(api: Api) -> None:
    async with (
        listening(api.app, "/events", role="viewer") as stream,
        listening(api.app, "/events", project="other") as other,
    ):
        assert [event.name for event in await stream.until("ready")] == ["ready"]
        await other.until("ready")
        run = (await api.ran(FAN))["run"]
        told = []
        while not told or told[-1].data["state"] != "succeeded":
            told += await stream.until("status")
        assert {event.data["run"] for event in told} == {run}
        assert all(event.id is None for event in told)
        assert told[-1].data["workflow"] == "fan"
        assert not other._events


# -- lines ----------------------------------------------------------------------------------------------------------


def lines(events: list[Event]) -> dict[str, list[tuple[int, str]]]:
    """By task, the numbers and texts in the order in which they came."""
    found: dict[str, list[tuple[int, str]]] = {}
    for event in events:
        for line in event.data.get("lines", ()):
            found.setdefault(line["task"], []).append((line["number"], line["text"]))
    return found


WRITTEN = {f"each[{n}]": [(0, f"line of {n + 1}"), (1, "another")] for n in range(8)} | {
    "list": [(0, "[1, 2, 3, 4, 5, 6, 7, 8]")],
    "last": [(0, "done")],
}


async def test_lines_are_told_as_they_are_written(api: Api) -> None:
    await api.register(FAN)
    run = await api.start("fan")
    async with listening(api.app, f"/runs/{run}/logs") as stream:
        events = await stream.rest()
    assert events[-1].name == "end"
    assert lines(events) == WRITTEN


class Slow:
    """Logs that are read when `begin` says so."""

    def __init__(self, logs: LogReader) -> None:
        self._logs, self.begin = logs, asyncio.Event()

    async def follow(self, run_id: str, looked: Callable[[], None] | None = None) -> AsyncIterator[Log]:
        await self.begin.wait()
        async for line in self._logs.follow(run_id, looked):
            yield line


async def test_lines_that_are_read_late_are_not_left_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the first look takes, when the run has ended already."""
    monkeypatch.setattr("headrace.api.live.logs.LINGER", 0.01)
    monkeypatch.setattr("headrace.api.live.logs.PING_EVERY", 0.02)
    run = (await api.ran(FAN))["run"]
    slow = Slow(api.office.logs)
    monkeypatch.setattr(api.office.live, "_logs", slow)
    async with listening(api.app, f"/runs/{run}/logs") as stream:
        await stream.pinged(5)
        slow.begin.set()
        events = await stream.rest()
    assert lines(events) == WRITTEN
    assert events[-1].name == "end"


@pytest.mark.parametrize("room", [1, 10_000_000], ids=["store", "tape"])
async def test_lines_come_once_however_often_a_client_is_cut_off(
    api: Api, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.office.live, "bounds", Bounds(room=room))
    monkeypatch.setattr("headrace.api.live.logs.MOST_LINES", 2)
    monkeypatch.setattr("headrace.api.live.logs.LINGER", 0.5)
    await api.register(FAN)
    run = await api.start("fan")
    dice = random.Random(room)

    async def cut_off(last: str | None = None) -> list[Event]:
        events: list[Event] = []
        while True:
            async with listening(api.app, f"/runs/{run}/logs", id=last) as stream:
                for _ in range(dice.randint(1, 3)):
                    event = await stream.next()
                    if event is None:
                        break
                    events.append(event)
                    last = stream.last_id
                    if event.name == "end":
                        return events

    async with listening(api.app, f"/runs/{run}/logs") as steady:
        for events in await asyncio.gather(cut_off(), cut_off(), cut_off()):
            assert lines(events) == WRITTEN
        assert lines(await steady.rest()) == WRITTEN
    async with listening(api.app, f"/runs/{run}/logs", id=last_of(events)) as stream:
        assert [event.name for event in await stream.rest()] == ["end"]


def last_of(events: list[Event]) -> str:
    return next(event.id for event in reversed(events) if event.id)


def test_words_for_states_are_those_of_the_engine() -> None:
    from headrace.api.live.scribe import FAILING

    assert {TaskState.FAILED.word, TaskState.RETRYING.word} == FAILING
