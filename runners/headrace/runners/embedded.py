"""The embedded mode: store, broker, engine and one worker in this process, kept in one home folder.

A process either owns the home (its engine decides) or only posts to its inbox. `Embedded` owns when asked to, or when
a command finds nobody who does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from headrace.engine.artifacts import FileLogs, open_artifacts
from headrace.engine.broker.memory import MemoryBroker
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Json
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.acts import Act
from headrace.engine.ports.broker import WorkerSide
from headrace.engine.ports.store import RunRow, Store, StoreUnavailable, VersionRow
from headrace.engine.shell.clock import Clock, SystemClock
from headrace.engine.shell.engine import Engine
from headrace.engine.shell.settings import EngineSettings
from headrace.engine.shell.submission import new_row, new_run
from headrace.engine.shell.views import Change
from headrace.engine.store import open_store
from headrace.runners import authored
from headrace.runners.http_policy import HttpPolicy
from headrace.runners.secrets import Secrets
from headrace.runners.submitting import (
    ANSWER_WITHIN,
    LOOK_EVERY,
    about,
    command_row,
    row_of,
    stored_plan,
    until_taken,
)
from headrace.runners.watching import Watches, follow_history
from headrace.runners.worker import Worker

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_logger = logging.getLogger(__name__)
PART = 0


class OwnerSilent(Exception):
    """Another process owns the home but does not take the command."""


class Embedded:
    """An open home. Made by `open`."""

    def __init__(
        self,
        store: Store,
        home: Path,
        *,
        project: str,
        slots: int | None,
        pools: Mapping[str, int],
        policy: HttpPolicy,
        secrets_dir: Path | None,
        clock: Clock | None,
        side: Callable[[WorkerSide], WorkerSide],
        shared: bool,
        artifacts: str | None,
        reload: bool,
        tracer: Tracer | None,
    ) -> None:
        self.store = store
        self.home = home
        self.project = project
        self.logs = FileLogs(home / "logs")
        self.artifacts = open_artifacts(artifacts or home / "artifacts")
        self.evaluator = CelEvaluator()
        self._slots = slots or max(16, 4 * (os.cpu_count() or 1))
        self._pools = pools
        self._policy = policy
        self._secrets_dir = secrets_dir
        self._clock = clock or SystemClock()
        self._side = side
        self._shared = shared
        self._reload = reload
        self._tracer = tracer
        self._engine: Engine | None = None
        self._worker: Worker | None = None
        self._turning: asyncio.Task[None] | None = None
        self._watches = Watches()
        self._registered: dict[str, VersionRow] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        home: Path,
        *,
        database_url: str | None = None,
        project: str = "default",
        slots: int | None = None,
        pools: Mapping[str, int] = MappingProxyType({}),
        http_allow: Sequence[str] = (),
        secrets_dir: Path | None = None,
        artifacts: str | None = None,
        own: bool = True,
        go_on: bool = True,
        reload: bool = False,
        tracer: Tracer | None = None,
        clock: Clock | None = None,
        side: Callable[[WorkerSide], WorkerSide] = lambda side: side,
    ) -> AsyncIterator[Embedded]:
        """Open a home folder: an absolute path that exists. With `own`, this process decides for every run in it; raises
        StoreUnavailable when another one does. Without `go_on` it leaves alone what was cut off earlier, but for runs
        that a command asks for. `pools`: slots by name; a pool that is not there does not limit. `artifacts` None: a folder in home. `reload`: import users' files again when they have changed. `tracer`: makes a span for each attempt. `clock` and `side` (what stands between broker and worker) are for tests."""
        shared = database_url is not None and not database_url.startswith("sqlite")
        store = await open_store(database_url or f"sqlite:///{home}/headrace.db")
        policy = HttpPolicy(allow=http_allow, allow_loopback=True, told=_logger.warning)
        try:
            opened = cls(
                store,
                home,
                project=project,
                slots=slots,
                pools=pools,
                policy=policy,
                secrets_dir=secrets_dir,
                clock=clock,
                side=side,
                shared=shared,
                artifacts=artifacts,
                reload=reload,
                tracer=tracer,
            )
        except BaseException:
            await store.close()
            raise
        try:
            if own:
                await opened.take_over(go_on=go_on)
            yield opened
        finally:
            await opened.close()

    # -- owning ---------------------------------------------------------------------------------------------------------

    @property
    def owns(self) -> bool:
        """Whether this process decides."""
        return self._engine is not None

    @property
    def engine(self) -> Engine | None:
        """The engine that decides here, where this process owns the home: to be woken, and told whom to tell."""
        return self._engine

    @property
    def worker(self) -> Worker | None:
        """The worker beside that engine."""
        return self._worker

    @property
    def turning(self) -> asyncio.Task[None] | None:
        """The engine at work: it ends when the home is closed, or with the fault that ended it."""
        return self._turning

    def hurry(self) -> None:
        """While it is being closed: wait no longer for tasks to end."""
        if self._worker is not None:
            self._worker.hurry()

    @property
    def left(self) -> int:
        """How many live runs of the home this process leaves alone."""
        return 0 if self._engine is None else self._engine.left

    async def take_over(self, only: int | None = None, *, go_on: bool = True) -> None:
        """Become the owner and go on with what is live; `only`: with this run alone."""
        if self._shared and await self.store.has_owner(PART):  # a SQLite file says so itself, and who it is
            raise StoreUnavailable(
                "Another process runs the workflows of this database now. Wait for it, or use another database; "
                "headrace runs list shows what it runs, headrace trigger hands it more."
            )
        broker = MemoryBroker(parts=1, inboxes=1)
        engine = Engine(
            self.store,
            broker.engine_side(),
            self.evaluator,
            self.artifacts,
            self._clock,
            part=PART,
            engine_id=f"embedded-{os.getpid()}",
            settings=EngineSettings(
                any_queue=True,
                only=None if only is None else frozenset((only,)),
                leave_live=not go_on,
                pools=self._pools,
            ),
            resolver=authored.resolver(self.store),
            check_params=authored.checker(self.evaluator),
        )
        engine.listen(self._watches.heard, self._watches.set_aside)
        await engine.start()
        self._engine = engine
        worker = Worker(
            self._side(broker.worker_side("embedded", 0)),
            worker_id="embedded",
            slots=self._slots,
            artifacts=self.artifacts,
            logs=self.logs,
            secrets=Secrets.usual(self._secrets_dir),
            http_policy=self._policy,
            state_folder=self.home / "processes",
            ahead=64,
            reload=self._reload,
            tracer=self._tracer,
        )
        await worker.start()
        self._worker = worker
        self._turning = asyncio.create_task(engine.run(), name="headrace-engine")
        self._turning.add_done_callback(self._watches.broke)

    async def close(self) -> None:
        """Stop what runs, give up the home. Raises what the engine has failed with, when all the rest is closed."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self.store.close)
            closing.callback(self.logs.close)
            closing.push_async_callback(self._turned)
            if self._engine is not None:
                closing.push_async_callback(self._engine.stop)
            if self._worker is not None:
                closing.push_async_callback(self._worker.stop)

    async def _turned(self) -> None:
        if self._turning is not None:
            with suppress(asyncio.CancelledError):
                await self._turning

    # -- runs -----------------------------------------------------------------------------------------------------------

    async def register(self, plan: Plan) -> VersionRow:
        """A new version of the workflow, or the existing one of the same hash."""
        known = self._registered.get(plan.hash)
        if (
            known is None
            or known.description != plan.workflow.description
            or known.tags != plan.workflow.tags
        ):
            known = await self.store.register(authored.version_row(plan, self.project, time.time()))
            self._registered[plan.hash] = known
        return known

    async def submit(
        self,
        plan: Plan,
        params: Mapping[str, Json],
        *,
        trigger: Mapping[str, Json],
        folder: str | None = None,
        file: str | None = None,
        priority: str | None = None,
        key: str | None = None,
        event: Json = None,
        select: Sequence[str] = (),
        exclude: Sequence[str] = (),
        act: Act | None = None,
    ) -> RunRow:
        """Check the parameters and start a run, or the selected part of one; `act` is noted about it. Raises InvalidWorkflow (invalid_parameter) with all that is
        wrong."""
        now = self._clock.now()
        version = await self.register(plan)
        new = new_run(
            plan,
            version,
            params,
            now=now,
            parts=1,
            trigger=trigger,
            check=authored.checker(self.evaluator),
            folder=folder,
            file=file,
            priority=priority,
            key=key,
            event=event,
            select=select,
            exclude=exclude,
        )
        created = await self._watches.starting(self.store.create_run(new, act=about(act, new)))
        if self._engine is not None:
            if not created.existed:
                row = new_row(new, created.no)
                self._engine.begin(row, plan)
                return row
            await self._engine.take_up(created.no)
        elif not await self.store.has_owner(PART):
            await self.take_over(only=created.no)
        return await row_of(self.store, new, created)

    async def going_on(self) -> list[RunRow]:
        """The runs that this process is deciding and that have not ended, oldest first; paused ones stand still."""
        if self._engine is None:
            return []
        leaves = self._engine.leaves
        aside = self._watches.aside
        return [
            row for row in await self.live() if not row.paused and not leaves(row.no) and row.no not in aside
        ]

    async def live(self) -> list[RunRow]:
        """The runs of this home that have not ended, oldest first."""
        rows = [await self.store.run(no) for no in await self.store.live_runs(PART)]
        return [row for row in rows if row is not None]

    async def watch(self, row: RunRow) -> AsyncIterator[Change]:
        """The run's changes until it is final: from its beginning where this process has just submitted it, from its command
        where it has given one, else from now on; where another process decides, since `row` was read. Raises
        NobodyDecides where no engine lives any more that would end it."""
        plan = await self.plan(row.plan)
        if self._engine is None:
            async for change in follow_history(self.store, plan, row, PART):
                yield change
            return

        async for change in self._watches.follow(plan, row.no, partial(self._state, row.no)):
            yield change

    async def wait(self, row: RunRow) -> RunState:
        """The run's final state, once it has one. Cheaper than to watch it."""
        if self._engine is not None:
            return await self._watches.end(row.no, partial(self._state, row.no))
        async for _ in self.watch(row):
            pass
        return await self._state(row.no)

    async def _state(self, run: int) -> RunState:
        row = await self.store.run(run)
        return RunState.QUEUED if row is None else RunState(row.state)

    async def plan(self, plan_hash: str) -> Plan:
        """The stored plan of that hash. Raises StoreUnavailable when there is none."""
        if self._engine is not None:
            return (await self._engine.plans.get(plan_hash)).plan
        return await stored_plan(self.store, plan_hash)

    # -- commands -------------------------------------------------------------------------------------------------------

    async def command(self, run: int, kind: str, body: Mapping[str, Any], *, act: Act | None = None) -> None:
        """Post a command and wait until an engine has decided about it. Where no engine lives this process becomes the
        owner, for this run alone. Raises OwnerSilent."""
        row = command_row(PART, run, kind, dict(body), time.time())
        await self._watches.keep(run, partial(self._state, run))
        posted = await self.store.post(row, act=act)
        if self._engine is None and not await self.store.has_owner(PART):
            with suppress(StoreUnavailable):  # somebody was faster
                await self.take_over(only=run)
        if self._engine is not None:
            self._engine.wake()
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                async for _ in until_taken(self.store, PART, posted):
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            raise OwnerSilent(
                f"The process that owns {self.home} has not taken the command within {ANSWER_WITHIN:.0f} s. "
                "It stays in the inbox and takes effect when an engine reads it."
            ) from None
