"""`headrace engine`: one of the engines that share the parts of a PostgreSQL database and decide for its runs."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import socket
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from headrace.cli import journal, telling
from headrace.cli.failure import Status, Stop
from headrace.cli.here import go
from headrace.cli.output import say
from headrace.cli.settings import mask_password
from headrace.cli.watched import MetricsFlag, watch
from headrace.cli.where import HERE, Where, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from headrace.cli.settings import Settings
    from headrace.engine.ports.store import Store
    from headrace.engine.shell.engine import Engine

    Beside: TypeAlias = Callable[[], Coroutine[None, None, None]]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def engine(
    *,
    id: Annotated[str | None, Parameter(help="Its name among the live engines [host, and drawn].")] = None,
    grace: Annotated[
        float, Parameter(help="Seconds after SIGTERM in which what was sent must be acknowledged.")
    ] = 10.0,
    no_intake: Annotated[
        bool, Parameter(help="Leave job-requests, job-logs and job-dlq to other engines.")
    ] = False,
    metrics: MetricsFlag = None,
    where: Where = HERE,
) -> int:
    """Decide for the runs of a cluster.

    It needs PostgreSQL (HEADRACE_DATABASE_URL), Kafka (HEADRACE_KAFKA) and the artifact store (HEADRACE_ARTIFACTS). With
    Redis (HEADRACE_REDIS_URL) status look-ups and live views are faster; runs go on without it. With HEADRACE_EVENTS
    job-events is told of every move. Any number of engines
    share the parts of the database; when one comes, goes or dies, the others rearrange by themselves. SIGTERM or Ctrl-C:
    it finishes its batch, gives its parts up and ends; a second signal ends it at once, which costs nothing but the time
    until the others notice.
    """
    settings = where.settings(metrics=metrics)
    if not settings.on_postgres:
        raise Stop(
            "an engine needs a PostgreSQL database, and HEADRACE_DATABASE_URL names none.",
            hint="Set it to postgresql://user@host/name. Without a cluster, headrace run needs no engine.",
            status=Status.SERVICE,
        )
    if not settings.kafka:
        raise Stop(
            "an engine reaches its workers through Kafka, and HEADRACE_KAFKA names none.",
            hint="Set it to the bootstrap servers, host:port. Without a cluster, headrace run needs no engine.",
            status=Status.SERVICE,
        )
    if id is not None and _NAME.fullmatch(id) is None:
        raise Stop(f"--id: {id!r} is no name.", hint="Use letters, digits, dots, _ and -, at most 100.")
    return go(_serve(settings, id or _drawn(), grace, not no_intake))


def _drawn() -> str:
    """A name that no other live engine has. An engine keeps nothing between two starts, so it may be new each time."""
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:60].strip(".-_") or "engine"
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


async def _serve(settings: Settings, name: str, grace: float, intake: bool) -> int:
    journal.keep(settings.log)
    ending = asyncio.Event()

    def end() -> None:
        if ending.is_set():
            os._exit(Status.INTERRUPTED)
        ending.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    async with AsyncExitStack() as closing:
        made, beside = await _made(settings, name, closing, intake=intake)
        await watch(settings.metrics, closing, of_engine=made.outlook)
        starting = asyncio.create_task(made.start())
        interrupted = asyncio.create_task(ending.wait())
        closing.callback(interrupted.cancel)
        await asyncio.wait((starting, interrupted), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return Status.OK
        await starting
        try:
            await _until(made, interrupted, settings, beside)
            if ending.is_set():
                say(
                    f"Engine {made.id} gives up {_counted(len(made.parts), 'part')}; {grace:g} s for what is on its way. "
                    "Once more ends it at once."
                )
        finally:
            await made.stop(grace)
    return Status.OK


async def _until(
    made: Engine, interrupted: asyncio.Task[bool], settings: Settings, beside: Sequence[Beside]
) -> None:
    """Let the engine run, and say so, until it is interrupted or fails. What is `beside` begins when it has joined the others."""
    turning = asyncio.create_task(made.run(), name="headrace-engine")
    joined = asyncio.create_task(made.joined())
    await asyncio.wait((turning, joined, interrupted), return_when=asyncio.FIRST_COMPLETED)
    serving: list[asyncio.Task[None]] = []
    if joined.done():
        say(_introduced(made, settings))
        serving = [asyncio.create_task(one(), name="headrace-beside") for one in beside]
    joined.cancel()
    await asyncio.wait((turning, interrupted), return_when=asyncio.FIRST_COMPLETED)
    for one in serving:
        one.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    if turning.done():
        await turning


async def _made(
    settings: Settings, name: str, closing: AsyncExitStack, *, intake: bool
) -> tuple[Engine, Sequence[Beside]]:
    """The engine, and what it does beside the hot path."""
    from headrace.cli.beside import serve
    from headrace.engine.artifacts import open_artifacts
    from headrace.engine.broker.kafka.engine_side import KafkaEngineSide
    from headrace.engine.calendars import IanaCalendar
    from headrace.engine.expressions import CelEvaluator
    from headrace.engine.shell.clock import SystemClock
    from headrace.engine.shell.engine import Engine
    from headrace.engine.shell.plans import Plans
    from headrace.engine.shell.schedules.firing import Firing
    from headrace.engine.shell.schedules.ticking import Ticker
    from headrace.engine.shell.settings import EngineSettings
    from headrace.engine.store import open_store
    from headrace.runners import authored

    prepare(settings.home)
    store = await open_store(settings.database)
    closing.push_async_callback(store.close)
    await _check_topics(settings, store)
    evaluator = CelEvaluator()
    side, check = KafkaEngineSide(settings.kafka_settings, name), authored.checker(evaluator)
    clock = SystemClock((await store.survey()).now)
    made = Engine(
        store,
        side,
        evaluator,
        open_artifacts(settings.artifact_store),
        clock,
        part=None,
        engine_id=name,
        settings=EngineSettings.shared(
            retention_seconds=None if settings.retention is None else settings.retention * 86_400.0
        ),
        resolver=authored.resolver(store),
        check_params=check,
    )
    await telling.attach(made, settings, closing)
    if settings.events:
        from headrace.cli.announcing import announce

        await announce(made, settings, store, closing)
    firing = Firing(Plans(store), IanaCalendar(), evaluator, check, await store.parts())
    beside: list[Beside] = [Ticker(store, firing, clock, side.nudge).run]
    if intake:
        beside.append(partial(serve, settings, name, store, made.plans, check, side.nudge, clock))
    return made, beside


async def _check_topics(settings: Settings, store: Store) -> None:
    """Refuse topics that do not fit the database, all that is wrong at once. Raises Stop, BrokerUnavailable."""
    from headrace.engine.broker.kafka.topics import check

    problems = await check(settings.kafka_settings, await store.parts())
    if problems:
        raise Stop("\n  ".join(problems), status=Status.SERVICE)


def _introduced(made: Engine, settings: Settings) -> str:
    others = [name for name in made.engines if name != made.id]
    beside = f"beside {', '.join(others)}" if others else "alone"
    return (
        f"Engine {made.id}, {beside}: {len(made.parts)} of {made.of_parts} parts of "
        f"{mask_password(settings.database)}; {_counted(made.workers, 'worker') if made.workers else 'no worker'} heard so far"
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
