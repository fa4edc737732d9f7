"""A flipped byte in a stored payload is found, and concerns its own run only."""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

import asyncpg
import pytest

from headrace.engine.ports.store import CacheRow, RowDamaged, Store
from headrace.engine.store.reads import PlanDamaged
from tests.contracts.conftest import Database
from tests.contracts.samples import PROJECT, batch, command, history, new_run, run_update, task_row, version


async def flip(database: Database, table: str, column: str, where: str) -> None:
    """Change the last byte of one payload behind the store's back."""
    if database.kind == "sqlite":
        connection = sqlite3.connect(database.path, isolation_level=None)
        try:
            [(payload,)] = connection.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchall()
            damaged = payload[:-1] + bytes([payload[-1] ^ 1])
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (damaged,))
        finally:
            connection.close()
        return
    server: Any = await asyncpg.connect(database.url)
    try:
        last = f"octet_length({column}) - 1"
        flipped = f"set_byte({column}, {last}, get_byte({column}, {last}) # 1)"
        await server.execute(f"UPDATE {table} SET {column} = {flipped} WHERE {where}")
    finally:
        await server.close()


async def two_runs(store: Store) -> tuple[int, int]:
    """A run to be damaged and one beside it, both with every payload there is."""
    owned = await store.claim(0, "engine-1")
    one, two = [(await store.create_run(new_run(event=b'{"e":1}'))).no for _ in range(2)]
    payload: dict[str, Any] = {"output": b"[1]", "artifact": b'{"u":1}', "error": b'{"k":1}', "inputs": b"{}"}
    await store.commit(
        [
            batch(
                owned.epoch,
                1,
                tasks=[task_row(no, 0, **payload) for no in (one, two)],
                runs=[run_update(no, output=b"[2]", artifact=b"{}", generations=b"[3]") for no in (one, two)],
                history=[history(no, 1) for no in (one, two)],
            )
        ]
    )
    return one, two


@pytest.mark.parametrize("column", ["params", "trigger", "event", "output", "artifact", "generations"])
async def test_of_a_run(database: Database, store: Store, column: str) -> None:
    one, two = await two_runs(store)
    await flip(database, "runs", column, f"no = {one}")
    for read in (store.run(one), store.load([one]), store.load([two, one])):
        with pytest.raises(RowDamaged, match=f"run {one}") as caught:
            await read
        assert caught.value.run == one
    assert await store.run(two) is not None
    assert len(await store.load([two])) == 1
    assert [run.no for run in await store.list_runs(PROJECT)] == [two, one]


@pytest.mark.parametrize("column", ["output", "artifact", "error", "inputs"])
async def test_of_a_task_run(database: Database, store: Store, column: str) -> None:
    one, two = await two_runs(store)
    await flip(database, "task_runs", column, f"run = {one}")
    for read in (store.task_rows(one), store.values([(two, 1, 0, 0), (one, 1, 0, 0)])):
        with pytest.raises(RowDamaged, match=f"run {one}") as caught:
            await read
        assert caught.value.run == one
    assert len(await store.task_rows(two)) == 1
    assert len(await store.values([(two, 1, 0, 0)])) == 1


async def test_of_history(database: Database, store: Store) -> None:
    one, two = await two_runs(store)
    await flip(database, "history", "body", f"run = {one}")
    with pytest.raises(RowDamaged, match=f"run {one}: stored history row 1 is damaged"):
        await store.history(one)
    assert len(await store.history(two)) == 1


async def test_of_a_plan(database: Database, store: Store) -> None:
    await store.register(version("a", "plan-a"))
    await store.register(version("b", "plan-b"))
    await flip(database, "plans", "document", "plan = 'plan-a'")
    for read in (store.plan("plan-a"), store.version(PROJECT, "a")):
        with pytest.raises(PlanDamaged, match="plan-a"):
            await read
    assert await store.plan("plan-b") is not None


async def test_a_damaged_cache_entry_is_none(
    database: Database, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    owned = await store.claim(0, "engine-1")
    rows = [CacheRow(PROJECT, key, b"[1]", None, 999.0) for key in ("a", "b")]
    await store.commit([batch(owned.epoch, 1, cache=rows)])
    await flip(database, "cache", "output", "key = 'a'")
    with caplog.at_level(logging.WARNING, "headrace.store"):
        assert await store.cached(PROJECT, ["a", "b"], 0.0) == {"b": (b"[1]", None)}
    assert "damaged" in caplog.text


async def test_a_damaged_command_does_not_stop_the_others(
    database: Database, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = [await store.post(command("cancel", run)) for run in (1, 2)]
    await flip(database, "inbox", "body", f"id = {bad}")
    with caplog.at_level(logging.ERROR, "headrace.store"):
        assert [row.id for row in await store.inbox(0, 0, 10)] == [good]
    assert f"Command {bad} (cancel) for run 1 is damaged" in caplog.text
