"""Reaching PostgreSQL: addresses, what its errors mean, and the engine's own connection.

The engine commits over one connection of its own, outside the pool: it holds the session lock that says "this engine is alive",
and it is known by its process id, so that a successor can end a statement it has left behind.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from headrace.engine.ports.store import OutcomeUnknown, StoreUnavailable
from headrace.engine.store import ownership

T = TypeVar("T")
CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 30.0
"""After so long without an answer the engine's connection counts as lost, and what was sent as unknown."""

KEEPALIVE = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
"""The server notices within half a minute that a machine is gone, and frees its locks."""

RETRIES = 6
RETRY_SECONDS = 0.02  # before the first retry, doubled each time, drawn between half and whole

GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    EOFError,
)
"""The connection ended, before, while or after the server worked."""

AGAIN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.CheckViolationError)
"""The server has undone everything and asks for another try. The last: a row was on its way into the default partition while its
week was made; no other constraint of ours is checked."""


_OF_THE_SERVER = frozenset(("25", "40", "53", "55", "57", "58", "XX"))
"""Classes of SQLSTATE: read-only, rolled back, no resources, locked, cancelled by an operator or a time limit, files, itself."""

_OF_THE_PLACE = ("08", "28", "3D000", "42501", "42P01")
"""How SQLSTATEs begin that somebody puts right from outside: connection, password, no database, rights, no tables."""


class Address:
    """Where a database is, by a URL `postgresql://user:password@host:port/name`. Raises StoreUnavailable."""

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise StoreUnavailable(f"The database URL cannot be read: {error}") from error
        except ValueError as error:  # which quotes what stands there: it may be a password
            raise StoreUnavailable(
                "The database URL cannot be read: its port is no number. Write postgresql://user:password@host:5432/name, "
                "with @ and : in the password as %40 and %3A."
            ) from error
        self.pooled: URL = parsed.set(drivername="postgresql+asyncpg")
        self.direct = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        self.shown = parsed.set(drivername="postgresql").render_as_string(hide_password=True)

    async def connect(self, name: str, patience: float | None = None) -> Any:
        """A connection of the driver's own, whose statements may take `patience` seconds. Raises StoreUnavailable."""
        try:
            return await asyncpg.connect(
                self.direct,
                timeout=CONNECT_SECONDS,
                command_timeout=patience,
                server_settings={
                    "application_name": name,
                    "default_transaction_isolation": "read committed",
                    **KEEPALIVE,
                },
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, ValueError) as error:
            raise self.unavailable(error) from error

    def unavailable(self, error: BaseException) -> StoreUnavailable:
        """What the error means for whoever runs Headrace, and what to do."""
        cause: BaseException = error
        while isinstance(cause, DBAPIError) and cause.orig is not None:
            cause = cause.orig.__cause__ or cause.orig
        said = str(cause) or type(cause).__name__
        return StoreUnavailable(f"The database {self.shown} {_advice(cause)} (PostgreSQL: {said})")


def _advice(error: BaseException) -> str:
    code = str(getattr(error, "sqlstate", None) or "")
    if code == "53100":
        return "cannot grow: its disk is full. Free some space; writing goes on by itself."
    if code.startswith("53"):
        return "has no resources left (connections or memory). Lower the number of processes or raise its limits."
    if code.startswith("28"):
        return "refuses the user or password. Check HEADRACE_DATABASE_URL and pg_hba.conf."
    if code == "3D000":
        return "does not exist. Create it, then run `headrace db upgrade`."
    if code == "42501":
        return "does not let this user do that. Grant it the rights on its tables."
    if code == "25006":
        return "is read-only, so it is a standby. Point HEADRACE_DATABASE_URL at the primary."
    if code == "42P01":
        return "lacks tables of Headrace. Run `headrace db upgrade`."
    if code == "55P03":
        return "is busy: a lock was not free in time. Nothing was changed; try again."
    if code == "57P03":
        return "is starting or shutting down. Try again in a moment."
    if isinstance(error, PoolTimeout):
        return "has no free connection for this process: too many requests wait at once."
    if isinstance(error, TimeoutError):
        return "does not answer. Check that the server runs and that nothing stands between."
    if isinstance(error, OSError):
        return "cannot be reached. Check that the server runs, its host and its port."
    return "cannot be used now."


