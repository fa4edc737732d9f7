"""Engines that come and go, and parts that change hands, on every adapter."""

from __future__ import annotations

import asyncio

import pytest

from headrace.engine.ports.letters import PoisonRow
from headrace.engine.ports.ownership import Ownership, PartSeen
from headrace.engine.ports.store import Batch, Store, StoreUnavailable
from headrace.engine.store.sqlite import SqliteStore
from tests.contracts.conftest import Database
from tests.contracts.samples import batch, command, history, new_run, task_row


class TestParts:
    async def test_the_number_of_parts_is_fixed_when_the_database_is_made(self, database: Database) -> None:
        store = await database.open()
        assert await store.parts() == (1 if database.kind == "sqlite" else 16)
        survey = await store.survey()
        assert survey.parts == tuple(PartSeen(part, 0, None) for part in range(await store.parts()))

    async def test_a_part_that_is_not_there_is_not_claimed(self, postgres_database: Database) -> None:
        store = await postgres_database.open()
        with pytest.raises(StoreUnavailable, match="There is no part 16"):
            await store.claim(16, "engine-1")


class TestMembership:
    async def test_an_engine_is_seen_from_joining_to_resigning(self, database: Database) -> None:
        store, watcher = await database.open(), await database.open()
        assert (await watcher.survey()).engines == ()
        await store.join("engine-1")
        await store.join("engine-1")
        survey = await watcher.survey()
        assert survey.engines == (await store.survey()).engines == ("engine-1",)
        assert survey.parts[0] == PartSeen(0, 0, None)
        assert not await watcher.has_owner(0) or database.kind == "sqlite"
        await store.resign("engine-1")
        assert (await watcher.survey()).engines == ()

    async def test_a_claim_joins(self, database: Database) -> None:
        store, watcher = await database.open(), await database.open()
        owned = await store.claim(0, "engine-1")
        survey = await watcher.survey()
        assert survey.engines == ("engine-1",)
        assert survey.parts[0] == PartSeen(0, owned.epoch, "engine-1")

    async def test_who_resigns_frees_its_parts_and_who_closes_too(self, database: Database) -> None:
        first, watcher = await database.open(), await database.open()
        await first.join("engine-1")
        owned = await first.claim(0, "engine-1")
        await first.resign("engine-1")
        assert (await watcher.survey()).parts[0] == PartSeen(0, owned.epoch, None)
        await first.join("engine-1")
        await first.claim(0, "engine-1")
        await first.close()
        survey = await watcher.survey()
        assert (survey.engines, survey.parts[0]) == ((), PartSeen(0, owned.epoch + 1, None))

    async def test_a_released_part_is_free_at_once_and_its_engine_stays(self, database: Database) -> None:
        store, watcher = await database.open(), await database.open()
        await store.join("engine-1")
        owned = await store.claim(0, "engine-1")
        await store.release(0, "engine-1")
        survey = await watcher.survey()
        assert (survey.engines, survey.parts[0]) == (("engine-1",), PartSeen(0, owned.epoch, None))
        assert not await store.has_owner(0)
        assert await store.commit([batch(owned.epoch, 1)]) == [], "its epoch stands until somebody claims"
        assert (await store.claim(0, "engine-1")).epoch == owned.epoch + 1

    async def test_one_store_is_one_engine(self, store: Store) -> None:
        await store.join("engine-1")
        for attempt in (store.join("engine-2"), store.claim(0, "engine-2")):
            with pytest.raises(StoreUnavailable, match="engine engine-1 already"):
                await attempt
        await store.resign("engine-1")
        await store.join("engine-2")
        assert (await store.survey()).engines == ("engine-2",)

    async def test_the_name_of_a_live_engine_is_taken(self, database: Database) -> None:
        store, twin = await database.open(), await database.open()
        await store.join("engine-1")
        with pytest.raises(StoreUnavailable):
            await twin.join("engine-1")
        assert (await store.survey()).engines == ("engine-1",)
        await store.close()
        await twin.join("engine-1")
        assert (await twin.survey()).engines == ("engine-1",)

    async def test_an_engine_that_comes_back_owns_nothing_yet(self, database: Database) -> None:
        """What a process that was killed owned belongs to nobody, although its successor has its name."""
        store = await database.open()
        owned = await store.claim(0, "engine-1")
        if isinstance(store, SqliteStore):
            store._lock.release()  # as the kernel does for a dead process
        else:
            await store._link._drop()  # type: ignore[attr-defined]
        successor = await database.open()
        await until_free(successor, "engine-1")
        await successor.join("engine-1")
        assert (await successor.survey()).parts[0] == PartSeen(0, owned.epoch, None)

    async def test_the_time_is_the_same_for_all_and_goes_on(self, database: Database) -> None:
        store, watcher = await database.open(), await database.open()
        first = (await store.survey()).now
        assert (await watcher.survey()).now >= first > 1_700_000_000


