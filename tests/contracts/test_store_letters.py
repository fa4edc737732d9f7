"""Dead letters that are found, grouped and handled; workers as they were seen; runs that expire. On every adapter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from headrace.engine.core.states import RunState
from headrace.engine.ports.letters import DeadLetterRow, Requeue
from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.roster import WorkerRow
from headrace.engine.ports.store import CacheRow, Created, Store
from tests.contracts.conftest import Database
from tests.contracts.samples import PROJECT, batch, command, history, new_run, run_update, task_row


def letter(run: int, task_id: str = "load", message: str = "no row 1", **fields: object) -> DeadLetterRow:
    error = json.dumps({"kind": "ValueError", "message": message}).encode()
    row = DeadLetterRow(run, 1, 0, 0, 1, 5.0, error, "etl", task_id)
    return row._replace(**fields)  # type: ignore[arg-type]


class TestLetters:
    async def test_a_letter_says_where_it_comes_from(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        await store.commit([batch(owned.epoch, 1, dead=[letter(run.no, map=7)])])
        [found] = await store.dead_letters(PROJECT)
        assert (found.run_id, found.workflow, found.task_id, found.map) == (run.id, "etl", "load", 7)
        assert (found.state, found.handled_at, found.by, found.note) == ("open", None, None, None)
        assert await store.dead_letter(PROJECT, found.id) == found
        assert await store.dead_letter("other", found.id) is None
        assert await store.dead_letter(PROJECT, found.id + 1) is None
        assert await store.these_letters(PROJECT, [found.id + 1, found.id, found.id]) == [found]
        assert await store.these_letters("other", [found.id]) == []
        assert await store.these_letters(PROJECT, range(1, 2_500)) == await store.dead_letters(PROJECT, 500)

    async def test_pages_follow_one_another_and_filters_hold(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        dead = [
            letter(run.no, "load" if number % 2 else "save", f"no row {number}", task=number)
            for number in range(10)
        ]
        await store.commit([batch(owned.epoch, 1, dead=dead)])
        pages: list[int] = []
        before = None
        while page := await store.dead_letters(PROJECT, 3, before=before):
            pages += [one.task for one in page]
            before = page[-1].id
        assert pages == list(range(9, -1, -1))
        assert [one.task for one in await store.dead_letters(PROJECT, task="load")] == [9, 7, 5, 3, 1]
        assert await store.dead_letters(PROJECT, workflow="other") == []
        prints = {one.fingerprint for one in await store.dead_letters(PROJECT, task="save")}
        assert len(prints) == 1
        [mark] = prints
        assert len(await store.dead_letters(PROJECT, fingerprint=mark[:8])) == 5
        assert await store.dead_letters(PROJECT, fingerprint="%") == []
        assert await store.dead_letters(PROJECT, state="discarded") == []

    async def test_groups_count_what_is_alike(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        dead = [letter(run.no, "load", f"no row {n}", task=n, at=float(n)) for n in range(4)]
        dead.append(letter(run.no, "load", "no table", task=9, at=9.0))
        await store.commit([batch(owned.epoch, 1, dead=dead)])
        first = (await store.dead_letters(PROJECT))[-1]
        await store.discard([first.id], "ann", "known", 20.0)
        rare, often = await store.dead_letter_groups(PROJECT)
        assert (rare.letters, rare.newest_at, json.loads(rare.error)["message"]) == (1, 9.0, "no table")
        assert (often.letters, often.open, often.first_at, often.newest_at) == (4, 3, 0.0, 3.0)
        assert (often.workflow, often.task_id) == ("etl", "load")
        assert json.loads(often.error)["message"] == "no row 3"
        assert [group.letters for group in await store.dead_letter_groups(PROJECT, state="open")] == [1, 3]
        assert len(await store.dead_letter_groups(PROJECT, 1)) == 1
        assert await store.dead_letter_groups("other") == []

    async def test_a_letter_is_requeued_with_its_command_once(self, database: Database) -> None:
        stores = [await database.open() for _ in range(2)]
        owned = await stores[0].claim(0, "engine-1")
        run = await stores[0].create_run(new_run())
        await stores[0].commit(
            [batch(owned.epoch, 1, dead=[letter(run.no, task=n) for n in range(2)], inbox_done=[1])]
        )
        ids = tuple(one.id for one in await stores[0].dead_letters(PROJECT))
        wanted = [Requeue(ids, command("rerun", run.no))]
        done = await asyncio.gather(*(stores[n % 2].requeue(wanted, "ann", 9.0) for n in range(6)))
        [only] = [one for answer in done for one in answer]
        assert only.letters == tuple(sorted(ids))
        [posted] = await stores[1].inbox(0, 0, 10)
        assert posted == only.posted
        handled = await stores[0].dead_letters(PROJECT, state="requeued")
        assert [(one.by, one.handled_at) for one in handled] == [("ann", 9.0)] * 2

    async def test_a_handled_letter_stays_as_it_is_until_it_is_opened_again(
        self, store: Store, owned: Ownership
    ) -> None:
        run = await store.create_run(new_run())
        await store.commit([batch(owned.epoch, 1, dead=[letter(run.no, task=n) for n in range(2)])])
        second, first = (one.id for one in await store.dead_letters(PROJECT))
        before = await store.inbox(0, 0, 10)
        assert await store.discard([first, first, 999], "ann", "known", 9.0) == [first]
        assert await store.discard([first], "bob", "again", 10.0) == []
        assert await store.requeue([Requeue((first,), command("rerun", run.no))], "bob", 10.0) == []
        assert await store.inbox(0, 0, 10) == before
        found = await store.dead_letter(PROJECT, first)
        assert found is not None
        assert (found.state, found.by, found.note, found.handled_at) == ("discarded", "ann", "known", 9.0)
        assert await store.reopen([first, second], 10.0) == [first]
        assert [one.state for one in await store.dead_letters(PROJECT)] == ["open", "open"]

    async def test_requeues_of_many_runs_are_one_transaction(self, store: Store, owned: Ownership) -> None:
        runs = [await store.create_run(new_run(part=n % 3)) for n in range(6)]
        await store.commit([batch(owned.epoch, 1, dead=[letter(run.no) for run in runs])])
        ids = {one.run: one.id for one in await store.dead_letters(PROJECT)}
        wanted = [Requeue((ids[r.no],), command("rerun", r.no, part=n % 3)) for n, r in enumerate(runs)]
        done = await store.requeue(wanted, "ann", 9.0)
        assert {one.posted.run for one in done} == {run.no for run in runs}
        posted = await store.inboxes({0: 0, 1: 0, 2: 0}, 100)
        assert sorted(row.id for row in posted if row.kind == "rerun") == sorted(
            one.posted.id for one in done
        )


class TestWorkers:
    async def test_the_newest_sight_of_a_worker_stands(self, store: Store) -> None:
        seen = WorkerRow("w-1", "i-1", ("a", "b"), {"zone": "eu"}, ("python", "shell"), 8, 3, False, 10.0)
        other = seen._replace(id="w-2", seen_at=11.0)
        await store.saw_workers([other, seen])
        assert await store.workers() == [seen, other]
        newer = seen._replace(incarnation="i-2", queues=("c",), labels={}, draining=True, seen_at=20.0)
        await store.saw_workers([newer, other._replace(held=99, seen_at=5.0)])
        assert await store.workers() == [newer, other]
        assert await store.workers(since=15.0) == [newer]
        await store.saw_workers([])

    async def test_engines_that_see_the_same_workers_do_not_stand_in_each_others_way(
        self, database: Database
    ) -> None:
        stores = [await database.open() for _ in range(2)]

        async def seeing(store: Store, backwards: bool) -> None:
            for turn in range(20):
                rows: Sequence[WorkerRow] = [
                    WorkerRow(f"w-{n}", "i", (), {}, (), 1, 0, False, float(turn)) for n in range(50)
                ]
                await store.saw_workers(rows[::-1] if backwards else rows)

        await asyncio.gather(seeing(stores[0], False), seeing(stores[1], True))
        assert {row.seen_at for row in await stores[0].workers()} == {19.0}


class TestExpiry:
    async def ended(self, store: Store, epoch: int, seq: int, at: float, **fields: object) -> Created:
        """A run that ended at `at`, with a row of everything."""
        run = await store.create_run(new_run(**fields))
        [start] = [row for row in await store.inbox(0, 0, 1000) if row.run == run.no]
        rows: dict[str, Any] = {
            "tasks": [task_row(run.no)],
            "history": [history(run.no, 1)],
            "runs": [run_update(run.no, RunState.FAILED, finished_at=at)],
            "inbox_done": [start.id],
        }
        assert await store.commit([batch(epoch, seq, **rows)]) == []
        return run

    async def test_runs_that_ended_before_go_with_everything(self, store: Store, owned: Ownership) -> None:
        old = [await self.ended(store, owned.epoch, seq, float(seq)) for seq in range(1, 5)]
        live = await store.create_run(new_run())
        cached = [CacheRow(PROJECT, "k", b"1", None, 3.0), CacheRow(PROJECT, "l", b"1", None, 900.0)]
        await store.commit([batch(owned.epoch, 5, cache=cached)])
        assert await store.expire(3.5, 2) == 2
        assert await store.expire(3.5, 2) == 1
        assert await store.expire(3.5, 2) == 0
        assert [row.no for row in await store.list_runs(PROJECT)] == [live.no, old[3].no]
        for run in old[:3]:
            assert await store.run(run.no) is None
            assert await store.task_rows(run.no) == []
            assert await store.history(run.no) == []
        assert len(await store.task_rows(old[3].no)) == len(await store.history(old[3].no)) == 1
        assert await store.cached(PROJECT, ["k", "l"], 0.0) == {"l": (b"1", None)}
        assert await store.live_runs(0) == [live.no]

    async def test_a_run_with_an_open_letter_stays_until_that_is_handled(
        self, store: Store, owned: Ownership
    ) -> None:
        run = await self.ended(store, owned.epoch, 1, 1.0)
        await store.commit([batch(owned.epoch, 2, dead=[letter(run.no)])])
        assert await store.expire(100.0) == 0
        [found] = await store.dead_letters(PROJECT)
        await store.discard([found.id], "ann", "known", 9.0)
        assert await store.expire(100.0) == 1
        assert await store.dead_letters(PROJECT) == []

    async def test_two_may_expire_at_once(self, database: Database) -> None:
        stores = [await database.open() for _ in range(2)]
        owned = await stores[0].claim(0, "engine-1")
        for seq in range(1, 21):
            await self.ended(stores[0], owned.epoch, seq, 1.0)

        async def expiring(store: Store) -> int:
            total = 0
            while gone := await store.expire(100.0, 3):
                total += gone
            return total

        assert sum(await asyncio.gather(*map(expiring, stores))) == 20
        assert await stores[0].list_runs(PROJECT) == []
