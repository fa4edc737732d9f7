"""What somebody did: written with what came of it, once for each key, chained so that tampering is found. On every adapter."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import create_engine, event

from headrace.api.office import ApiStore
from headrace.engine.ports.access import AccessStore
from headrace.engine.ports.acts import Act, AuditLine, AuditStore, ChainHead, Once, Repeated, broken, linked
from headrace.engine.ports.letters import DeadLetterRow, Requeue
from headrace.engine.ports.store import KeyTaken
from headrace.engine.store.auditing import Wanted, listed
from tests.contracts.conftest import Database
from tests.contracts.samples import PROJECT, act, batch, command, new_run, version

Do = Callable[[Act], Awaitable[Any]]


@pytest.fixture
async def store(database: Database) -> ApiStore:
    found: Any = await database.open()
    return found  # type: ignore[no-any-return]


def once(key: str = "k", digest: str = "d", until: float = 1000.0) -> Once:
    return Once(f"{PROJECT}/user:ada/{key}", digest, until)


def changes(store: ApiStore) -> dict[str, Do]:
    """Every change that may carry an act."""
    return {
        "create_run": lambda act: store.create_run(new_run(), act=act),
        "post": lambda act: store.post(command(), act=act),
        "post_all": lambda act: store.post_all([command(), command("kill")], act=act),
        "register": lambda act: store.register(version(), act=act),
        "requeue": lambda act: store.requeue([Requeue((1,), command("rerun", 1))], "ada", 1.0, act=act),
        "discard": lambda act: store.discard([1], "ada", "known", 1.0, act=act),
        "reopen": lambda act: store.reopen([1], 1.0, act=act),
        "discard_poison": lambda act: store.discard_poison([1], "ada", "known", 1.0, act=act),
        "set_workflow": lambda act: store.set_workflow(PROJECT, "etl", 1.0, paused=True, act=act),
        "set_schedule": lambda act: store.set_schedule(PROJECT, "s", 1.0, paused=True, by="ada", act=act),
    }


class TestActs:
    async def test_every_change_writes_its_line_and_its_key(self, store: ApiStore) -> None:
        for name, change in changes(store).items():
            await change(act(f"test.{name}", f"thing {name}", once=once(name)))
            with pytest.raises(Repeated) as repeated:
                await change(act("again", "another", once=once(name))._replace(at=999.9))
            assert (repeated.value.object, repeated.value.same) == (f"thing {name}", True), name
        lines = await store.audit(PROJECT)
        assert [line.action for line in lines] == [f"test.{name}" for name in reversed(changes(store))]
        assert {(line.actor, line.address, line.at) for line in lines} == {("user:ada", "10.0.0.7", 100.0)}
        kinds = [row.kind for row in await store.inbox(0, 0, 100)]
        assert kinds == ["start", "cancel", "cancel", "kill"]

    async def test_a_key_with_another_request_is_told_apart(self, store: ApiStore) -> None:
        await store.post(command(), act=act(once=once()))
        with pytest.raises(Repeated) as repeated:
            await store.post(command("kill"), act=act("run.kill", once=once(digest="other")))
        assert not repeated.value.same
        assert len(await store.inbox(0, 0, 10)) == len(await store.audit(PROJECT)) == 1

    async def test_a_key_may_be_used_anew_when_it_has_expired(self, store: ApiStore) -> None:
        await store.post(command(), act=act(once=once(until=200.0)))
        await store.post(command(), act=act(object="run 2", at=200.0, once=once(digest="new", until=300.0)))
        with pytest.raises(Repeated) as repeated:
            await store.post(command(), act=act(at=299.0, once=once(digest="new")))
        assert (repeated.value.object, repeated.value.same) == ("run 2", True)

    async def test_a_hundred_at_once_with_one_key_make_one_run(self, database: Database) -> None:
        stores: list[Any] = [await database.open() for _ in range(2)]
        told = await asyncio.gather(
            *(
                stores[n % 2].create_run(run, act=act("run.start", f"run {run.id}", once=once()))
                for n, run in enumerate(new_run() for _ in range(100))
            ),
            return_exceptions=True,
        )
        [made] = [one for one in told if not isinstance(one, BaseException)]
        repeated = [one for one in told if isinstance(one, Repeated)]
        assert len(repeated) == 99
        assert {(one.object, one.same) for one in repeated} == {(f"run {made.id}", True)}
        store = stores[0]
        assert len(await store.list_runs(PROJECT)) == len(await store.audit(PROJECT)) == 1

    async def test_what_is_refused_leaves_neither_line_nor_key(self, store: ApiStore) -> None:
        first = await store.create_run(new_run(key="monday"))
        refused = act("run.start", once=once())
        with pytest.raises(KeyTaken):
            await store.create_run(new_run(key="monday"), "reject", act=refused)
        assert await store.audit(PROJECT) == []
        second = new_run(key="monday")
        made = await store.create_run(second, act=act("run.start", f"run {second.id}", once=once()))
        assert (made.id, made.existed) == (first.id, True)
        [line] = await store.audit(PROJECT)
        assert line.object == f"run {first.id}"
        with pytest.raises(Repeated, match=first.id):
            await store.post(command(), act=act(once=once()))

    async def test_a_call_whose_answer_was_lost_is_not_noted_twice(self, store: ApiStore) -> None:
        run = new_run()
        said = act("run.start", f"run {run.id}", once=once())
        assert await store.create_run(run, act=said) == await store.create_run(run, act=said)
        assert len(await store.audit(PROJECT)) == 1

    async def test_commands_of_one_act_have_ids_in_the_order_given(self, store: ApiStore) -> None:
        rows = [command(str(n), part=n * 7 % 3) for n in range(30)]
        ids = await store.post_all(rows, act=act())
        posted = {row.id: row.kind for row in await store.inboxes(dict.fromkeys(range(3), 0), 100)}
        assert [posted[id] for id in ids] == [row.kind for row in rows]
        assert await store.post_all([]) == []

    async def test_an_act_reaches_no_letter_of_another_project(self, store: ApiStore) -> None:
        owned = await store.claim(0, "engine-1")
        run = await store.create_run(new_run())
        dead = [DeadLetterRow(run.no, 1, n, 0, 1, 5.0, b"{}", "etl", "load") for n in range(2)]
        await store.commit([batch(owned.epoch, 1, dead=dead)])
        ids = [letter.id for letter in await store.dead_letters(PROJECT)]
        theirs = act("letters.requeue", project="other")
        for ours in (theirs, theirs._replace(project=PROJECT)):
            mine = ours.project == PROJECT
            assert await store.discard(ids[:1], "eve", "", 6.0, act=ours) == (ids[:1] if mine else [])
            assert await store.reopen(ids[:1], 7.0, act=ours) == (ids[:1] if mine else [])
            wanted = [Requeue(tuple(ids), command("rerun", run.no))]
            requeued = await store.requeue(wanted, "eve", 8.0, act=ours)
            assert [sorted(one.letters) for one in requeued] == ([sorted(ids)] if mine else [])
        assert [row.kind for row in await store.inbox(0, 0, 10)] == ["start", "rerun"]


class TestAudit:
    async def test_lines_are_found_by_what_they_say_and_page_by_page(self, store: ApiStore) -> None:
        for n in range(6):
            await store.note(act("run.start" if n % 2 else "token.create", f"thing {n}"))
        await store.note(act("run.cancel", "thing 1", actor="token:ci", detail=b'{"why":1}'))
        await store.note(act("run.start", project="other"))
        newest, *_ = await store.audit(PROJECT)
        assert newest.detail == b'{"why":1}'
        assert len(await store.audit(PROJECT, action="run")) == 4
        assert len(await store.audit(PROJECT, action="run.start")) == 3
        assert await store.audit(PROJECT, action="%") == []
        assert [one.action for one in await store.audit(PROJECT, object="thing 1")] == [
            "run.cancel",
            "run.start",
        ]
        assert await store.audit(PROJECT, actor="token:ci") == [newest]
        pages: list[str] = []
        before = None
        while page := await store.audit(PROJECT, before=before, limit=3):
            pages += [line.object for line in page]
            before = page[-1].id
        assert pages == ["thing 1", *(f"thing {n}" for n in range(5, -1, -1))]
        assert list(await store.audited_projects()) == [PROJECT, "other"]

    async def test_the_beginning_of_an_action_finds_the_lines_of_each_in_one_order(
        self, store: ApiStore
    ) -> None:
        for n in range(12):
            await store.note(act(("run.start", "run.cancel", "running", "token.create")[n % 4], f"thing {n}"))
        found: list[str] = []
        before = None
        while page := await store.audit(PROJECT, action="run.", actor="user:ada", before=before, limit=2):
            found += [line.object for line in page]
            before = page[-1].id
        assert found == [f"thing {n}" for n in (9, 8, 5, 4, 1, 0)]

    @pytest.mark.parametrize("by", [{"actor": "user:ada"}, {"action": "run.start"}, {"object": "thing 1"}])
    async def test_lines_are_found_by_an_index_and_in_its_order(
        self, sqlite_database: Database, by: dict[str, str]
    ) -> None:
        store: Any = await sqlite_database.open()
        for n in range(3):
            await store.note(act("run.start", f"thing {n}"))
        engine = create_engine(sqlite_database.url)
        asked: list[tuple[str, Any]] = []

        def seen(_c: object, _u: object, statement: str, parameters: Any, *_: object) -> None:
            asked.append((statement, parameters))

        event.listen(engine, "before_cursor_execute", seen)
        with engine.connect() as connection:
            assert listed(connection, Wanted(PROJECT, **by), 10, 5)
        event.remove(engine, "before_cursor_execute", seen)
        (column,) = by
        with engine.connect() as connection:
            for statement, parameters in asked:
                plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters).fetchall()
                assert [f"INDEX audit_{column}s (" in row.detail for row in plan] == [True], plan
        engine.dispose()

    async def test_lines_are_chained_for_each_project(self, store: ApiStore) -> None:
        assert await store.audit_head(PROJECT) is None
        for n in range(10):
            await store.note(act(object=f"run {n}", project=PROJECT if n % 2 else "other"))
        assert [await store.chain(4) for _ in range(4)] == [4, 4, 2, 0]
        for project in (PROJECT, "other"):
            lines = await store.audit_chain(project)
            assert [line.place for line in lines] == [1, 2, 3, 4, 5]
            assert broken(lines) is None
            assert await store.audit_head(project) == (5, lines[-1].hash)
            head = await store.audit_chain(project, 0, 3)
            last = head[-1]
            assert last.place is not None
            assert last.hash is not None
            assert (
                broken(await store.audit_chain(project, last.place), ChainHead(last.place, last.hash)) is None
            )

    async def test_those_who_chain_at_once_do_not_fork_the_chain(self, database: Database) -> None:
        stores: list[Any] = [await database.open() for _ in range(3)]

        async def write_and_chain(store: Any, who: int) -> None:
            for n in range(15):
                await store.note(act(object=f"run {who}.{n}"))
                await store.chain(5)

        await asyncio.gather(*(write_and_chain(store, n) for n, store in enumerate(stores)))
        while await stores[0].chain():
            pass
        lines = await stores[0].audit_chain(PROJECT)
        assert len(lines) == 45
        assert broken(lines) is None

    async def test_a_line_that_is_changed_taken_or_replaced_is_found(self, store: ApiStore) -> None:
        for n in range(5):
            await store.note(act(object=f"run {n}", detail=b'{"n":%d}' % n))
        await store.chain()
        lines = await store.audit_chain(PROJECT)
        forged = lines[2]._replace(actor="user:eve", hash=None)
        assert forged.before is not None
        forged = forged._replace(hash=linked(forged, forged.before))
        for name, other in {**_otherwise(lines[2]), "place": 9, "before": "x", "hash": "x"}.items():
            found = broken([*lines[:2], lines[2]._replace(**{name: other}), *lines[3:]])
            assert found is not None, name
            assert "ine 3" in found, name
        assert broken([*lines[:2], *lines[3:]]) == "Line 3 is missing: line 4 follows line 2."
        assert broken([*lines[:2], forged, *lines[3:]]) is not None
        assert broken([lines[0], lines[2], lines[1], *lines[3:]]) is not None
        assert broken(lines[1:]) is not None

    @pytest.mark.parametrize(
        "tampering",
        [
            "UPDATE audit SET actor = 'user:eve' WHERE id = 1",
            "UPDATE audit SET detail = '' WHERE id = 2",
            "UPDATE audit SET hash = 'x' WHERE id = 1",
            "UPDATE audit SET place = NULL WHERE id = 1",
            "UPDATE audit SET address = NULL, place = 2, before = 'x', hash = 'x' WHERE id = 2",
            "DELETE FROM audit WHERE id = 1",
            "DELETE FROM audit",
        ],
    )
    async def test_the_database_refuses_to_change_a_line(
        self, database: Database, store: ApiStore, tampering: str
    ) -> None:
        await store.note(act())
        await store.chain()
        await store.note(act(object="run 2"))
        before = await store.audit(PROJECT)
        async with hand(database) as execute:
            with pytest.raises(
                (sqlite3.IntegrityError, asyncpg.RaiseError), match="appended to, never changed"
            ):
                await execute(tampering)
        assert await store.audit(PROJECT) == before
        assert await store.chain() == 1


def _otherwise(line: AuditLine) -> dict[str, Any]:
    """Another value for everything that a line says."""
    said = line._asdict()
    values = {int: 77, float: 77.5, str: "else", bytes: b"[]"}
    return {name: values[type(said[name])] for name in said if name not in ("place", "before", "hash")}


@contextlib.asynccontextmanager
async def hand(database: Database) -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
    """Somebody who has the database itself."""
    if database.kind == "sqlite":
        with contextlib.closing(sqlite3.connect(database.path, isolation_level=None)) as file:

            async def execute(statement: str) -> Any:
                return file.execute(statement)

            yield execute
    else:
        server = await asyncpg.connect(database.url)
        try:
            yield server.execute
        finally:
            await server.close()


async def test_a_truncated_audit_is_refused_by_the_server(postgres_database: Database) -> None:
    await postgres_database.open()
    async with hand(postgres_database) as execute:
        with pytest.raises(asyncpg.RaiseError, match="appended to, never changed"):
            await execute("TRUNCATE audit")


async def test_lines_taken_from_the_end_are_missed_by_the_head(database: Database) -> None:
    """Whoever owns the database can drop its triggers; what is left then does not fit."""
    store: Any = await database.open()
    for n in range(3):
        await store.note(act(object=f"run {n}"))
    await store.chain()
    async with hand(database) as execute:
        on = "" if database.kind == "sqlite" else " ON audit"
        await execute(f"DROP TRIGGER audit_kept{on}")
        await execute("DELETE FROM audit WHERE place = 3")
    lines = await store.audit_chain(PROJECT)
    assert broken(lines) is None
    head = await store.audit_head(PROJECT)
    assert (head.place, lines[-1].place) == (3, 2)


async def test_every_store_knows_people(database: Database) -> None:
    store = await database.open()
    assert isinstance(store, AccessStore)
    assert isinstance(store, AuditStore)
