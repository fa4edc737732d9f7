"""A cluster to measure: engines and workers as processes of their own, on a database and topics that nobody else has.

The servers are those of HEADRACE_KAFKA and HEADRACE_DATABASE_URL, whose database is only used to make others; where they are not
set, a lab is started and ended with the measure. Processes inherit their scheduling from whoever starts the measure.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from headrace.engine.broker.kafka.nudger import Nudger
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.broker.kafka.topics import ensure
from headrace.engine.core.canonical import canonical_json
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Workflow
from headrace.engine.ports.store import NewRun
from headrace.engine.ports.team import TeamStore
from headrace.engine.shell.children import part_of, run_id
from headrace.engine.store import open_store, upgrade
from headrace.lab import Lab
from headrace.runners import authored

ROOT = str(Path(__file__).parent.parent)
HEADRACE = str(Path(sys.executable).with_name("headrace"))
READY_SECONDS, RUN_SECONDS = 30.0, 120.0
TOGETHER = 500
"""So many runs are asked for by one call, as the intake of job-requests does."""

LOOK_SECONDS, LOOK_SELDOM_SECONDS, MANY = 0.004, 0.05, 5_000
"""How often to look whether runs have ended; below MANY tasks often, for they last a moment only."""

_UNFINISHED = "SELECT count(*) FROM runs WHERE no > $1 AND finished_at IS NULL"
_BADLY = "SELECT count(*) FROM runs WHERE no > $1 AND state <> $2"


class Servers(NamedTuple):
    """Where Kafka and PostgreSQL are."""

    kafka: str
    database: str


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """Those that the environment names, or a lab."""
    kafka, database = os.environ.get("HEADRACE_KAFKA"), os.environ.get("HEADRACE_DATABASE_URL")
    if kafka and database:
        yield Servers(kafka, database)
        return
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        lab = Lab(Path(folder))
        found = await asyncio.to_thread(lab.up, ("kafka", "postgres"))
        try:
            yield Servers(*(str(one.address) for one in found))
        finally:
            await asyncio.to_thread(lab.down, ("kafka", "postgres"), delete=True)


@asynccontextmanager
async def fresh_database(url: str) -> AsyncIterator[str]:
    """An empty database beside that of the URL, removed in the end."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    await _execute(url, f"CREATE DATABASE {name}")
    try:
        yield f"{url.rpartition('/')[0]}/{name}"
    finally:
        await _execute(url, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(url: str, command: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(command)
    finally:
        await connection.close()


class Process:
    """An engine or a worker."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """What its threads have used so far, to the nanosecond: clock ticks would miss most of what an idle process does."""
        used = (task.joinpath("schedstat").read_text() for task in Path(f"/proc/{self.pid}/task").iterdir())
        return sum(int(each.split()[0]) for each in used) / 1e9

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal and wait for the end."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        await self._process.wait()


class Cluster:
    """One database, its topics, and the processes that were started on them. `async with Cluster(servers) as cluster`."""

    def __init__(self, servers: Servers, **settings: str) -> None:
        """`settings`: variables that every process is given."""
        self._servers = servers
        self._settings = settings
        self._closing = AsyncExitStack()
        self.kafka = KafkaSettings((servers.kafka,), f"b{uuid.uuid4().hex[:8]}.", inboxes=8)
        self.url = ""
        self.store: TeamStore
        self.db: Any
        """A connection of the measure's own."""

    async def __aenter__(self) -> Cluster:
        try:
            enter, push = self._closing.enter_async_context, self._closing.push_async_callback
            self._home = Path(self._closing.enter_context(tempfile.TemporaryDirectory()))
            self.url = await enter(fresh_database(self._servers.database))
            await upgrade(self.url)
            store = await open_store(self.url)
            push(store.close)
            assert isinstance(store, TeamStore)
            self.store = store
            self.db = await asyncpg.connect(self.url)
            push(self.db.close)
            self.parts = await self.store.parts()
            await ensure(self.kafka, self.parts, ["default"])
            self._nudger = Nudger(self.kafka, "bench")
            await self._nudger.start()
            push(self._nudger.stop)
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._closing.aclose()

    # -- processes -----------------------------------------------------------------------------------------------

    async def engine(self, name: str, *, url: str | None = None) -> Process:
        """Start an engine. `url`: another way to the same database."""
        return await self._start(name, ("engine", "--id", name, "--no-intake"), url or self.url)

    async def worker(self, name: str, *flags: str) -> Process:
        """Start a worker, with `flags` of `headrace worker`."""
        return await self._start(name, ("worker", "--id", name, "--app-dir", ROOT, *flags), None)

    async def api(self, name: str) -> tuple[Process, str]:
        """Start an API that asks nobody who they are; with its address, once it answers."""
        process = await self._start(name, ("api", "--no-auth", "--port", "0"), self.url)
        async with asyncio.timeout(READY_SECONDS):
            while (found := re.search(r"http://[\w.]+:\d+", self.said(name))) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return process, found[0]

    async def _start(self, name: str, arguments: Sequence[str], url: str | None) -> Process:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
        clean |= {"HEADRACE_KAFKA": self._servers.kafka, "HEADRACE_KAFKA_PREFIX": self.kafka.prefix}
        clean |= {"HEADRACE_HOME": str(self._home)} | self._settings
        if url is not None:
            clean["HEADRACE_DATABASE_URL"] = url
        log = self._closing.enter_context((self._home / f"{name}.log").open("wb"))
        started = await asyncio.create_subprocess_exec(
            HEADRACE, *arguments, env=clean, cwd=ROOT, stdout=log, stderr=log
        )
        process = Process(name, started)
        self._closing.push_async_callback(process.end, signal.SIGKILL)
        return process

    def said(self, name: str) -> str:
        """What the process has written."""
        return (self._home / f"{name}.log").read_text()

    async def owned(self, *engines: Process) -> None:
        """Until these engines own all parts among them, each at least its share, rounded down."""
        names = {engine.name for engine in engines}
        share = self.parts // len(names)
        async with asyncio.timeout(READY_SECONDS):
            while True:
                owners = [seen.owner for seen in (await self.store.survey()).parts]
                if set(owners) == names and min(map(owners.count, names)) >= share:
                    return
                await asyncio.sleep(0.05)

    # -- runs ----------------------------------------------------------------------------------------------------

    async def register(self, workflow: Workflow) -> Workload:
        plan, _ = build_plan(workflow)
        version = await self.store.register(authored.version_row(plan, "default", time.time()))
        return Workload(plan, version.version)

    async def create(self, workload: Workload, runs: int) -> int:
        """Ask for so many runs; answers with a number that all of theirs are above."""
        after = int(await self.db.fetchval("SELECT coalesce(max(no), 0) FROM runs"))
        for first in range(0, runs, TOGETHER):
            new = [self._new(workload) for _ in range(first, min(first + TOGETHER, runs))]
            await self.store.create_runs(new)
            self.nudge({run.part for run in new})
        return after

    def nudge(self, parts: Iterable[int]) -> None:
        """Tell whoever owns these parts that something lies in their inboxes."""
        for part in parts:
            self._nudger.nudge(part)

    async def run(self, workload: Workload, runs: int = 1) -> float:
        """Seconds from the moment the runs are asked for until the last of them is seen to have ended."""
        began = time.perf_counter()
        after = await self.create(workload, runs)
        every = LOOK_SECONDS if workload.tasks * runs < MANY else LOOK_SELDOM_SECONDS
        async with asyncio.timeout(RUN_SECONDS):
            while await self.look(_UNFINISHED, after):  # noqa: ASYNC110 (who ends them is another process)
                await asyncio.sleep(every)
        seconds = time.perf_counter() - began
        if failed := await self.look(_BADLY, after, int(RunState.SUCCEEDED)):
            raise RuntimeError(f"{failed} runs of {workload.plan.workflow.name} did not succeed")
        return seconds

    async def look(self, query: str, *arguments: object) -> Any:
        """A single value."""
        return await self.db.fetchval(query, *arguments)

    def _new(self, workload: Workload) -> NewRun:
        now, plan = time.time(), workload.plan
        identity = run_id(now)
        return NewRun(
            id=identity,
            project="default",
            workflow=plan.workflow.name,
            version=workload.version,
            plan=plan.hash,
            part=part_of(identity, self.parts),
            params=canonical_json({}),
            trigger=canonical_json({"kind": "manual", "by": "bench"}),
            created_at=now,
            scheduled_at=now,
            priority=plan.workflow.priority.value,
            folder=ROOT,
        )


class Workload(NamedTuple):
    """A registered version."""

    plan: Plan
    version: int

    @property
    def tasks(self) -> int:
        return len(self.plan.workflow.tasks)
