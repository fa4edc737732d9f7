"""What a command opens: a station to look at runs or to steer them, on this machine or on a server; or what a station here rests on,
the store to read and the embedded engine.

Everything heavy is imported when it is opened.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.cli.failure import Status, Stop
from headrace.cli.where import prepare

if TYPE_CHECKING:
    from headrace.api.client.aio.client import AsyncClient
    from headrace.cli.settings import Settings
    from headrace.cli.station import Station
    from headrace.engine.core.plan import Plan
    from headrace.engine.ports.cache import Cache
    from headrace.engine.ports.store import Store
    from headrace.runners.embedded import Embedded
    from headrace.runners.outside import Outside

T = TypeVar("T")


def go(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine on a loop of its own."""
    return asyncio.run(work)


@asynccontextmanager
async def looking(settings: Settings) -> AsyncIterator[Station]:
    """The station for commands that only look. Raises Stop when nothing was ever run here."""
    if settings.server is not None:
        async with _serving(settings) as there:
            yield there
        return
    async with reading(settings) as store, caching(settings) as cache:
        from headrace.cli.local import LocalStation

        yield LocalStation(settings, store, cache=cache)


@asynccontextmanager
async def steered(settings: Settings) -> AsyncIterator[Station]:
    """The station for commands that start runs or command them."""
    if settings.server is not None:
        async with _serving(settings) as there:
            yield there
        return
    async with steering(settings) as home:
        from headrace.cli.local import LocalStation

        yield LocalStation(settings, home.store, home=home)


@asynccontextmanager
async def keeping(settings: Settings) -> AsyncIterator[Station]:
    """The station for commands that write what nobody has to decide about: the store is made where there is none."""
    if settings.server is not None:
        async with _serving(settings) as there:
            yield there
        return
    from headrace.cli.local import LocalStation
    from headrace.engine.store import open_store

    prepare(settings.home)
    store = await open_store(settings.database)
    try:
        yield LocalStation(settings, store)
    finally:
        await store.close()


@asynccontextmanager
async def _serving(settings: Settings) -> AsyncIterator[Station]:
    from headrace.cli.remote import RemoteStation

    async with server(settings) as client:
        yield RemoteStation(client)


@asynccontextmanager
async def server(settings: Settings) -> AsyncIterator[AsyncClient]:
    """The client of the server that is named. Raises Stop for an address that is none."""
    from headrace.api.client.aio.client import AsyncClient

    assert settings.server is not None
    token = None if settings.token is None else settings.token.get_secret_value()
    try:
        client = AsyncClient(settings.server, token, project=settings.asked_project)
    except ValueError as error:
        raise Stop(f"--server: {error}.") from None
    async with client:
        yield client


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Store]:
    """The store, for commands that only look. Raises Stop when nothing was ever run here."""
    from headrace.engine.store import open_store

    if settings.database_url is None and not (settings.home / "headrace.db").exists():
        raise Stop(
            f"there is nothing in {settings.home} yet.",
            hint="Run something first (headrace run FILE), or name the folder with --home.",
        )
    store = await open_store(settings.database)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def embedded(settings: Settings, *, own: bool, go_on: bool = True) -> AsyncIterator[Embedded]:
    """The engine in this process; with `own` it must own the store, else it does so only when nobody else does.
    Without `go_on` it leaves alone what was cut off here earlier."""
    from headrace.runners.embedded import Embedded

    if settings.kafka:
        raise Stop(
            "this command works on this machine, and HEADRACE_KAFKA names a cluster.",
            hint="Unset it; or register the workflow and trigger it, so that the cluster runs it.",
            status=Status.USAGE,
        )
    home = prepare(settings.home)
    async with Embedded.open(
        home=home,
        database_url=settings.database,
        project=settings.project,
        slots=settings.slots,
        pools=settings.pools,
        http_allow=settings.http_allow,
        secrets_dir=settings.secrets_dir,
        artifacts=settings.artifacts,
        own=own,
        go_on=go_on,
    ) as opened:
        yield opened


@asynccontextmanager
async def steering(settings: Settings) -> AsyncIterator[Embedded | Outside]:
    """What starts runs and commands them: through live engines where there are some, or are to be (HEADRACE_KAFKA); else
    this process decides, when nobody else does."""
    if not await has_engines(settings):
        async with embedded(settings, own=False) as here:
            yield here
        return
    from headrace.runners.outside import Outside

    async with (
        caching(settings) as cache,
        Outside.open(
            prepare(settings.home),
            settings.database,
            artifacts=settings.artifact_store,
            project=settings.project,
            kafka=settings.kafka_settings if settings.kafka else None,
            cache=cache,
        ) as outside,
    ):
        yield outside


@asynccontextmanager
async def caching(settings: Settings) -> AsyncIterator[Cache | None]:
    """The cluster's cache, where one is named; whether it answers is another matter."""
    if settings.redis_url is None or not settings.on_postgres:
        yield None
        return
    from headrace.engine.cache import open_cache

    cache = open_cache(settings.redis_url, prefix=settings.redis_prefix)
    try:
        yield cache
    finally:
        await cache.close()


async def has_engines(settings: Settings, store: Store | None = None) -> bool:
    """Whether a cluster's engines decide here. A process that runs workflows embedded is none, and neither is a SQLite
    file's."""
    if not settings.on_postgres:
        return False
    if settings.kafka:
        return True
    if store is None:
        async with reading(settings) as opened:
            return await has_engines(settings, opened)
    return any(not name.startswith("embedded-") for name in (await store.survey()).engines)


async def plan_of(store: Store, plan_hash: str) -> Plan:
    """The plan of a stored hash, built again from its document. Raises Stop."""
    from headrace.engine.shell.plans import build

    document = await store.plan(plan_hash)
    if document is None:
        raise Stop(f"the store has no plan {plan_hash}.", status=Status.SERVICE)
    return build(document)


def me() -> str:
    """Who asks, for the record of a run."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
