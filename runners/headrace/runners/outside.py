"""A database that engines decide for, seen from a process that is none of them: it writes facts into the inbox, nudges the
engine that owns the part, and follows what is committed. It never decides (docs/design/protocol.md, A1 and A2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headrace.engine.artifacts import open_artifacts, open_logs
from headrace.engine.broker.kafka.settings import KafkaSettings
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Json
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.acts import Act
from headrace.engine.ports.broker import BrokerUnavailable
from headrace.engine.ports.cache import Cache
from headrace.engine.ports.store import RunRow, Store
from headrace.engine.shell.submission import new_run
from headrace.engine.shell.views import Change
from headrace.engine.store import open_store
from headrace.runners import authored
from headrace.runners.submitting import (
    ANSWER_WITHIN,
    LOOK_EVERY,
    about,
    command_row,
    row_of,
    stored_plan,
    until_taken,
)
from headrace.runners.watching import follow_history, follow_words

_logger = logging.getLogger(__name__)

ALONE_WITHIN = 3.0
"""Seconds without any live engine after which nobody is expected to take it soon: parts change hands faster."""


class NobodyAnswers(Exception):
    """The command is kept, but no engine has taken it."""


class Outside:
    """An open database with live engines. Made by `open`."""

    owns = False
    """Whether this process decides: never."""

    def __init__(
        self,
        store: Store,
        home: Path,
        artifacts: str,
        project: str,
        nudge: Callable[[int], None],
        cache: Cache | None = None,
    ) -> None:
        self.store = store
        self.home = home
        self.project = project
        self.artifacts = open_artifacts(artifacts)
        self.logs = open_logs(store, home / "logs")
        self._check = authored.checker(CelEvaluator())
        self._nudge = nudge
        self._cache = cache

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        home: Path,
        database_url: str,
        *,
        artifacts: str,
        project: str = "default",
        kafka: KafkaSettings | None = None,
        cache: Cache | None = None,
    ) -> AsyncIterator[Outside]:
        """`kafka` None, or out of reach: nobody is nudged, and engines see what was written within a second. `cache` None, or
        degraded: runs are followed by looking at their history again and again. Closing it is the caller's.

        Raises StoreUnavailable.
        """
        store = await open_store(database_url)
        try:
            async with _nudging(kafka) as nudge:
                yield cls(store, home, artifacts, project, nudge, cache)
        finally:
            await store.close()

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
        """Check the parameters and ask for a run, or for the selected part of one. Code and files are found where each worker has them: folders of this
        machine mean nothing there. `act` is noted about the run. Raises InvalidWorkflow (invalid_parameter) with all that is wrong."""
        now = (await self.store.survey()).now
        version = await self.store.register(authored.version_row(plan, self.project, now))
        new = new_run(
            plan,
            version,
            params,
            now=now,
            parts=await self.store.parts(),
            trigger=trigger,
            check=self._check,
            priority=priority,
            key=key,
            event=event,
            select=select,
            exclude=exclude,
        )
        created = await self.store.create_run(new, act=about(act, new))
        self._nudge(new.part)
        return await row_of(self.store, new, created)

    async def watch(self, row: RunRow) -> AsyncIterator[Change]:
        """The run's changes since `row` was read until it is final, as engines commit them. After a submission that is
        all of them."""
        plan = await self.plan(row.plan)
        changes = (
            follow_history(self.store, plan, row, None)
            if self._cache is None
            else follow_words(self.store, self._cache, plan, row)
        )
        async for change in changes:
            yield change

    async def wait(self, row: RunRow) -> RunState:
        """The run's final state, once it has one."""
        async for _ in self.watch(row):
            pass
        now = await self.store.run(row.no)
        return RunState.QUEUED if now is None else RunState(now.state)

    async def plan(self, plan_hash: str) -> Plan:
        """The stored plan of that hash. Raises StoreUnavailable when there is none."""
        return await stored_plan(self.store, plan_hash)

    async def command(self, run: int, kind: str, body: Mapping[str, Any], *, act: Act | None = None) -> None:
        """Post a command and wait until an engine has decided about it. Raises NobodyAnswers."""
        row = await self.store.run(run)
        assert row is not None
        now = (await self.store.survey()).now
        posted = await self.store.post(command_row(row.part, run, kind, dict(body), now), act=act)
        self._nudge(row.part)
        loop = asyncio.get_running_loop()
        began = seen_at = looked_at = loop.time()
        async for _ in until_taken(self.store, row.part, posted):
            await asyncio.sleep(LOOK_EVERY)
            at = loop.time()
            if at - looked_at >= 1.0:
                looked_at = at
                if (await self.store.survey()).engines:
                    seen_at = at
            if at - seen_at > ALONE_WITHIN:
                raise NobodyAnswers(
                    "No engine lives on this database. The command is kept and takes effect when one starts: headrace engine"
                )
            if at - began > ANSWER_WITHIN:
                raise NobodyAnswers(
                    f"The engines have not taken the command within {ANSWER_WITHIN:.0f} s. It is kept, and takes effect when "
                    "one of them reads it."
                )


@asynccontextmanager
async def _nudging(kafka: KafkaSettings | None) -> AsyncIterator[Callable[[int], None]]:
    """A nudge that costs nothing until there is something to nudge about: Kafka is reached for in the background, and what
    could not be said by then is left unsaid."""
    if kafka is None:
        yield lambda part: None
        return
    wanted: set[int] = set()
    saying: list[asyncio.Task[None]] = []

    def nudge(part: int) -> None:
        wanted.add(part)
        if all(task.done() for task in saying):
            saying.append(asyncio.create_task(_nudge(kafka, wanted)))

    try:
        yield nudge
    finally:
        if saying:
            _, late = await asyncio.wait(saying, timeout=2.0)
            for task in late:
                task.cancel()
            await asyncio.gather(*saying, return_exceptions=True)


async def _nudge(kafka: KafkaSettings, wanted: set[int]) -> None:
    from headrace.engine.broker.kafka.nudger import Nudger

    nudger = Nudger(kafka, "command")
    try:
        await nudger.start()
    except BrokerUnavailable as problem:
        _logger.info("no engine was nudged: %s", problem)
        return
    try:
        while wanted:
            nudger.nudge(wanted.pop())
    finally:
        await nudger.stop()
