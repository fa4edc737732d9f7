"""`headrace dev [DIR]`: everything in one process, for whoever is writing workflows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.cli import journal
from headrace.cli.failure import Status, Stop
from headrace.cli.output import say
from headrace.cli.serving import PORT, PortFlag, Signals, bound, serve, server_of
from headrace.cli.where import HERE, Where, prepare

if TYPE_CHECKING:
    from headrace.cli.flows import Flows
    from headrace.cli.settings import Settings

HOST = "127.0.0.1"


def dev(folder: Path = Path(), /, *, port: PortFlag = PORT, where: Where = HERE) -> int:
    """API, engine and worker in one process, for a folder.

    The workflows of the folder are registered, and again whenever a file changes; code is read again too. Nobody is asked who
    they are, so it answers this machine alone. Ctrl-C ends it; runs that have not ended go on with the next start.

    Parameters
    ----------
    folder
        Where the workflows lie; the current one unless given.
    """
    if not folder.is_dir():
        raise Stop(f"there is no folder {folder}.", hint="headrace init makes one with two workflows.")
    settings = where.settings()
    if settings.kafka or settings.on_postgres:
        raise Stop(
            "dev keeps everything on this machine, and a cluster is named by HEADRACE_KAFKA or HEADRACE_DATABASE_URL.",
            hint="Unset them; or start headrace engine, worker and api for the cluster.",
        )
    from headrace.api.server import run_on_uvloop

    return run_on_uvloop(_serve(settings, folder.absolute(), port))


async def _serve(settings: Settings, folder: Path, port: int) -> int:
    from headrace.api.access.opening import open_gate
    from headrace.api.opening import open_embedded
    from headrace.api.operated.tracing import tracing
    from headrace.api.server import address_of
    from headrace.cli.flows import Flows

    journal.keep(settings.log)
    folders: dict[str, str] = {}
    with bound(HOST, port) as listening, Signals() as signals, tracing("headrace-dev") as tracer:
        try:
            async with (
                open_embedded(
                    prepare(settings.home),
                    database_url=settings.database,
                    project=settings.project,
                    folder=folder,
                    folders=folders,
                    slots=settings.slots,
                    pools=settings.pools,
                    http_allow=settings.http_allow,
                    secrets_dir=settings.secrets_dir,
                    hidden=settings.own_secrets,
                    artifacts=settings.artifacts,
                    reload=True,
                    tracer=tracer,
                ) as (office, home),
                open_gate(office, host=HOST, authenticate=False) as gate,
            ):
                flows = Flows(folder, office.store, settings.project, folders)
                await flows.register()
                following = asyncio.create_task(flows.follow(), name="headrace-flows")
                try:
                    await serve(
                        server_of(office, gate, settings, tracer),
                        listening,
                        signals,
                        lambda: _introduce(folder, address_of(listening), flows),
                        home.hurry,
                        [task for task in (home.turning, following) if task is not None],
                    )
                finally:
                    following.cancel()
                    await asyncio.gather(following, return_exceptions=True)
                if running := await home.going_on():
                    count = "1 run goes" if len(running) == 1 else f"{len(running)} runs go"
                    say(f"{count} on with the next start. Ctrl-C once more waits for no task.")
        except asyncio.CancelledError:
            if not signals.heard:
                raise
    return Status.OK


def _introduce(folder: Path, address: str, flows: Flows) -> None:
    names = flows.names
    say(f"Headrace serves {folder} at {address}")
    say(f"  workflows  {', '.join(names) or 'none yet; save one here and it is registered'}")
    say(f"  API        {address}/docs")
    if names:
        start = f"curl -X POST {address}/api/v1/workflows/{names[0]}/runs --json '{{}}'"
        say(f"  start one  {start}")
        say(f"  or         headrace trigger {names[0]} --wait")
    say("Ctrl-C ends it.")
