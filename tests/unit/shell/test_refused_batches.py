"""What the store will never take: the one run is set aside that it belongs to, all others go on."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from headrace.engine.core.states import RunState
from headrace.engine.ports.letters import PoisonRow
from headrace.engine.shell.aside import ASIDE, set_aside
from headrace.engine.shell.commands import AskBody
from tests.support.flows import child, flow, py
from tests.unit.shell.rig import HOLD, Answer, Rig, crash


def refuse(folder: Path, table: str, condition: str) -> None:
    """The database takes no such row any more."""
    with closing(sqlite3.connect(folder / "rig.db")) as database:
        for event in ("insert", "update"):
            database.execute(
                f"create trigger no_{table}_{event} before {event} on {table} when {condition} "
                "begin select raise(abort, 'out of range'); end"
            )
        database.commit()


def allow(folder: Path, table: str) -> None:
    with closing(sqlite3.connect(folder / "rig.db")) as database:
        for event in ("insert", "update"):
            database.execute(f"drop trigger no_{table}_{event}")
        database.commit()


def why(folder: Path, run: str) -> str:
    """What somebody in another terminal is told."""
    address = {"HEADRACE_DATABASE_URL": f"sqlite:///{folder}/rig.db"}
    command = [sys.executable, "-m", "headrace.cli.main", "why", run]
    asked = subprocess.run(
        command, env=os.environ | address, cwd=folder, capture_output=True, text=True, check=True
    )
    return asked.stdout


@pytest.mark.parametrize("bad", [0, 3, 6])
async def test_rows_that_the_store_refuses_set_their_run_aside_alone(
    bench: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: int
) -> None:
    """A command in the same turn is carried out once; nothing of the run is written, nothing of it is sent."""
    bench.worker.body = lambda d: HOLD
    rows = [await bench.submit(flow(py("a"), py("b", "a"))) for _ in range(7)]
    await bench.settle()
    refuse(tmp_path, "task_runs", f"new.run = {rows[bad].no}")
    paused = rows[(bad + 1) % 7]
    await bench.command(paused.no, "pause", AskBody("ada"))
    bench.worker.body = lambda d: Answer()
    for dispatch in list(bench.worker.held.values()):
        await bench.worker.report(dispatch, Answer())
    await bench.settle()

    for row in rows:
        if row is rows[bad]:
            assert await bench.states(row.no) == {"a": "dispatched", "b": "pending"}
        elif row is paused:
            assert await bench.states(row.no) == {"a": "succeeded", "b": "pending"}
            assert (await bench.row(row.no)).paused
            await bench.agrees(row.no)
        else:
            assert (await bench.row(row.no)).state == RunState.SUCCEEDED
            await bench.agrees(row.no)
    assert list(bench.engine.broken) == [rows[bad].no]
    assert f"run {rows[bad].id} cannot go on and is set aside" in caplog.text
    told = await set_aside(bench.store, rows[bad])
    assert told is not None
    assert "out of range" in told
    assert (await bench.view(rows[bad].no)).aside == told
    assert await set_aside(bench.store, paused) is None
    if bad == 0:
        said = await asyncio.to_thread(why, tmp_path, rows[bad].id)
        assert "is set aside, until another engine tries it" in said
        assert "out of range" in said

    allow(tmp_path, "task_runs")
    await crash(bench)
    await bench.worker.beat()
    await bench.command(paused.no, "resume", AskBody("ada"))
    await bench.settle()
    assert [(await bench.row(row.no)).state for row in rows] == [RunState.SUCCEEDED] * 7
    assert await bench.store.inbox(0, 0, 100) == []  # the note went with the next owner


async def test_an_engine_that_finds_a_run_refused_again_leaves_one_note(bench: Rig, tmp_path: Path) -> None:
    bench.worker.body = lambda d: HOLD
    bad = await bench.submit(flow(py("a")))
    await bench.settle()
    refuse(tmp_path, "history", f"new.run = {bad.no}")
    bench.worker.body = lambda d: Answer()
    for _ in range(3):
        await crash(bench)
        await bench.worker.beat()
        await bench.settle()
        assert list(bench.engine.broken) == [bad.no]
        assert len(await bench.store.waiting_for(0, bad.no, ASIDE)) == 1


async def test_what_the_run_had_to_tell_others_waits_with_it(bench: Rig, tmp_path: Path) -> None:
    """A child that ended tells its parent, in the batch that ends it and not without it."""
    await bench.register(flow(py("a")), "inner")
    bench.worker.body = lambda d: HOLD
    parent = await bench.submit(flow(child("call", "inner"), py("after", "call")))
    other = await bench.submit(flow(py("x")))
    await bench.settle()
    inner = (await bench.store.children(parent.no))[0]
    refuse(tmp_path, "history", f"new.run = {inner.no}")
    bench.worker.body = lambda d: Answer()
    await bench.worker.finish("a")
    await bench.worker.finish("x")
    await bench.settle()
    assert list(bench.engine.broken) == [inner.no]
    assert (await bench.row(other.no)).state == RunState.SUCCEEDED
    assert (await bench.states(parent.no))["call"] == "waiting"
    allow(tmp_path, "history")
    await crash(bench)
    await bench.worker.beat()
    await bench.settle()
    assert (await bench.row(parent.no)).state == RunState.SUCCEEDED


async def test_an_unreadable_message_that_cannot_be_kept_stops_nobody(
    bench: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its offset moves on all the same, and what came with it is written."""
    refuse(tmp_path, "poison", "1")
    engine = bench.engine
    strange = PoisonRow("job-status", 0, 0, -1, bench.clock.now(), "it is no JSON", b"?")
    row = await bench.submit(flow(py("a")))
    gather = engine._turner._gatherer

    def timers(turn: object, limit: int, found=gather.timers) -> None:  # type: ignore[no-untyped-def]
        turn.portion(engine._holdings.parts[0]).batch.poison.append(strange)  # type: ignore[attr-defined]
        found(turn, limit)
        gather.timers = found  # type: ignore[method-assign]

    gather.timers = timers  # type: ignore[method-assign]
    await bench.settle()
    assert (await bench.row(row.no)).state == RunState.SUCCEEDED
    assert engine.broken == {}
    assert "cannot be kept either" in caplog.text
