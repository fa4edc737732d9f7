"""The least that an embedded engine can do: SQLite with WAL and synchronous=FULL, an asyncio queue, nothing else.

A coroutine takes a task and reports it; a settling loop makes one durable commit for all that has been reported and
hands out what comes next. No checks, no retries, no history. Every embedded figure is given as a ratio to this one.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

LARGEST = 1_000
"""Reports in one commit, at most."""


class Bare(NamedTuple):
    """Tasks per second of independent tasks; milliseconds per hop of a chain."""

    tasks_per_s: float
    hop_ms_p50: float
    hop_ms_p99: float


async def measure(tasks: int, hops: int, folder: Path | None = None) -> Bare:
    """Run `hops` tasks one after the other, then `tasks` at once."""
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        return await _measure(Path(inside) / "bare.db", tasks, hops)


async def _measure(path: Path, tasks: int, hops: int) -> Bare:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("pragma journal_mode=wal")
    db.execute("pragma synchronous=full")
    db.execute("create table tasks(id integer primary key, state text, output text)")
    db.execute("begin")
    db.executemany("insert into tasks values(?, 'pending', null)", [(i,) for i in range(tasks + hops)])
    db.execute("commit")
    loop = asyncio.get_running_loop()
    todo: asyncio.Queue[str] = asyncio.Queue()
    done: asyncio.Queue[str] = asyncio.Queue()

    def commit(ids: list[int]) -> None:
        db.execute("begin")
        db.executemany(
            "update tasks set state = 'succeeded', output = 'null' where id = ?", [(i,) for i in ids]
        )
        db.execute("commit")

    async def work() -> None:
        while True:
            task = json.loads(await todo.get())
            done.put_nowait(json.dumps({"id": task["id"], "state": "succeeded"}))

    async def settle() -> int:
        ids = [json.loads(await done.get())["id"]]
        while not done.empty() and len(ids) < LARGEST:
            ids.append(json.loads(done.get_nowait())["id"])
        await loop.run_in_executor(thread, commit, ids)
        return len(ids)

    with ThreadPoolExecutor(1) as thread:
        worker = asyncio.create_task(work())
        times = []
        for number in range(hops):
            began = time.perf_counter()
            todo.put_nowait(json.dumps({"id": tasks + number, "task": "t", "input": {}}))
            await settle()
            times.append((time.perf_counter() - began) * 1e3)
        began = time.perf_counter()
        for number in range(tasks):
            todo.put_nowait(json.dumps({"id": number, "task": "t", "input": {}}))
        settled = 0
        while settled < tasks:
            settled += await settle()
        wall = time.perf_counter() - began
        worker.cancel()
    db.close()
    times.sort()
    return Bare(tasks / wall, statistics.median(times), times[int(len(times) * 0.99)])
