"""Waits that others end, and signals: kept, found, delivered to whoever waits. On every adapter."""

from __future__ import annotations

import json
from typing import Any

from headrace.api.office import ApiStore
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.store import Store, TaskRow
from headrace.engine.ports.waits import APPROVAL, SIGNAL, NewSignal, WaitKey, WaitRow
from tests.contracts.samples import PROJECT, act, batch, new_run, run_update, task_row

FOREVER = 1e12


def wait_row(run: int, **fields: Any) -> WaitRow:
    given: dict[str, Any] = {
        "run": run,
        "generation": 1,
        "task": 0,
        "map": 0,
        "place": 0,
        "part": 0,
        "project": PROJECT,
        "kind": SIGNAL,
        "name": "paid",
        "key": None,
        "after": 0.0,
        "since": 100.0,
        "expires_at": None,
        "body": b"{}",
    }
    return WaitRow(**{**given, **fields})


def waiting(rows: list[WaitRow]) -> dict[WaitKey, list[WaitRow]]:
    """As a batch has them."""
    by_task_run: dict[WaitKey, list[WaitRow]] = {}
    for row in rows:
        by_task_run.setdefault(WaitKey(*row[:4]), []).append(row)
    return by_task_run


def signal(
    name: str = "paid", key: str | None = None, payload: bytes = b'{"sum":3}', **fields: Any
) -> NewSignal:
    return NewSignal(
        **{"project": PROJECT, "name": name, "key": key, "payload": payload, "by": "ada", **fields}
    )


async def told(store: Store) -> list[dict[str, Any]]:
    return [json.loads(row.body) for row in await store.inbox(0, 0, 5000) if row.kind == SIGNAL]


async def sent(store: Store, *args: Any, **fields: Any) -> int:
    id, _ = await store.send_signal(signal(*args, **fields))
    await store.deliver(id)
    return id


