"""job-requests: a message becomes one run, whatever happens to it on the way, or a dead letter that says why."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from headrace.engine.ports.requests import Asked
from headrace.engine.shell.children import part_of
from tests.integration.streams.bench import Bench
from tests.support.flows import flow, py

PLAN = flow(
    py("a"), params={"day": {"type": "string", "default": "${{ run.date }}"}, "n": {"type": "integer"}}
)
REQUEST = {"workflow": "w", "params": {"n": 1}}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_message_becomes_a_run_as_trigger_makes_it(bench: Bench) -> None:
    version = await bench.register(PLAN)
    bench.start()
    request = {**REQUEST, "priority": "high", "key": "k", "requested_by": "shop"}
    place = await bench.send("job-requests", request, headers=[("traceparent", TRACE.encode())])
    [run] = await bench.until(bench.runs, lambda runs: len(runs) == 1)
    params = json.loads(run.params)
    assert params["n"] == 1
    assert len(params["day"]) == len("2026-01-01")
    assert (run.workflow, run.version, run.plan) == ("w", version.version, version.plan)
    assert (run.priority, run.key) == ("high", "k")
    assert run.part == part_of(run.id, await bench.store.parts())
    trigger = json.loads(run.trigger)
    assert (trigger["kind"], trigger["by"]) == ("request", "shop")
    assert (trigger["partition"], trigger["offset"]) == (place.partition, place.offset)
    assert trigger["traceparent"] == TRACE
    inbox = await bench.store.inbox(run.part, 0, 10)
    assert [(row.kind, row.run) for row in inbox] == [("start", run.no)]
    assert bench.nudged == [run.part]


async def test_what_cannot_become_a_run_is_a_dead_letter_and_its_neighbours_are_not_lost(
    bench: Bench,
) -> None:
    """All in one partition, before anybody reads it: most of them come in one batch."""
    await bench.register(PLAN)
    bad: list[tuple[Any, str]] = [
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (None, "cannot be read"),
        (b'{"workflow": "w", "params": {"n": ' + b"[" * 100_000, "nested too deeply"),
        ({"workflow": "nowhere"}, 'no workflow "nowhere"'),
        ({**REQUEST, "version": 9}, "no version 9"),
        ({"workflow": "w", "params": {"n": "x"}}, "n"),
        ({"workflow": "w"}, "parameter n is missing"),
        ({**REQUEST, "params": {"n": 1, "m": 2}}, "no parameter"),
        ({**REQUEST, "unknown": 1}, "unknown"),
        ({**REQUEST, "key": "a\0b"}, "regex"),
        ({**REQUEST, "v": 2}, "cannot be read"),
        ({**REQUEST, "priority": "urgent"}, "cannot be read"),
    ]
    await bench.send("job-requests", REQUEST, partition=0)
    for body, _ in bad:
        await bench.send("job-requests", body, partition=0)
        await bench.send("job-requests", REQUEST, partition=0)
    strange = [("trace", b"\xff\xfe"), ("reply_to", b"job-status"), ("traceparent", b"\xff")]
    await bench.send("job-requests", REQUEST, partition=0, headers=strange)
    bench.start()
    letters = await bench.until(bench.poison, lambda letters: len(letters) == len(bad))
    runs = await bench.until(bench.runs, lambda runs: len(runs) == len(bad) + 2)
    assert not any(b"traceparent" in run.trigger for run in runs)
    for letter, (_, why) in zip(reversed(letters), bad, strict=True):
        assert why in letter.reason, letter.reason


@pytest.mark.parametrize("how", ["idempotency", "key"])
async def test_a_key_used_a_hundred_times_at_once_gives_one_run(bench: Bench, how: str) -> None:
    await bench.register(PLAN)
    bench.start("one")
    bench.start("two")
    request = {**REQUEST, how: "order-7"}
    await asyncio.gather(*(bench.send("job-requests", request) for _ in range(100)))
    for partition in range(4):
        await bench.send("job-requests", {**REQUEST, "key": f"last {partition}"}, partition=partition)

    async def last() -> int:
        return len([run for run in await bench.runs() if (run.key or "").startswith("last")])

    await bench.until(last, lambda number: number == 4)
    assert len(await bench.runs()) == 5


async def test_an_idempotency_key_with_another_request_is_refused(bench: Bench) -> None:
    await bench.register(PLAN)
    bench.start()
    await bench.send("job-requests", {**REQUEST, "idempotency": "i"}, partition=0)
    await bench.send("job-requests", {"workflow": "w", "params": {"n": 2}, "idempotency": "i"}, partition=0)
    [letter] = await bench.until(bench.poison, lambda letters: len(letters) == 1)
    [run] = await bench.runs()
    assert letter.reason == (
        f'The idempotency key "i" belongs to run {run.id}, which another request has asked for.'
    )


async def test_a_message_that_comes_again_makes_no_second_run(bench: Bench) -> None:
    """What an engine does that ends between the run and the commit of its offset, and the next one after it."""
    await bench.register(PLAN)
    asked = Asked("job-requests", 3, 7, 1_700_000_000_000, json.dumps(REQUEST).encode())
    await bench.intake().take([asked])
    await bench.intake().take([asked, asked])
    assert len(await bench.runs()) == 1
    await bench.intake().take([asked._replace(stamp=asked.stamp + 1)])  # the topic was made anew
    assert len(await bench.runs()) == 2


async def test_engines_that_come_and_go_lose_nothing_and_repeat_nothing(bench: Bench) -> None:
    await bench.register(PLAN)
    sent = 0
    bench.start("one")
    for turn in range(4):
        for _ in range(50):
            sent += 1
            await bench.send("job-requests", {"workflow": "w", "params": {"n": sent}})
        await bench.stop("two" if turn % 2 else "one")
        bench.start("one" if turn % 2 else "two")
    runs = await bench.until(bench.runs, lambda runs: len(runs) >= sent)
    assert sorted(json.loads(run.params)["n"] for run in runs) == list(range(1, sent + 1))


async def test_a_key_that_is_taken_is_reused_refused_or_taken_over(bench: Bench) -> None:
    await bench.register(PLAN)
    bench.start()
    keyed = {**REQUEST, "key": "k"}
    await bench.send("job-requests", keyed, partition=0)
    await bench.send("job-requests", keyed, partition=0)
    await bench.send("job-requests", {**keyed, "on_conflict": "reject"}, partition=0)
    [letter] = await bench.until(bench.poison, lambda letters: len(letters) == 1)
    [run] = await bench.runs()
    assert letter.reason == f'run {run.id} is live and has the key "k".'
    await bench.send("job-requests", {**keyed, "on_conflict": "cancel_existing", "requested_by": "me"})

    async def asked() -> list[str]:
        return [row.kind for row in await bench.store.inbox(run.part, 0, 10) if row.run == run.no]

    assert await bench.until(asked, lambda kinds: len(kinds) == 2) == ["start", "cancel"]
    await bench.end(run)
    runs = await bench.until(bench.runs, lambda runs: len(runs) == 2)
    assert runs[0].key == "k"
    assert await asked() == ["start", "cancel"]


async def test_other_projects_are_asked_by_name(bench: Bench) -> None:
    await bench.register(PLAN, "shop")
    bench.start()
    await bench.send("job-requests", {**REQUEST, "project": "shop"})
    await bench.send("job-requests", REQUEST)
    [letter] = await bench.until(bench.poison, lambda letters: len(letters) == 1)
    assert letter.reason == 'There is no workflow "w" in project "default".'

    async def runs() -> int:
        return len(await bench.store.list_runs("shop"))

    await bench.until(runs, lambda number: number == 1)


async def test_a_fault_of_ours_costs_one_message_and_not_those_behind_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.register(PLAN)
    create = bench.store.create_run

    async def faulty(run: Any, on_conflict: str = "use_existing", **more: Any) -> Any:
        if run.key == "bad":
            raise RuntimeError("never thought of")
        return await create(run, on_conflict, **more)

    async def never(runs: Any) -> Any:
        raise RuntimeError("not together")

    monkeypatch.setattr(bench.store, "create_run", faulty)
    monkeypatch.setattr(bench.store, "create_runs", never)
    bench.start()
    await bench.send("job-requests", {**REQUEST, "key": "bad"}, partition=0)
    await bench.send("job-requests", REQUEST, partition=0)
    await bench.until(bench.runs, lambda runs: len(runs) == 1)
    [letter] = await bench.poison()
    assert letter.reason == "It could not be taken: RuntimeError: never thought of"


async def test_while_the_store_is_away_requests_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.engine.ports.store import OutcomeUnknown, StoreUnavailable

    await bench.register(PLAN)
    create = bench.store.create_runs
    tried: list[str] = []

    async def away(runs: Any) -> Any:
        tried.extend(run.id for run in runs)
        if len(tried) == 1:
            raise StoreUnavailable("away")
        if len(tried) == 2:
            await create(runs)
            raise OutcomeUnknown("the answer was lost")
        return await create(runs)

    monkeypatch.setattr(bench.store, "create_runs", away)
    bench.start()
    await bench.send("job-requests", REQUEST)
    [run] = await bench.until(bench.runs, lambda runs: len(runs) == 1)
    await bench.send("job-requests", {"workflow": "nowhere"})
    await bench.until(bench.poison, lambda letters: len(letters) == 1)
    assert tried[:3] == [run.id] * 3
    assert len(await bench.runs()) == 1


async def test_a_paused_workflow_is_not_started_and_what_was_taken_before_is_no_letter(bench: Bench) -> None:
    """Neither is it when a newer version wants other parameters. The priority of the workflow is that of its runs."""
    await bench.register(PLAN)
    await bench.store.set_workflow("default", "w", 1.0, priority="low")
    place = Asked("job-requests", 0, 7, 1_700_000_000_000, json.dumps(REQUEST).encode())
    keyed = place._replace(offset=8, body=json.dumps({**REQUEST, "idempotency": "i"}).encode())
    await bench.intake().take([place, keyed])
    await bench.store.set_workflow("default", "w", 2.0, paused=True)
    new = [place._replace(offset=9), place._replace(partition=1)]
    other = keyed._replace(
        offset=11, body=json.dumps({**REQUEST, "params": {"n": 2}, "idempotency": "i"}).encode()
    )
    await bench.intake().take([place, keyed, *new, other])
    assert [run.priority for run in await bench.runs()] == ["low", "low"]
    letters = await bench.poison()
    assert {(letter.partition, letter.offset) for letter in letters} == {(0, 9), (1, 7), (0, 11)}
    assert {letter.reason for letter in letters} == {
        'Workflow "w" is paused: nothing starts it until somebody resumes it.'
    }
    await bench.store.set_workflow("default", "w", 3.0, paused=False)
    await bench.register(flow(py("a"), params={"m": {"type": "string"}}))
    high = place._replace(
        offset=12, body=json.dumps({"workflow": "w", "params": {"m": "x"}, "priority": "high"}).encode()
    )
    await bench.intake().take([place, high])
    assert [run.priority for run in await bench.runs()] == ["high", "low", "low"]
    assert len(await bench.poison()) == len(letters)
