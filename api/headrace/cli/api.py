"""`headrace api`: the HTTP API on a database that others decide for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli import journal
from headrace.cli.failure import Status, Stop
from headrace.cli.output import say
from headrace.cli.serving import PORT, PortFlag, Signals, bound, serve, server_of
from headrace.cli.settings import mask_password
from headrace.cli.where import HERE, Where, prepare

if TYPE_CHECKING:
    from headrace.cli.settings import Settings


def api(
    *,
    host: Annotated[str, Parameter(help="The address to listen on; 0.0.0.0 is every one.")] = "127.0.0.1",
    port: PortFlag = PORT,
    no_auth: Annotated[
        bool, Parameter(help="Ask nobody who they are; on this machine alone, for trying things out.")
    ] = False,
    where: Where = HERE,
) -> int:
    """Serve the HTTP API of a database.

    Any number may serve the same one. It decides nothing: runs begin when an engine takes them, which headrace engine
    does for PostgreSQL and headrace dev for a SQLite file. Logins are signed with HEADRACE_SECRET. /docs shows every
    route; SIGTERM or Ctrl-C ends it in order.
    """
    from headrace.api.access.opening import Unsafe, check
    from headrace.api.server import run_on_uvloop

    settings = where.settings()
    try:
        check(host, settings.signing_keys, authenticate=not no_auth)
    except Unsafe as unsafe:
        raise Stop(str(unsafe)) from None
    return run_on_uvloop(_serve(settings, host, port, authenticate=not no_auth))


async def _serve(settings: Settings, host: str, port: int, *, authenticate: bool) -> int:
    from headrace.api.access.opening import open_gate
    from headrace.api.opening import open_outside
    from headrace.api.operated.tracing import tracing
    from headrace.api.server import address_of

    journal.keep(settings.log)
    with bound(host, port) as listening, Signals() as signals, tracing("headrace-api") as tracer:
        try:
            async with (
                open_outside(
                    prepare(settings.home),
                    settings.database,
                    artifacts=settings.artifact_store,
                    project=settings.project,
                    kafka=settings.kafka_settings if settings.kafka else None,
                    redis_url=settings.redis_url if settings.on_postgres else None,
                    redis_prefix=settings.redis_prefix,
                    secrets_dir=settings.secrets_dir,
                    hidden=settings.own_secrets,
                    most_starts=settings.max_starts,
                ) as office,
                open_gate(
                    office,
                    host=host,
                    keys=settings.signing_keys,
                    authenticate=authenticate,
                    proxies=settings.trusted_proxies,
                    asker_rate=settings.rate_asker,
                    address_rate=settings.rate_address,
                ) as gate,
            ):
                address = address_of(listening)
                await serve(
                    server_of(office, gate, settings, tracer),
                    listening,
                    signals,
                    lambda: say(
                        f"API of {mask_password(settings.database)} at {address}; {address}/docs shows it"
                    ),
                )
        except asyncio.CancelledError:
            if not signals.heard:
                raise
    return Status.OK