async def until_free(store: Store, engine: str) -> None:
    """The server notices the end of a connection in its own time."""
    while engine in (await store.survey()).engines:
        pass


class TestClaims:
    async def test_a_claim_of_an_epoch_that_has_passed_is_refused(self, store: Store) -> None:
        first = await store.claim(0, "engine-1", 0)
        assert first == Ownership(0, 1, 0, 0)
        with pytest.raises(StoreUnavailable, match="just claimed part 0"):
            await store.claim(0, "engine-1", 0)
        assert (await store.survey()).parts[0].epoch == 1
        assert (await store.claim(0, "engine-1", 1)).epoch == 2

    async def test_two_engines_share_the_parts(self, postgres_database: Database) -> None:
        one, two = await postgres_database.open(), await postgres_database.open()
        for part in range(0, 16, 2):
            await one.claim(part, "engine-1")
            await two.claim(part + 1, "engine-2")
        survey = await one.survey()
        assert survey.engines == ("engine-1", "engine-2")
        assert [seen.owner for seen in survey.parts] == ["engine-1", "engine-2"] * 8
        assert all([await one.has_owner(part) for part in range(16)])
        await two.close()
        assert [await one.has_owner(part) for part in range(4)] == [True, False, True, False]

    async def test_a_part_changes_hands_and_its_offset_goes_along(self, postgres_database: Database) -> None:
        one, two = await postgres_database.open(), await postgres_database.open()
        owned = await one.claim(3, "engine-1")
        await one.commit([batch(owned.epoch, 1, part=3, next_offset=17)])
        assert await two.claim(3, "engine-2", owned.epoch) == Ownership(3, owned.epoch + 1, 1, 17)
        assert await one.commit([batch(owned.epoch, 2, part=3, next_offset=99)]) == [3]
        assert (await two.claim(3, "engine-2")).next_offset == 17