def lost(error: BaseException) -> bool:
    """Whether a connection ended, by an error of SQLAlchemy or of the driver."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(_driver(error), GONE)
    return isinstance(error, GONE)


def again(error: BaseException) -> bool:
    """Whether the server asks for another try."""
    return isinstance(_driver(error) if isinstance(error, DBAPIError) else error, AGAIN)


def undone(error: asyncpg.PostgresError) -> bool:
    """Whether the server gave a statement up because of how it is itself, and not because of what it was told: another try may
    do better, now or when somebody has looked after it."""
    return str(error.sqlstate or "")[:2] in _OF_THE_SERVER


def outage(error: BaseException) -> bool:
    """Whether an error tells of the server or the way to it, so that the same may be asked again later. What is left are faults
    of what was asked: the answer to them stays the same for ever."""
    cause = _driver(error) if isinstance(error, DBAPIError) else error
    if lost(error) or isinstance(cause, (OSError, PoolTimeout, asyncpg.InvalidCachedStatementError)):
        return True
    if not isinstance(cause, asyncpg.PostgresError):
        return False
    return undone(cause) or str(cause.sqlstate or "").startswith(_OF_THE_PLACE)


def _driver(error: DBAPIError) -> BaseException | None:
    return error.orig.__cause__ if error.orig is not None else None


async def retried(work: Callable[[], Awaitable[T]]) -> T:
    """What `work` returns, repeated a few times with growing, jittered pauses while the server asks for it."""
    for attempt in range(RETRIES):
        try:
            return await work()
        except (DBAPIError, *AGAIN) as error:
            if not again(error) or attempt == RETRIES - 1:
                raise
        await asyncio.sleep(RETRY_SECONDS * 2**attempt * random.uniform(0.5, 1))
    raise AssertionError("the last attempt returns or raises")


class Link:
    """The engine's own connection: opened when first needed, and again after it was lost."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Any = None
        self._owner: str | None = None
        self._turn = asyncio.Lock()
        self._pid: int | None = None
        self.left: int | None = None
        """The server's process of a connection that was lost: it may still be at work."""

    @property
    def owner(self) -> str | None:
        """The engine that this connection speaks for."""
        return self._owner

    async def become(self, owner: str) -> None:
        """Speak for the engine `owner`. Raises StoreUnavailable when another connection does so already."""
        async with self._turn:
            if self._owner not in (None, owner):
                raise StoreUnavailable(
                    f"This store is engine {self._owner} already; it cannot be {owner} too."
                )
            self._owner = owner
            try:
                await self._opened()
            except BaseException:
                if self._connection is None:
                    self._owner = None
                raise

    async def use(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """What `work` does with the connection. A connection lost on the way is an unknown outcome."""

        async def once() -> T:
            async with self._turn:
                connection = await self._opened()
                try:
                    return await work(connection)
                except GONE as error:
                    if isinstance(error, asyncpg.InterfaceError) and not connection.is_closed():
                        raise  # of the driver itself, such as an argument of the wrong type: nothing was sent
                    await self._drop()
                    raise OutcomeUnknown(
                        f"The connection to {self._address.shown} was lost after a commit was sent."
                    ) from error
                except asyncpg.InsufficientResourcesError as error:
                    raise self._address.unavailable(error) from error
                except asyncio.CancelledError:
                    await self._drop()  # the statement may still be running
                    raise

        return await retried(once)

    async def close(self) -> None:
        async with self._turn:
            connection, self._connection, self._owner = self._connection, None, None
            if connection is not None:
                await connection.close(timeout=CONNECT_SECONDS)

    async def _opened(self) -> Any:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self._connection is not None:
            await self._drop()
        name = "headrace" if self._owner is None else f"headrace engine {self._owner}"
        connection = await self._address.connect(name, patience=COMMAND_SECONDS)
        try:
            entered = self._owner is None or await ownership.enter(connection, self._owner, self.left)
        except (asyncpg.PostgresError, *GONE) as error:
            connection.terminate()
            if not outage(error):
                raise  # a fault of ours, not of the server
            raise self._address.unavailable(error) from error
        except BaseException:
            connection.terminate()
            raise
        if not entered:
            await connection.close()
            raise StoreUnavailable(
                f"Another process is engine {self._owner} on {self._address.shown}. "
                "End it, or give this one another id."
            )
        self._connection, self._pid, self.left = connection, connection.get_server_pid(), None
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self.left = self._pid
            connection.terminate()
