"""Letters that job-dlq has not been told of: taken by one at a time, settled once, on both adapters."""

from __future__ import annotations

import asyncio

from headrace.engine.ports.letters import DeadLetterRow, LetterBox, PoisonRow
from headrace.engine.ports.store import Batch, Store
from headrace.engine.ports.team import TeamStore
from tests.contracts.conftest import Database
from tests.contracts.samples import new_run, version


async def box(database: Database, letters: int) -> LetterBox:
    """A store with as many letters, and as many messages that nobody could read."""
    store = await database.open()
    assert isinstance(store, LetterBox)
    await store.park([PoisonRow("t", 0, n, -1, 1.0, "why", b"body") for n in range(letters)])
    await _fail(store, letters)
    return store


async def _fail(store: Store, letters: int) -> None:
    await store.register(version())
    created = await store.create_run(new_run())
    owned = await store.claim(0, "e")
    batch = Batch(0, owned.epoch, owned.seq + 1, 2.0)
    batch.dead = [DeadLetterRow(created.no, 1, 0, n, 1, 2.0, b"{}", "w", "a") for n in range(letters)]
    assert await store.commit([batch]) == []


async def test_a_letter_is_taken_by_one_and_again_when_nobody_has_settled_it(database: Database) -> None:
    store = await box(database, 3)
    first = await store.take_unpublished(2, at=10.0, until=40.0)
    second = await store.take_unpublished(2, at=10.0, until=40.0)
    assert [len(first.letters), len(first.poison)] == [2, 2]
    assert [len(second.letters), len(second.poison)] == [1, 1]
    assert await store.take_unpublished(2, at=39.0, until=50.0) == ([], [])
    await store.published([one.letter.id for one in first.letters], [one.id for one in first.poison])
    again = await store.take_unpublished(9, at=40.0, until=70.0)
    assert again == second
    await store.published([one.letter.id for one in again.letters], [one.id for one in again.poison])
    await store.published([], [])
    assert await store.take_unpublished(9, at=1e9, until=2e9) == ([], [])


async def test_many_at_once_take_each_letter_once(database: Database) -> None:
    store = await box(database, 40)
    taken = await asyncio.gather(*(store.take_unpublished(7, at=1.0, until=9.0) for _ in range(8)))
    more = await store.take_unpublished(100, at=1.0, until=9.0)
    letters = [one.letter.id for each in (*taken, more) for one in each.letters]
    assert len(letters) == len(set(letters)) == 40


async def test_only_a_server_keeps_log_lines(database: Database) -> None:
    assert isinstance(await database.open(), TeamStore) == (database.kind == "postgres")
