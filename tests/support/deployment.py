"""A cluster for tests: real servers, a database and topics of its own, and `headrace` processes that come and go.

Tests of it read like what an operator does and sees: they start engines and workers, type commands, kill processes, and look at
rows and files. Whoever asks questions of the store does so from here, on a loop that only turns while a question is asked.

A conftest that wants the members' words beside a failure takes `said_by_deployments`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

from headrace.dsl.source import plan, read_text
from headrace.engine.broker.kafka import topics
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.store import RunRow
from headrace.engine.shell.replay import replay
from headrace.engine.shell.submission import new_run
from headrace.engine.shell.views import RunView, run_view
from headrace.runners.authored import checker, version_row
from headrace.runners.outside import Outside
from tests.support import warm
from tests.support.journal import BODIES, Start, starts_in
from tests.support.members import Done, Member
from tests.support.servers import Servers
from tests.support.waiting import PATIENCE, eventually

T = TypeVar("T")


@dataclass
class Deployment:
    """Opened by `opened`.

    `app` is the workers' app dir; `bodies` in it holds functions that write down each start. `environment` is what every process of
    it gets.
    """

    folder: Path
    url: str
    kafka: KafkaSettings
    environment: dict[str, str]
    members: list[Member] = field(default_factory=list)
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    _closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    _outside: Outside | None = None

    @property
    def app(self) -> Path:
        return self.folder / "app"

    @property
    def said(self) -> str:
        """What all members have said."""
        return "\n".join(f"-- {m.kind} {m.name}\n{m.said}" for m in self.members)

    # processes --------------------------------------------------------------------------------------------------------
    def engine(self, name: str, *words: str, **settings: str) -> Member:
        """Start an engine; `ready` waits for it."""
        return self._start("engine", name, words, settings)

    def worker(self, name: str, *words: str, slots: int = 8, **settings: str) -> Member:
        """Start a worker on the queue `default`, or those of `--queues`; `ready` waits for it."""
        more = ("--app-dir", str(self.app), "--concurrency", str(slots), *words)
        return self._start("worker", name, more, settings)

    def team(
        self, engines: Sequence[str] = ("e1",), workers: Sequence[str] = ("w1",), slots: int = 8
    ) -> None:
        """Start these at once and wait until all have their place."""
        members = [self.engine(name) for name in engines] + [
            self.worker(name, slots=slots) for name in workers
        ]
        for member in members:
            member.ready()

    def member(self, name: str) -> Member:
        """The newest of that name."""
        return next(member for member in reversed(self.members) if member.name == name)

    def _start(self, kind: str, name: str, words: Sequence[str], settings: Mapping[str, str]) -> Member:
        log = self.folder / f"{len(self.members)}-{kind}-{name}.log"
        with log.open("wb") as stream:
            process = warm.Popen[bytes](
                self.command(kind, "--id", name, *words),
                cwd=self.folder,
                env={**self.environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        member = Member(kind, name, process, log)
        self.members.append(member)
        return member

    # commands ---------------------------------------------------------------------------------------------------------
    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "headrace.cli.main", *words]

    def __call__(self, *words: str, **settings: str) -> Done:
        """Type a command beside the cluster and wait for its end."""
        done = warm.run(
            self.command(*words),
            cwd=self.folder,
            env={**self.environment, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def beside(self, *words: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on while the test does something else; one that fails meanwhile does not wait for its end."""
        with warm.Popen(
            self.command(*words),
            cwd=self.folder,
            env={**self.environment, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as command:
            try:
                yield command
            except BaseException:
                command.kill()
                raise

    def write(self, name: str, text: str) -> Path:
        """A file of the app dir."""
        path = self.app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    # runs -------------------------------------------------------------------------------------------------------------
    def go(self, question: Coroutine[Any, Any, T]) -> T:
        """Ask something on this deployment's loop."""
        return self._runner.run(question)

    def plan(self, text: str | Mapping[str, Any]) -> Plan:
        """A plan from YAML, or from a document."""
        if isinstance(text, str):
            return plan(read_text(text, str(self.folder / "w.yaml"))).plan
        return plan(read_text(json.dumps(text), str(self.folder / "w.json"))).plan

    def submit(
        self, made: Plan, /, *, priority: str | None = None, key: str | None = None, **params: Any
    ) -> RunRow:
        """Ask for a run, as `headrace trigger` does, without a process for it."""
        return self.go(self._submit(made, params, priority, key))

    def submit_all(
        self, made: Sequence[Plan], values: Mapping[str, Any] | None = None, key: str | None = None
    ) -> list[RunRow]:
        """One run of each, eight at once; `values` are the parameters of all."""

        async def ask() -> list[RunRow]:
            outside = await self.outside()
            store, check = outside.store, checker(CelEvaluator())
            now, parts = (await store.survey()).now, await store.parts()
            versions = {
                each.hash: await store.register(version_row(each, "default", now))
                for each in {each.hash: each for each in made}.values()
            }
            room = asyncio.Semaphore(8)

            async def one(of: Plan) -> RunRow:
                asked_by = {"kind": "manual", "by": "tests"}
                new = new_run(
                    of,
                    versions[of.hash],
                    values or {},
                    now=now,
                    parts=parts,
                    trigger=asked_by,
                    check=check,
                    key=key,
                )
                async with room:
                    row = await store.run((await store.create_run(new)).no)
                assert row is not None
                return row

            return list(await asyncio.gather(*map(one, made)))

        return self.go(ask())

    async def _submit(
        self, made: Plan, params: Mapping[str, Any], priority: str | None, key: str | None
    ) -> RunRow:
        outside = await self.outside()
        return await outside.submit(
            made, params, trigger={"kind": "manual", "by": "tests"}, priority=priority, key=key
        )

    async def outside(self) -> Outside:
        """The database as one who decides nothing sees it."""
        if self._outside is None:
            self._outside = await self._closing.enter_async_context(
                Outside.open(
                    self.folder / "home",
                    self.url,
                    artifacts=self.environment["HEADRACE_ARTIFACTS"],
                    kafka=self.kafka,
                )
            )
        return self._outside

    def view(self, run: RunRow) -> RunView:
        """The run and its task runs, as `runs show` shows them."""

        async def ask() -> RunView:
            outside = await self.outside()
            return await run_view(outside.store, run.no, artifacts=outside.artifacts)

        return self.go(ask())

    def states(self, run: RunRow) -> dict[str, str]:
        """The state of each task run by its written name."""
        return {task.written: task.state for task in self.view(run).tasks}

    def state(self, run: RunRow) -> str:
        return RunState(self.view(run).run.state).word

    def wait(self, *runs: RunRow, within: float = PATIENCE) -> None:
        """Until all have ended."""
        numbers = [run.no for run in runs]
        self.until(
            "SELECT count(*) = 0 FROM runs WHERE no = ANY($1) AND finished_at IS NULL", numbers, within=within
        )

    def until_state(self, run: RunRow, task: str, *states: str) -> None:
        """Until the task run is in one of these states."""
        self.eventually(
            lambda: self.states(run).get(task) in states,
            lambda: f"{task} is not {states}: {self.states(run)}",
        )

    def agree(self, *runs: RunRow) -> None:
        """Assert that the stored rows of each are what its history decides (I6)."""

        async def ask() -> list[str]:
            store, evaluator = (await self.outside()).store, CelEvaluator()
            return [line for run in runs for line in await replay(store, evaluator, run.no)]

        assert self.go(ask()) == []

    # looking ----------------------------------------------------------------------------------------------------------
    def rows(self, query: str, *values: Any) -> list[Any]:
        """What the database answers."""

        async def ask() -> list[Any]:
            connection: Any = await asyncpg.connect(self.url)
            try:
                return list(await connection.fetch(query, *values))
            finally:
                await connection.close()

        return self.go(ask())

    def execute(self, statements: str) -> None:
        """Have the database do something that no part of Headrace does."""

        async def ask() -> None:
            connection: Any = await asyncpg.connect(self.url)
            try:
                await connection.execute(statements)
            finally:
                await connection.close()

        self.go(ask())

    def until(self, query: str, *values: Any, within: float = PATIENCE) -> None:
        """Until the database answers the question with true."""

        async def ask() -> bool:
            connection: Any = await asyncpg.connect(self.url)
            try:
                end = time.monotonic() + within
                while not await connection.fetchval(query, *values):
                    if time.monotonic() > end:
                        return False
                    await asyncio.sleep(0.02)
                return True
            finally:
                await connection.close()

        assert self.go(ask()), f"not within {within:.0f} s: {query}\n{self.said}"

    def eventually(self, holds: Callable[[], object], otherwise: Callable[[], str] | str = "") -> None:
        """Look until it holds; what the members said goes with the failure."""
        eventually(holds, lambda: f"{otherwise if isinstance(otherwise, str) else otherwise()}\n{self.said}")

    def reconnect(self) -> None:
        """Open the store anew when it is next asked, for the server has ended its connections."""
        self.go(self._closing.aclose())
        self._outside = None

    def still(self, seconds: float) -> None:
        """Wait until no task has been begun for so long."""
        begun, since = len(self.starts()), time.monotonic()

        def stands() -> bool:
            nonlocal begun, since
            if (now := len(self.starts())) != begun:
                begun, since = now, time.monotonic()
            return time.monotonic() - since >= seconds

        self.eventually(stands, "tasks are begun all the time")

    def settled(self) -> None:
        """Wait until every part belongs to a live engine, and each has its share."""

        async def ask() -> bool:
            survey = await (await self.outside()).store.survey()
            owned = [part.owner for part in survey.parts]
            share = -(-len(owned) // max(1, len(survey.engines)))
            return set(owned) == set(survey.engines) and all(owned.count(one) <= share for one in set(owned))

        self.eventually(lambda: self.go(ask()), "the parts are not shared out")

    @property
    def journal(self) -> Path:
        return Path(self.environment["JOURNAL"])

    def starts(self) -> list[Start]:
        """Every call of a function of `bodies`, in order."""
        return starts_in(self.journal)

    # ------------------------------------------------------------------------------------------------------------------
    def close(self) -> None:
        """End everything at once."""
        for member in self.members:
            if member.lives:
                member.process.kill()
        for member in self.members:
            member.process.wait(PATIENCE)
        self._runner.run(self._closing.aclose())
        self._runner.close()


@contextmanager
def opened(
    servers: Servers,
    folder: Path,
    *,
    inboxes: int = 4,
    queues: Sequence[str] = ("default",),
    settings: Mapping[str, str] | None = None,
) -> Iterator[Deployment]:
    """A database and topics that nobody else has, and no process yet. `settings` are given to every process."""
    app = folder / "app"
    app.mkdir(parents=True, exist_ok=True)
    (app / "bodies.py").write_text(BODIES)
    kafka = KafkaSettings((servers.kafka,), prefix=servers.kafka_prefix(), inboxes=inboxes)
    url = servers.database_url("deployment")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    environment = kept | {
        "PYTHONPATH": "",
        "COLUMNS": "200",
        "JOURNAL": str(folder / "journal.jsonl"),
        "HEADRACE_HOME": str(folder / "home"),
        "HEADRACE_ARTIFACTS": str(folder / "artifacts"),
        "HEADRACE_DATABASE_URL": url,
        "HEADRACE_KAFKA": servers.kafka,
        "HEADRACE_KAFKA_PREFIX": kafka.prefix,
        "HEADRACE_KAFKA_INBOXES": str(inboxes),
        "HEADRACE_HTTP_ALLOW": "127.0.0.1",
        **(settings or {}),
    }
    deployment = Deployment(folder, url, kafka, environment)
    try:
        parts = deployment.rows("SELECT count(*) AS parts FROM parts")[0]["parts"]
        deployment.go(topics.ensure(kafka, parts, queues))
        yield deployment
    finally:
        with suppress(Exception):  # a server that a test has killed keeps its topics
            deployment.go(_drop_topics(kafka))
        deployment.close()
        servers.drop_database(url)


async def _drop_topics(kafka: KafkaSettings) -> None:
    """A Kafka that many tests share is slowed down by every partition that it has to keep."""
    admin = AIOKafkaAdminClient(bootstrap_servers=list(kafka.bootstrap), request_timeout_ms=5_000)
    async with asyncio.timeout(10):
        await admin.start()
        try:
            names = await admin.list_topics()
            await admin.delete_topics([name for name in names if name.startswith(kafka.prefix)])
        finally:
            await admin.close()
