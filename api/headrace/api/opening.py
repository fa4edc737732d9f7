"""Opening an office: over an engine in this process, or beside the engines of a cluster. No Litestar here.

Whoever opens one closes it by leaving: what was opened on the way is closed in the opposite order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from headrace.api.asking.room import MOST, Room
from headrace.api.office import ApiStore, Office
from headrace.engine.artifacts import open_artifacts, open_logs
from headrace.engine.cache import PREFIX, open_cache
from headrace.engine.calendars import IanaCalendar
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.broker import BrokerUnavailable
from headrace.engine.ports.cache import Degraded
from headrace.engine.shell.clock import SystemClock
from headrace.engine.shell.plans import Plans
from headrace.engine.shell.schedules.firing import Firing
from headrace.engine.shell.schedules.ticking import Ticker
from headrace.engine.shell.telling import Teller
from headrace.engine.store import open_store
from headrace.runners import authored
from headrace.runners.secrets import Secrets

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from headrace.engine.broker.kafka.nudger import Nudger
    from headrace.engine.broker.kafka.settings import KafkaSettings
    from headrace.runners.embedded import Embedded

_logger = logging.getLogger(__name__)

AGAIN_AFTER = 5.0
"""Seconds between two tries to reach Kafka for nudging."""


@asynccontextmanager
async def open_embedded(
    home: Path,
    *,
    database_url: str | None = None,
    project: str = "default",
    folder: Path | None = None,
    slots: int | None = None,
    pools: Mapping[str, int] = MappingProxyType({}),
    http_allow: Sequence[str] = (),
    secrets_dir: Path | None = None,
    hidden: Sequence[str] = (),
    artifacts: str | None = None,
    folders: Mapping[str, str] | None = None,
    reload: bool = False,
    tracer: Tracer | None = None,
) -> AsyncIterator[tuple[Office, Embedded]]:
    """The office over a home folder whose runs this process decides and executes.

    Args:
        home: an absolute path that exists.
        folder: where workflows lie, with their modules and children.
        pools: slots of pools by name; a pool that is not there does not limit.
        hidden: what no answer may hold, beside the secrets of tasks.
        folders: where those lie, by name, that lie elsewhere; looked at whenever a run begins.
        reload: import users' files again when they have changed.
        tracer: makes a span for each attempt.

    Raises StoreUnavailable when the home cannot be used, or another process owns it.
    """
    from headrace.api.operated.metrics import of_engine, of_worker
    from headrace.runners.embedded import Embedded

    async with AsyncExitStack() as closing:
        cache = open_cache(None)
        closing.push_async_callback(cache.close)
        teller = Teller(cache)
        closing.push_async_callback(teller.close)  # after the engine, which goes on telling until it ends
        opened = await closing.enter_async_context(
            Embedded.open(
                home,
                database_url=database_url,
                project=project,
                slots=slots,
                pools=pools,
                http_allow=http_allow,
                secrets_dir=secrets_dir,
                artifacts=artifacts,
                reload=reload,
                tracer=tracer,
            )
        )
        engine = opened.engine
        assert engine is not None
        engine.attach(teller)
        office = Office(
            store=cast("ApiStore", opened.store),
            plans=engine.plans,
            artifacts=opened.artifacts,
            logs=opened.logs,
            cache=cache,
            evaluator=opened.evaluator,
            check=authored.checker(opened.evaluator),
            nudge=lambda part: engine.wake(),
            depths=engine.depths,
            pools=pools,
            watched=(of_engine(engine.outlook), *([of_worker(worker)] if (worker := opened.worker) else [])),
            now=SystemClock().now,
            embedded=True,
            project=project,
            folder=None if folder is None else str(folder),
            folders={} if folders is None else folders,
            secrets=(*await Secrets.usual(secrets_dir).values(), *hidden),
        )
        async with _ticking(office):
            yield office, opened


@asynccontextmanager
async def _ticking(office: Office) -> AsyncIterator[None]:
    """Schedules fire meanwhile."""
    firing = Firing(
        office.plans, IanaCalendar(), office.evaluator, office.check, 1, folder_of=office.folder_of
    )
    ticker = Ticker(office.store, firing, SystemClock(), office.nudge)
    ticking = asyncio.create_task(ticker.run(), name="headrace-schedules")
    try:
        yield
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)


@asynccontextmanager
async def open_outside(
    home: Path,
    database_url: str,
    *,
    artifacts: str,
    project: str = "default",
    kafka: KafkaSettings | None = None,
    redis_url: str | None = None,
    redis_prefix: str = PREFIX,
    secrets_dir: Path | None = None,
    hidden: Sequence[str] = (),
    most_starts: int = MOST,
) -> AsyncIterator[Office]:
    """The office on a database that others decide for: the engines of a cluster, or another process of this machine.

    `kafka` None, or out of reach: nobody is nudged, and engines see what was written within a second. `redis_url` None, or
    degraded: every question is answered by the database. `most_starts`: how many runs may wait for an engine. Raises StoreUnavailable, CacheMisconfigured.
    """
    async with AsyncExitStack() as closing:
        store = await open_store(database_url)
        closing.push_async_callback(store.close)
        cache = open_cache(redis_url, prefix=redis_prefix, told=_degraded)
        closing.push_async_callback(cache.close)
        await cache.probe()
        evaluator = CelEvaluator()
        clock = SystemClock((await store.survey()).now)
        nudging = await closing.enter_async_context(_nudging(kafka))
        yield Office(
            store=cast("ApiStore", store),
            plans=Plans(store),
            artifacts=open_artifacts(artifacts),
            logs=open_logs(store, home / "logs"),
            cache=cache,
            evaluator=evaluator,
            check=authored.checker(evaluator),
            nudge=nudging.nudge,
            now=clock.now,
            project=project,
            kafka=None if kafka is None else nudging.trouble,
            has_redis=redis_url is not None,
            room=Room(store, most_starts),
            secrets=(*await Secrets.usual(secrets_dir).values(), *hidden),
        )


def _degraded(why: Degraded | None) -> None:
    if why is None:
        _logger.info("Redis answers again")
    else:
        _logger.warning("Redis cannot be used: %s. The database answers every question meanwhile.", why.why)


@asynccontextmanager
async def _nudging(kafka: KafkaSettings | None) -> AsyncIterator[Nudging]:
    """Nudges for as long as the process lives. Kafka is reached for in the background, again and again while it is away;
    what is to be said until then is said once it is there."""
    nudging = Nudging(kafka)
    if kafka is None:
        yield nudging
        return
    reaching = asyncio.create_task(nudging.reach(kafka), name="headrace-nudges")
    try:
        yield nudging
    finally:
        reaching.cancel()
        await asyncio.gather(reaching, return_exceptions=True)
        await nudging.close()


class Nudging:
    """Parts that wait to be nudged, at most one word for each. `kafka` None: nobody is."""

    def __init__(self, kafka: KafkaSettings | None) -> None:
        self._wanted: set[int] | None = None if kafka is None else set()
        self._nudger: Nudger | None = None
        self._why = "It has not been reached yet."

    def nudge(self, part: int) -> None:
        if self._nudger is None:
            if self._wanted is not None:
                self._wanted.add(part)
            return
        try:
            self._nudger.nudge(part)
        except BrokerUnavailable:  # closing: the engine looks by itself within a second
            _logger.debug("part %d was not nudged", part)

    def trouble(self) -> str | None:
        """Why Kafka cannot be used at the moment, or None."""
        if self._nudger is None:
            return self._why
        return None if self._nudger.connected else "The connection is lost; it is made again by itself."

    async def reach(self, kafka: KafkaSettings) -> None:
        """Returns when Kafka is reached; from then on the connection heals itself."""
        from headrace.engine.broker.kafka.nudger import Nudger

        while True:
            nudger = Nudger(kafka, "api")
            try:
                await nudger.start()
                break
            except BrokerUnavailable as problem:
                self._why = str(problem)
                _logger.warning("no engine is nudged: %s", problem)
                await asyncio.sleep(AGAIN_AFTER)
        self._nudger = nudger
        while self._wanted:
            nudger.nudge(self._wanted.pop())

    async def close(self) -> None:
        """Waits a moment for what was said last."""
        if self._nudger is not None:
            await self._nudger.stop()