class TestManyParts:
    """E3 and E4 with batches of several parts in one statement."""

    async def test_all_parts_are_written_or_none(self, postgres_database: Database) -> None:
        one, two = await postgres_database.open(), await postgres_database.open()
        owned = [await one.claim(part, "engine-1") for part in range(8)]
        runs = [await one.create_run(new_run(part=part)) for part in range(8)]

        def batches(seq: int) -> list[Batch]:
            return [
                batch(
                    mine.epoch,
                    seq,
                    part=mine.part,
                    next_offset=10 * seq,
                    tasks=[task_row(run.no)],
                    history=[history(run.no, seq)],
                    inbox_new=[command(run=run.no, part=(mine.part + 1) % 8)],
                    poison=[PoisonRow("job-status", mine.part, seq, -1, 1.0, "what", b"?")],
                )
                for mine, run in zip(owned, runs, strict=True)
            ]

        assert await one.commit(batches(1)) == []
        await two.claim(2, "engine-2")
        await two.claim(5, "engine-2")
        lost = batches(2)
        assert await one.commit(lost) == [2, 5]
        for run in runs:
            assert [row.seq for row in await one.history(run.no)] == [1]
        assert len(await one.poison()) == 8
        assert not await one.settle(lost)
        rest = [each for part, each in enumerate(lost) if part not in (2, 5)]
        assert await one.commit(rest) == []
        assert [len(await one.history(run.no)) for run in runs] == [2, 2, 1, 2, 2, 1, 2, 2]

    async def test_a_part_that_was_claimed_since_does_not_hide_that_all_was_written(
        self, postgres_database: Database
    ) -> None:
        """The answer to a commit of two parts is lost, and one of them is claimed before the outcome is looked up."""
        one, two = await postgres_database.open(), await postgres_database.open()
        owned = [await one.claim(part, "engine-1") for part in range(2)]
        sent = [batch(mine.epoch, 1, part=mine.part) for mine in owned]
        assert await one.commit(sent) == []
        await two.claim(1, "engine-2")
        assert await one.settle(sent)
        assert not await one.settle([batch(mine.epoch, 2, part=mine.part) for mine in owned])

    async def test_commands_of_several_parts_come_in_one_look(self, database: Database) -> None:
        store = await database.open()
        ids = [await store.post(command(part=part, kind=f"k{part}")) for part in (0, 1, 0, 2, 1, 0)]
        found = await store.inboxes({0: 0, 1: ids[1], 3: 0}, 2)
        assert [(row.part, row.id) for row in found] == [(0, ids[0]), (0, ids[2]), (1, ids[4])]
        assert await store.inboxes({}, 10) == []
        assert await store.inboxes({7: 0}, 10) == []

    async def test_commands_posted_across_parts_at_once_are_seen_in_order(
        self, postgres_database: Database
    ) -> None:
        """Two engines post to each other's parts in one commit each while a reader reads all: nobody waits in a ring, and
        whoever reads on behind the last id that it saw misses none."""
        stores = [await postgres_database.open() for _ in range(3)]
        owned = [await stores[part].claim(part, f"engine-{part}") for part in range(2)]
        rounds = 40

        async def posting(mine: Ownership) -> None:
            for seq in range(1, rounds + 1):
                orders = [0, 1] if mine.part else [1, 0]
                posts = [command(part=part) for part in orders]
                begun = [new_run(part=part) for part in orders]
                one = batch(mine.epoch, seq, part=mine.part, inbox_new=posts, runs_new=begun)
                assert await stores[mine.part].commit([one]) == []

        seen: dict[int, list[int]] = {0: [], 1: []}

        async def reading() -> None:
            while sum(map(len, seen.values())) < 2 * 2 * 2 * rounds:
                after = {part: ids[-1] if ids else 0 for part, ids in seen.items()}
                for row in await stores[2].inboxes(after, 50):
                    seen[row.part].append(row.id)

        await asyncio.gather(*map(posting, owned), reading())
        for ids in seen.values():
            assert ids == sorted(set(ids))
            assert len(ids) == 2 * 2 * rounds


async def test_a_message_that_nobody_could_read_is_kept_once(store: Store) -> None:
    owned = await store.claim(0, "engine-1")
    found = PoisonRow("job-status", 0, 7, 2, 5.0, "not an attempt", b"\xff\x00")
    assert await store.commit([batch(owned.epoch, 1, poison=[found])]) == []
    again = found._replace(at=6.0, reason="read again")
    assert await store.commit([batch(owned.epoch, 2, poison=[again, found._replace(item=-1)])]) == []
    letters = await store.poison()
    assert [letter[1:8] for letter in letters] == [tuple(found._replace(item=-1)), tuple(found)]
    assert {letter.state for letter in letters} == {"open"}
    assert await store.discard_poison([letters[1].id], "ann", "noise", 9.0) == [letters[1].id]
    assert [letter.item for letter in await store.poison(state="open")] == [-1]
    [handled] = await store.poison(state="discarded")
    assert (handled.by, handled.note, handled.handled_at) == ("ann", "noise", 9.0)
    assert await store.poison(before=letters[1].id) == []