class TestWaits:
    async def test_a_wait_comes_with_its_run_and_leaves_with_its_end(
        self, store: Store, owned: Ownership
    ) -> None:
        run = await store.create_run(new_run(trigger=b'{"kind":"manual","by":"user:ada"}'))
        asked = wait_row(run.no, kind=APPROVAL, name="pay", body=b'{"title":"Pay?"}', expires_at=900.0)
        await store.commit([batch(owned.epoch, 1, waits=waiting([asked, wait_row(run.no, task=1)]))])
        [found] = await store.waits(PROJECT, APPROVAL)
        assert (found.row, found.run_id, found.workflow) == (asked, run.id, "etl")
        assert json.loads(found.trigger)["by"] == "user:ada"
        assert await store.wait(PROJECT, found.no) == found
        assert await store.wait("other", found.no) is None
        assert await store.waits("other", APPROVAL) == []
        await store.commit([batch(owned.epoch, 2, waited=[WaitKey(run.no, 1, 0, 0)])])
        assert await store.waits(PROJECT, APPROVAL) == []
        assert len(await store.waits(PROJECT, SIGNAL)) == 1

    async def test_what_is_told_again_keeps_its_number(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        await store.commit(
            [batch(owned.epoch, 1, waits=waiting([wait_row(run.no), wait_row(run.no, place=1)]))]
        )
        before = await store.waits(PROJECT, SIGNAL)
        await store.commit(
            [batch(owned.epoch, 2, waits=waiting([wait_row(run.no, body=b'{"more":1}', key="k")]))]
        )
        after = await store.waits(PROJECT, SIGNAL)
        assert [one.no for one in after] == [one.no for one in before]
        assert (after[0].row.body, after[0].row.key, after[1].row.body) == (b'{"more":1}', "k", b"{}")

    async def test_lists_are_paged_and_may_be_of_one_run(self, store: Store, owned: Ownership) -> None:
        runs = [await store.create_run(new_run()) for _ in range(3)]
        await store.commit([batch(owned.epoch, 1, waits=waiting([wait_row(run.no) for run in runs]))])
        first, *rest = await store.waits(PROJECT, SIGNAL)
        assert [one.run_id for one in await store.waits(PROJECT, SIGNAL, after=first.no, limit=1)] == [
            runs[1].id
        ]
        assert [one.run_id for one in await store.waits(PROJECT, SIGNAL, run=runs[2].no)] == [runs[2].id]
        assert len(rest) == 2

    async def test_a_lost_part_writes_no_wait(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        assert await store.commit([batch(owned.epoch + 1, 1, waits=waiting([wait_row(run.no)]))]) == [0]
        assert await store.waits(PROJECT, SIGNAL) == []

    async def test_they_go_with_their_run(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        update = run_update(run.no, RunState.SUCCEEDED)
        await store.commit([batch(owned.epoch, 1, waits=waiting([wait_row(run.no)]), runs=[update])])
        assert await store.expire(FOREVER) == 1
        assert await store.waits(PROJECT, SIGNAL) == []


class TestSignals:
    async def test_everybody_it_is_for_is_told_once_it_is_delivered(
        self, store: Store, owned: Ownership
    ) -> None:
        run = await store.create_run(new_run())
        waits = [
            wait_row(run.no, place=0),
            wait_row(run.no, place=1, key="7"),
            wait_row(run.no, place=2, key="8"),
            wait_row(run.no, place=3, name="packed"),
            wait_row(run.no, place=5, kind=APPROVAL),
            wait_row(run.no, place=6, project="other"),
        ]
        await store.commit([batch(owned.epoch, 1, waits=waiting(waits))])
        id, parts = await store.send_signal(signal(key="7"))
        assert await store.undelivered(FOREVER, 10) == ([] if parts else [id])
        assert await store.undelivered(0.0, 10) == []
        assert {*parts, *await store.deliver(id)} == {0}
        assert await store.undelivered(FOREVER, 10) == []
        assert await store.deliver(id) == []
        bodies = await told(store)
        assert [body["place"] for body in bodies] == [0, 1]
        sent_at = bodies[0].pop("sent_at")
        assert sent_at > 1_600_000_000
        assert bodies[0] == {
            "key": [1, 0, 0],
            "place": 0,
            "signal": id,
            "name": "paid",
            "sent_key": "7",
            "by": "ada",
            "payload": {"sum": 3},
        }

    async def test_who_waited_before_it_was_sent_is_told_whatever_the_clocks_say(
        self, store: Store, owned: Ownership
    ) -> None:
        run = await store.create_run(new_run())
        row = wait_row(run.no, after=FOREVER, since=FOREVER)
        await store.commit([batch(owned.epoch, 1, waits=waiting([row]))])
        await sent(store)
        assert [body["place"] for body in await told(store)] == [0]

    async def test_who_begins_to_wait_before_it_is_delivered_is_told_only_if_it_looks_back(
        self, store: Store, owned: Ownership
    ) -> None:
        run = await store.create_run(new_run())
        old = wait_row(run.no, task=1, name="x")
        await store.commit([batch(owned.epoch, 1, waits=waiting([old]))])
        id, parts = await store.send_signal(signal("x"))
        rows = [
            wait_row(run.no, place=0, name="x", after=0.0, since=0.0),
            wait_row(run.no, place=1, name="x", after=0.0, since=10.0),
            wait_row(run.no, place=2, name="x", after=FOREVER, since=2 * FOREVER),
        ]
        await store.commit([batch(owned.epoch, 2, waits=waiting(rows))])
        await store.deliver(id)
        heard = [(body["key"][1], body["place"]) for body in await told(store)]
        assert heard == ([(1, 0)] if parts else [(1, 0), (0, 1)])

    async def test_one_without_a_key_is_for_those_who_take_any(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        rows = [wait_row(run.no), wait_row(run.no, place=1, key="7")]
        await store.commit([batch(owned.epoch, 1, waits=waiting(rows))])
        await sent(store)
        assert [body["place"] for body in await told(store)] == [0]

    async def test_thousands_are_told_page_by_page(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        rows = [wait_row(run.no, task=number) for number in range(2500)]
        await store.commit([batch(owned.epoch, 1, waits=waiting(rows))])
        await sent(store)
        assert sorted(body["key"][1] for body in await told(store)) == list(range(2500))
        assert await store.undelivered(FOREVER, 10) == []

    async def test_a_signal_that_nobody_knows_is_delivered_to_nobody(self, store: Store) -> None:
        assert await store.deliver(12345) == []

    async def test_those_sent_before_are_found_by_whoever_begins_to_wait(self, store: Store) -> None:
        ids = [await sent(store, name, payload=b"null") for name in ("paid", "packed", "paid", "x")]
        found = await store.signals(PROJECT, ["paid", "packed"], 0.0)
        assert [one.id for one in found] == ids[:3]
        assert (found[0].payload, found[0].by, found[0].key) == (b"null", "ada", None)
        assert [one.id for one in await store.signals(PROJECT, ["paid"], 0.0, after=ids[0])] == [ids[2]]
        assert [one.id for one in await store.signals(PROJECT, ["paid"], found[1].at, limit=1)] == [ids[2]]
        assert await store.signals(PROJECT, ["paid"], FOREVER) == []
        assert await store.signals("other", ["paid"], 0.0) == []
        assert await store.signals(PROJECT, [], 0.0) == []

    async def test_a_signal_is_kept_for_a_while(self, store: Store) -> None:
        await store.send_signal(signal())
        await store.tend()
        assert len(await store.signals(PROJECT, ["paid"], 0.0)) == 1

    async def test_who_sent_it_stands_in_the_audit(self, store: ApiStore) -> None:
        await store.send_signal(signal(), act=act("signal.send", "signal paid"))
        [line] = await store.audit(PROJECT, action="signal.send")
        assert line.object == "signal paid"


async def test_what_a_wait_has_come_to_is_loaded_and_no_output_of_what_has_ended(
    store: Store, owned: Ownership
) -> None:
    run = await store.create_run(new_run())
    rows: list[TaskRow] = [
        task_row(run.no, 0, TaskState.WAITING, output=b'["so far"]'),
        task_row(run.no, 1, output=b'"the end"'),
    ]
    update = run_update(run.no, started_at=100.0)
    await store.commit([batch(owned.epoch, 1, tasks=rows, runs=[update])])
    [loaded] = await store.load([run.no])
    assert [row.output for row in loaded.tasks] == [b'["so far"]', None]
