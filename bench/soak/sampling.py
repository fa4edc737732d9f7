"""One look at a cluster under load: what its processes take, what its tables hold, how quick it was since the last look."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cluster import Process

MIB = 1 << 20
TABLES = ("runs", "task_runs", "history", "inbox", "timers", "parts", "dead_letters")

_ROWS = """
SELECT relname, n_live_tup AS live, n_dead_tup AS dead,
       n_tup_upd AS updated, n_tup_hot_upd AS hot FROM pg_stat_user_tables"""
_SIZE = "SELECT pg_database_size(current_database())"
_UNFINISHED = "SELECT count(*) FROM runs WHERE finished_at IS NULL"
_RUNS = "SELECT count(*) FROM runs"
_WAITS = """
SELECT percentile_cont($2::float[]) WITHIN GROUP (ORDER BY first.at - r.created_at)
FROM runs r, LATERAL (SELECT min(t.started_at) AS at FROM task_runs t WHERE t.run = r.no) first
WHERE r.created_at >= $1 AND first.at IS NOT NULL AND r.workflow LIKE 'chain%'"""
_HOPS = """
SELECT percentile_cont($2::float[]) WITHIN GROUP (ORDER BY after.started_at - before.finished_at)
FROM runs r JOIN task_runs before ON before.run = r.no
JOIN task_runs after ON after.run = r.no AND after.task = before.task + 1
WHERE r.created_at >= $1 AND r.workflow LIKE 'chain%'
AND after.started_at IS NOT NULL AND before.finished_at IS NOT NULL"""

Sample = dict[str, float]
"""Figures by name. Those with a dot belong to one process or one table: `engine-1.memory_mib`."""


class Sampler:
    """Looks at a cluster's database, over a connection of its own, and at its processes."""

    def __init__(self, db: Any, processes: Sequence[Process]) -> None:
        self._db = db
        self._processes = processes
        self._began = time.time()
        self._since = self._began
        self._cpu = {process.name: process.cpu_seconds() for process in processes}

    async def look(self) -> Sample:
        now = time.time()
        found: Sample = {"minute": (now - self._began) / 60}
        for process in self._processes:
            found |= self._process(process, now - self._since)
        found |= await self._tables()
        found |= await self._times()
        self._since = now
        return found

    def _process(self, process: Process, seconds: float) -> Sample:
        name, used = process.name, process.cpu_seconds()
        cpu = (used - self._cpu[name]) / max(seconds, 1e-9)
        self._cpu[name] = used
        return {
            f"{name}.memory_mib": resident(process.pid) / MIB,
            f"{name}.cpu": cpu,
            f"{name}.open_files": float(len(list(Path(f"/proc/{process.pid}/fd").iterdir()))),
        }

    async def _tables(self) -> Sample:
        db = self._db
        tables: dict[str, Mapping[str, int]] = {}
        for row in await db.fetch(_ROWS):  # a table in weeks stands for all of them
            name = next((table for table in TABLES if row["relname"].startswith(table)), None)
            if name is not None:
                before = tables.get(name, {})
                tables[name] = {k: before.get(k, 0) + row[k] for k in ("live", "dead", "updated", "hot")}
        runs = float(await db.fetchval(_RUNS))
        found = {
            "runs": runs,
            "unfinished": float(await db.fetchval(_UNFINISHED)),
            "bytes_a_run": await db.fetchval(_SIZE) / max(runs, 1.0),
        }
        for name in ("inbox", "timers"):
            found[f"{name}.rows"] = float(await db.fetchval(f"SELECT count(*) FROM {name}"))
        for name, counts in tables.items():
            found[f"{name}.dead_rows"] = float(counts["dead"])
            if counts["updated"]:
                found[f"{name}.hot"] = counts["hot"] / counts["updated"]
        return found

    async def _times(self) -> Sample:
        found: Sample = {}
        for name, query in (("first_task", _WAITS), ("hop", _HOPS)):
            quantiles = await self._db.fetchval(query, self._since, [0.5, 0.99])
            if quantiles is not None:
                found[f"{name}_ms_p50"], found[f"{name}_ms_p99"] = (each * 1e3 for each in quantiles)
        return found


def resident(pid: int) -> int:
    """Bytes of memory that the process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
