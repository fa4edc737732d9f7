"""What `ports.store.Store` promises, on every adapter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.engine.core.states import RunState
from headrace.engine.ports.letters import DeadLetterRow
from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.store import CacheRow, KeyTaken, Store, Timer
from tests.contracts.conftest import Database
from tests.contracts.samples import (
    PROJECT,
    batch,
    command,
    history,
    new_run,
    run_update,
    task_row,
    version,
)


class TestWorkflows:
    async def test_versions_count_up_and_the_newest_is_found(self, store: Store) -> None:
        first = await store.register(version(plan="a", description="one", tags=("sales", "eu")))
        second = await store.register(version(plan="b"))
        assert (first.version, second.version) == (1, 2)
        assert await store.version(PROJECT, "etl") == second
        assert await store.version(PROJECT, "etl", 1) == first
        assert first.tags == ("sales", "eu")
        assert await store.version(PROJECT, "etl", 3) is None
        assert await store.version("other", "etl") is None

    async def test_the_same_plan_is_the_same_version_described_anew(self, store: Store) -> None:
        first = await store.register(version(plan="a", description="old", tags=("old",)))
        await store.register(version(plan="b"))
        again = await store.register(version(plan="a", description="new", tags=("new",)))
        assert again == first._replace(description="new", tags=("new",))
        assert [v.version for v in await store.versions(PROJECT, "etl")] == [1, 2]

    async def test_twenty_at_once_are_one_version(self, database: Database) -> None:
        stores = [await database.open() for _ in range(2)]
        calls = [stores[i % 2].register(version(plan="same")) for i in range(20)]
        found = await asyncio.gather(*calls)
        assert {v.version for v in found} == {1}
        assert len(await stores[0].versions(PROJECT)) == 1

    async def test_different_ones_at_once_get_different_numbers(self, database: Database) -> None:
        stores = [await database.open() for _ in range(2)]
        found = await asyncio.gather(*(stores[i % 2].register(version(plan=f"p{i}")) for i in range(10)))
        assert sorted(v.version for v in found) == list(range(1, 11))

    async def test_a_plan_is_found_by_its_hash(self, store: Store) -> None:
        stored = await store.register(version(plan="a"))
        assert await store.plan("a") == stored.document
        assert await store.plan("b") is None

    async def test_versions_are_listed_by_project_and_name(self, store: Store) -> None:
        for name, plan in (("b", "1"), ("a", "2"), ("a", "3")):
            await store.register(version(name, plan))
        await store.register(version("c", "1", project="other"))
        assert [(v.name, v.version) for v in await store.versions(PROJECT)] == [("a", 1), ("a", 2), ("b", 1)]
        assert [v.plan for v in await store.versions(PROJECT, "a")] == ["2", "3"]

    async def test_a_live_run_keeps_its_version(self, store: Store) -> None:
        await store.register(version(plan="a"))
        run = await store.create_run(new_run(version=1, plan="a"))
        await store.register(version(plan="b"))
        stored = await store.run(run.no)
        assert stored is not None
        assert (stored.version, stored.plan) == (1, "a")
        assert await store.plan(stored.plan) is not None


class TestCreatingRuns:
    async def test_a_run_is_stored_whole_with_its_start(self, store: Store) -> None:
        wanted = new_run(
            event=b'{"x":1}', key="k", depth=2, folder="/f", file="etl.yaml", parent=(7, 1, 3, 9)
        )
        created = await store.create_run(wanted)
        assert (created.id, created.existed) == (wanted.id, False)
        run = await store.run(created.no)
        assert run is not None
        for field in ("id", "project", "workflow", "version", "plan", "part", "params", "trigger", "event"):
            assert getattr(run, field) == getattr(wanted, field)
        for field in ("key", "parent", "depth", "priority", "created_at", "scheduled_at", "folder", "file"):
            assert getattr(run, field) == getattr(wanted, field)
        assert (run.state, run.generation, run.paused, run.seq) == (RunState.QUEUED, 1, False, 0)
        [start] = await store.inbox(0, 0, 10)
        assert (start.kind, start.run, start.body, start.part) == ("start", created.no, b"{}", 0)
        assert await store.live_runs(0) == [created.no]

    async def test_a_hundred_at_once_are_a_hundred_runs_whatever_one_of_them_is(self, store: Store) -> None:
        wanted = [new_run(folder="\ud800" if number == 50 else "/f") for number in range(100)]
        found = await asyncio.gather(*map(store.create_run, wanted), return_exceptions=True)
        assert isinstance(found[50], Exception), "half a character is no text"
        made = [created for created in found if not isinstance(created, BaseException)]
        assert [created.id for created in made] == [run.id for run in wanted if run.folder == "/f"]
        assert len({created.no for created in made}) == 99
        starts = await store.inbox(0, 0, 1000)
        assert sorted(start.run or 0 for start in starts) == sorted(created.no for created in made)

    async def test_one_call_made_twice_at_once_is_one_run(self, store: Store) -> None:
        wanted = new_run()
        one, two = await asyncio.gather(store.create_run(wanted), store.create_run(wanted))
        assert one == two
        assert len(await store.inbox(0, 0, 10)) == 1

    async def test_a_hundred_at_once_with_one_idempotency_key_are_one_run(self, database: Database) -> None:
        stores = [await database.open() for _ in range(2)]
        calls = (stores[i % 2].create_run(new_run(idempotency="once")) for i in range(100))
        found = await asyncio.gather(*calls)
        assert len({created.no for created in found}) == 1
        assert [created.existed for created in found].count(False) == 1
        assert len(await stores[0].inbox(0, 0, 1000)) == 1

    async def test_idempotency_holds_for_ever_within_its_project(
        self, store: Store, owned: Ownership
    ) -> None:
        first = await store.create_run(new_run(idempotency="once"))
        await store.commit([batch(owned.epoch, 1, runs=[run_update(first.no, RunState.SUCCEEDED)])])
        again = await store.create_run(new_run(idempotency="once"))
        other = await store.create_run(new_run(idempotency="once", project="other"))
        assert (again.no, again.existed) == (first.no, True)
        assert (other.no != first.no, other.existed) == (True, False)

    async def test_a_call_repeated_after_a_lost_answer_finds_its_own_run(self, store: Store) -> None:
        wanted = new_run()
        first = await store.create_run(wanted)
        assert await store.create_run(wanted) == first
        assert len(await store.inbox(0, 0, 10)) == 1

    async def test_a_business_key_is_taken_while_its_run_lives(self, store: Store, owned: Ownership) -> None:
        first = await store.create_run(new_run(key="day-1"))
        assert await store.create_run(new_run(key="day-1")) == first._replace(existed=True)
        with pytest.raises(KeyTaken, match=first.id):
            await store.create_run(new_run(key="day-1"), "reject")
        elsewhere = await store.create_run(new_run(key="day-1", workflow="other"), "reject")
        assert not elsewhere.existed
        await store.commit([batch(owned.epoch, 1, runs=[run_update(first.no, RunState.FAILED)])])
        second = await store.create_run(new_run(key="day-1"), "reject")
        assert second.no > first.no

    async def test_fifty_at_once_with_one_business_key_are_one_live_run(self, database: Database) -> None:
        stores = [await database.open() for _ in range(2)]
        found = await asyncio.gather(*(stores[i % 2].create_run(new_run(key="k")) for i in range(50)))
        assert len({created.no for created in found}) == 1
        assert [created.existed for created in found].count(False) == 1

    async def test_a_rerun_may_begin_although_its_key_is_taken(self, store: Store, owned: Ownership) -> None:
        old = await store.create_run(new_run(key="k"))
        await store.commit([batch(owned.epoch, 1, runs=[run_update(old.no, RunState.FAILED)])])
        await store.create_run(new_run(key="k"))
        assert await store.commit([batch(owned.epoch, 2, runs=[run_update(old.no, generation=2)])]) == []
        assert old.no in await store.live_runs(0)


class TestOwnership:
    async def test_each_claim_is_a_new_epoch(self, store: Store) -> None:
        first = await store.claim(0, "engine-1")
        assert first == Ownership(0, 1, 0, 0)
        await store.commit([batch(first.epoch, 1, next_offset=17)])
        assert await store.claim(0, "engine-1") == Ownership(0, 2, 1, 17)

    async def test_an_owner_is_seen_until_it_releases_or_closes(self, database: Database) -> None:
        engine, watcher = await database.open(), await database.open()
        assert not await watcher.has_owner(0)
        await engine.claim(0, "engine-1")
        assert await watcher.has_owner(0)
        assert await engine.has_owner(0)
        await engine.release(0, "engine-1")
        assert not await watcher.has_owner(0)
        await engine.claim(0, "engine-1")
        await engine.close()
        assert not await watcher.has_owner(0)
        await watcher.claim(0, "engine-2")
        assert await watcher.has_owner(0)

    async def test_the_old_epoch_writes_nothing(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        before = await store.inbox(0, 0, 10)
        await store.claim(0, "engine-1")
        old = batch(
            owned.epoch,
            1,
            tasks=[task_row(run.no)],
            runs=[run_update(run.no, RunState.FAILED)],
            history=[history(run.no, 1)],
            timers=[Timer(run.no, 1, 0, 0, "retry", 5.0)],
            inbox_done=[before[0].id],
            inbox_new=[command()],
            runs_new=[new_run()],
            cache=[CacheRow(PROJECT, "k", b"1", None, 999.0)],
            dead=[DeadLetterRow(run.no, 1, 0, 0, 1, 5.0, b"{}")],
        )
        assert await store.commit([old]) == [0]
        assert await store.task_rows(run.no) == []
        assert await store.history(run.no) == []
        assert await store.inbox(0, 0, 10) == before
        assert await store.live_runs(0) == [run.no]
        assert await store.dead_letters(PROJECT) == []
        assert await store.cached(PROJECT, ["k"], 0) == {}
        assert not await store.settle([old])

    async def test_a_batch_that_does_not_follow_on_the_last_one_writes_nothing(
        self, store: Store, owned: Ownership
    ) -> None:
        """Sent twice, or to a database that has gone back: the counter tells, although the epoch is right."""
        run = await store.create_run(new_run())
        first = batch(owned.epoch, 1, history=[history(run.no, 1)])
        assert await store.commit([first]) == []
        for seq in (1, 3):
            assert await store.commit([batch(owned.epoch, seq, history=[history(run.no, 9)])]) == [0]
        assert [row.seq for row in await store.history(run.no)] == [1]
        assert await store.commit([batch(owned.epoch, 2)]) == []

    async def test_one_lost_part_keeps_back_the_others(self, store: Store, owned: Ownership) -> None:
        one = await store.claim(1, "engine-1")
        runs = [await store.create_run(new_run(part=part)) for part in (0, 1)]
        mine = batch(one.epoch, 1, part=1, history=[history(runs[1].no, 1)])
        lost = batch(owned.epoch + 1, 1, part=0, history=[history(runs[0].no, 1)])
        unknown = batch(1, 1, part=9)
        assert await store.commit([mine, lost, unknown]) == [0, 9]
        assert await store.history(runs[1].no) == []
        assert not await store.settle([mine])
        assert await store.commit([mine]) == []
        assert await store.settle([mine])


class TestLoading:
    async def test_a_run_is_loaded_with_every_generation_and_without_payloads(
        self, store: Store, owned: Ownership
    ) -> None:
        one, two = [await store.create_run(new_run()) for _ in range(2)]
        rows = [
            task_row(one.no, 1, output=b"1", inputs=b"{}"),
            task_row(one.no, 0, generation=2, error=b"{}", artifact=b"{}", items=2),
            task_row(one.no, 0, map=5),
        ]
        deadline = Timer(one.no, 1, -1, 0, "deadline", 3.0)
        begun = batch(owned.epoch, 1, history=[history(one.no, 1)], tasks=rows, timers=[deadline])
        await store.commit([begun])
        loaded = await store.load([two.no, one.no, 999_999])
        assert [item.run.no for item in loaded] == [two.no, one.no]
        assert loaded[0].tasks == []
        bare: dict[str, Any] = {"output": None, "error": None, "inputs": None}
        assert loaded[1].tasks == [row._replace(**bare) for row in (rows[2], rows[0], rows[1])]
        assert loaded[1].timers == [deadline]

    async def test_more_runs_than_one_statement_binds(self, store: Store, owned: Ownership) -> None:
        children = [new_run(idempotency=str(i)) for i in range(1100)]
        await store.commit([batch(owned.epoch, 1, runs_new=children)])
        live = await store.live_runs(0)
        loaded = await store.load(live)
        assert len(live) == 1100
        assert [item.run.no for item in loaded] == live

    async def test_values_of_nothing(self, store: Store) -> None:
        assert await store.values([]) == []
        assert await store.values([(1, 1, 1, 1)]) == []
        assert await store.cached(PROJECT, [], 0.0) == {}
        assert await store.load([]) == []


class TestInbox:
    async def test_commands_come_in_order_by_part_and_after_an_id(self, store: Store) -> None:
        ids = [await store.post(command(f"c{i}", part=i % 2)) for i in range(6)]
        assert ids == sorted(ids)
        assert [row.kind for row in await store.inbox(0, 0, 10)] == ["c0", "c2", "c4"]
        assert [row.id for row in await store.inbox(0, ids[0], 10)] == [ids[2], ids[4]]
        assert [row.id for row in await store.inbox(0, 0, 2)] == [ids[0], ids[2]]

    async def test_an_id_is_never_used_again(self, store: Store, owned: Ownership) -> None:
        first = await store.post(command())
        await store.commit([batch(owned.epoch, 1, inbox_done=[first])])
        assert await store.inbox(0, 0, 10) == []
        assert await store.post(command()) > first

    async def test_a_reader_that_goes_on_after_what_it_saw_misses_nothing(self, database: Database) -> None:
        stores = [await database.open() for _ in range(3)]
        owned = await stores[2].claim(1, "engine-1")
        total, after = 90, 0
        seen: list[int] = []

        async def insert(store: Store) -> None:
            for _ in range(30):
                await store.post(command())

        async def decide() -> None:
            for seq in range(30):
                await stores[2].commit([batch(owned.epoch, seq + 1, part=1, inbox_new=[command()])])

        writing = asyncio.gather(insert(stores[0]), insert(stores[1]), decide())
        while len(seen) < total:
            finished = writing.done()
            rows = await stores[2].inbox(0, after, 7)
            seen += [row.id for row in rows]
            after = seen[-1] if seen else 0
            assert rows or not finished, "a command was skipped"
        await writing
        assert len(set(seen)) == total

    async def test_the_token_tells_that_another_process_wrote(self, database: Database) -> None:
        mine, other = await database.open(), await database.open()
        before = await mine.changed()
        assert await mine.changed() == before
        await other.post(command())
        after = await mine.changed()
        assert after != before
        await mine.post(command())
        assert await mine.changed() != after


class TestReading:
    async def test_pages_by_run_number(self, store: Store) -> None:
        numbers = [(await store.create_run(new_run())).no for _ in range(7)]
        await store.create_run(new_run(project="other"))
        seen: list[int] = []
        before: int | None = None
        while page := await store.list_runs(PROJECT, before=before, limit=3):
            seen += [run.no for run in page]
            before = seen[-1]
            await store.create_run(new_run())  # a newer one does not move the pages
        assert seen == numbers[::-1]

    async def test_filters(self, store: Store, owned: Ownership) -> None:
        etl, ml = await store.create_run(new_run()), await store.create_run(new_run(workflow="ml"))
        await store.commit([batch(owned.epoch, 1, runs=[run_update(ml.no, RunState.FAILED)])])

        async def listed(**filters: Any) -> list[int]:
            return [run.no for run in await store.list_runs(PROJECT, **filters)]

        assert await listed() == [ml.no, etl.no]
        assert await listed(workflow="etl") == [etl.no]
        assert await listed(state=int(RunState.FAILED)) == [ml.no]
        assert await listed(workflow="etl", state=int(RunState.FAILED)) == []

    async def test_runs_are_found_by_the_beginning_of_their_id(self, store: Store) -> None:
        ids = [f"0198-ab{i:02d}-ff" for i in range(12)]
        for id_ in ids:
            await store.create_run(new_run(id=id_))
        await store.create_run(new_run(id="0198-ac00-00"))
        await store.create_run(new_run(id="0198-ab03-fe", project="other"))
        assert [run.id for run in await store.find_runs(PROJECT, "0198-ab03")] == ["0198-ab03-ff"]
        assert len(await store.find_runs(PROJECT, "0198-ab")) == 10
        assert len(await store.find_runs(PROJECT, "0198-ab1")) == 2
        assert await store.find_runs(PROJECT, "0198-b") == []

    async def test_what_is_not_there(self, store: Store) -> None:
        assert await store.run(1) is None
        assert await store.history(1) == []
        assert await store.task_rows(1) == []
        assert await store.children(1) == []
        assert await store.live_runs(5) == []

    async def test_readers_see_whole_batches_while_they_are_written(self, database: Database) -> None:
        engine, reader = await database.open(), await database.open()
        owned = await engine.claim(0, "engine-1")
        run = await engine.create_run(new_run())
        reads = written = 0

        async def write() -> None:
            nonlocal written
            while written < 40 or reads < 5:
                seq = written = written + 1
                row = task_row(run.no, 0, output=b"%d" % seq)
                twin = task_row(run.no, 1, output=b"%d" % seq)
                await engine.commit(
                    [batch(owned.epoch, seq, tasks=[row, twin], history=[history(run.no, seq)])]
                )

        writing = asyncio.create_task(write())
        while not writing.done():
            rows, again = await asyncio.gather(reader.task_rows(run.no), engine.task_rows(run.no))
            for found in (rows, again):
                assert len({row.output for row in found}) <= 1
            reads += 1
        await writing
        assert [row.seq for row in await reader.history(run.no)] == list(range(1, written + 1))
