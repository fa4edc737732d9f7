"""`headrace worker`: executes tasks of the queues it listens on, for the engines of a cluster."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli import journal
from headrace.cli.failure import Status, Stop
from headrace.cli.here import go
from headrace.cli.output import say
from headrace.cli.watched import MetricsFlag, watch
from headrace.cli.where import prepare

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from headrace.cli.settings import Settings
    from headrace.engine.ports.artifacts import LogWriter
    from headrace.runners.identity import Identity
    from headrace.runners.worker import Worker


def worker(
    *,
    queues: Annotated[str, Parameter(help="The queues to listen on, with commas.")] = "default",
    concurrency: Annotated[int | None, Parameter(help="Tasks at once [by the machine].")] = None,
    app_dir: Annotated[
        Path, Parameter(help="The folder that holds workflows, their modules and scripts.")
    ] = Path(),
    labels: Annotated[str, Parameter(help="What tasks may ask for: zone=eu,gpu=yes.")] = "",
    id: Annotated[
        str | None, Parameter(help="Its name, the same after a restart [host name and home].")
    ] = None,
    grace: Annotated[float, Parameter(help="Seconds that running tasks have to end after SIGTERM.")] = 30.0,
    home: Annotated[
        Path | None, Parameter(help="Folder for what it keeps over a restart [.headrace].")
    ] = None,
    metrics: MetricsFlag = None,
) -> int:
    """Execute tasks for the engines of a cluster.

    It needs Kafka (HEADRACE_KAFKA) and the artifact store (HEADRACE_ARTIFACTS), no database. A task runs beside the
    file of its workflow where that lies below --app-dir, else in --app-dir itself. SIGTERM or Ctrl-C: it takes nothing
    more, hands back what it has not started, and ends when its tasks have, or their time is over; a second signal
    stops them at once. `headrace workers drain` has it end as SIGTERM does, but gives its tasks all the time they take.
    """
    from headrace.cli.settings import load_settings

    settings = load_settings({"home": home, "slots": concurrency or None, "metrics": metrics}).settings
    if not settings.kafka:
        raise Stop(
            "a worker takes its tasks from Kafka, and HEADRACE_KAFKA names none.",
            hint="Set it to the bootstrap servers, host:port. Without a cluster, headrace run needs no worker.",
            status=Status.SERVICE,
        )
    if concurrency is not None and concurrency < 1:
        raise Stop(f"--concurrency: {concurrency} tasks at once are none.", hint="--concurrency 16")
    if not app_dir.is_dir():
        raise Stop(f"--app-dir: there is no folder {app_dir}.")
    listens, shows = _queues(queues), _labels(labels)
    return go(_serve(settings, listens, shows, app_dir, id, grace))


async def _serve(
    settings: Settings,
    queues: list[str],
    labels: dict[str, str],
    app_dir: Path,
    name: str | None,
    grace: float,
) -> int:
    journal.keep(settings.log)
    identity = _identity(prepare(settings.home), name)
    logs = None
    closing = AsyncExitStack()
    try:
        from headrace.api.operated.tracing import tracing
        from headrace.engine.broker.streams.worker_logs import KafkaLogs

        logs = KafkaLogs(settings.kafka_settings, identity.id)
        tracer = closing.enter_context(tracing("headrace-worker"))
        made = _made(settings, identity, queues, labels, app_dir, logs, tracer)
        await watch(settings.metrics, closing, of_worker=made)
        ending = asyncio.Event()

        def end() -> None:
            if ending.is_set():
                made.hurry()
            elif made.dismissed.is_set():  # nothing limits its tasks so far
                loop.call_later(grace, made.hurry)
            ending.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        starting = asyncio.create_task(made.start())
        interrupted = asyncio.create_task(ending.wait())
        await asyncio.wait((starting, interrupted), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return Status.OK
        await starting
        say(_introduced(made, queues, labels, app_dir))
        reasons = [
            interrupted,
            asyncio.create_task(made.displaced.wait()),
            asyncio.create_task(made.dismissed.wait()),
        ]
        await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        for reason in reasons:
            reason.cancel()
        if made.displaced.is_set():
            await made.stop(0.0)
            raise Stop(
                f"Another process has started as worker {made.id}; this one has ended.",
                hint="Give each worker an --id of its own, or none.",
                status=Status.SERVICE,
            )
        running = f"Worker {made.id} takes nothing more: {_counted(made.running, 'task')} running"
        if ending.is_set():
            say(f"{running}, {grace:g} s to end. Once more ends it at once.")
            await made.stop(grace)
        else:
            say(f"{running}. It was asked to leave, and does when they have ended.")
            await made.stop(None)
        if made.unsent:
            say(
                f"{_counted(made.unsent, 'report')} could not be sent; results among them are sent at the next start."
            )
        return Status.OK
    finally:
        await closing.aclose()
        if logs is not None:
            await asyncio.to_thread(logs.close)
        identity.release()


def _made(
    settings: Settings,
    identity: Identity,
    queues: list[str],
    labels: dict[str, str],
    app_dir: Path,
    logs: LogWriter,
    tracer: Tracer | None,
) -> Worker:
    from headrace.cli.files import workflows_below
    from headrace.engine.artifacts import open_artifacts
    from headrace.engine.broker.kafka.worker_side import KafkaWorkerSide
    from headrace.runners.app_dir import AppDir
    from headrace.runners.http_policy import HttpPolicy
    from headrace.runners.secrets import Secrets
    from headrace.runners.worker import Worker

    return Worker(
        KafkaWorkerSide(settings.kafka_settings, identity.id, queues),
        worker_id=identity.id,
        queues=queues,
        labels=labels,
        slots=settings.slots or max(16, 4 * (os.cpu_count() or 1)),
        app_dir=AppDir(app_dir, workflows_below),
        artifacts=open_artifacts(settings.artifact_store),
        logs=logs,
        secrets=Secrets.usual(settings.secrets_dir),
        http_policy=HttpPolicy(allow=settings.http_allow),
        state_folder=identity.folder,
        tracer=tracer,
    )


def _identity(home: Path, name: str | None) -> Identity:
    from headrace.runners.identity import NameTaken, claim

    try:
        return claim(home, name)
    except ValueError as error:
        raise Stop(f"--id: {error}") from None
    except NameTaken as error:
        raise Stop(str(error), hint="Give another --id, or another --home.", status=Status.SERVICE) from None
    except OSError as error:
        raise Stop(
            f"{home} cannot be used as the home folder: {error.strerror or error}.",
            hint="Give another with --home or HEADRACE_HOME.",
            status=Status.SERVICE,
        ) from None


def _queues(text: str) -> list[str]:
    from headrace.dsl.words import QUEUE_NAME

    names = list(dict.fromkeys(name for name in text.replace(",", " ").split()))
    for name in names:
        if QUEUE_NAME.fullmatch(name) is None:
            raise Stop(f"--queues: {name!r} is no queue.", hint="Use a-z, 0-9, dots, _ and -, at most 100.")
    if not names:
        raise Stop("--queues: a worker listens on at least one queue.", hint="--queues default")
    return names


def _labels(text: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for pair in text.replace(",", " ").split():
        name, equals, value = pair.partition("=")
        if not name or not equals or not value:
            raise Stop(f"--labels: {pair!r} is not written as name=value.", hint="--labels zone=eu,gpu=yes")
        labels[name] = value
    return labels


def _introduced(made: Worker, queues: list[str], labels: dict[str, str], app_dir: Path) -> str:
    shown = ", ".join(f"{name}={value}" for name, value in labels.items()) or "none"
    return (
        f"Worker {made.id}: queues {', '.join(queues)}; {made.slots} slots; labels {shown}; "
        f"runs {', '.join(made.kinds)}; code in {app_dir.resolve()}"
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
