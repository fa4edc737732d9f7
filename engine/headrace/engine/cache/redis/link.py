"""Short calls to one server, and whether it is worth making them.

A call has a quarter of a second. The first that fails opens the circuit: from then on calls fail at once, until a probe,
tried every second in the background, has written something. A call that was cancelled or came too late takes its connection
with it, so that nobody is ever given another's answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from headrace.engine.ports.cache import CacheMisconfigured, Degraded

PROBE_SECONDS = 1.0
CONNECTIONS = 16
LATE_SECONDS = 0.05
"""A timer that fires so late says that this process stood still, not the server."""


_ADDRESS = re.compile(r"rediss?://[^/]|unix://([^@/]*@)?/.")


class Unreachable(Exception):
    """The call was not made, or its answer did not come."""


class Link:
    """`told` hears what `degraded` becomes whenever it begins or ends."""

    def __init__(
        self,
        url: str,
        *,
        probe_key: str,
        told: Callable[[Degraded | None], None] | None = None,
        call_seconds: float,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        try:
            if not _ADDRESS.match(url):
                raise ValueError
            # Retrying is the circuit's business, and so are timeouts: they begin before there is a connection.
            self._pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=call_seconds,
                protocol=2,
                socket_timeout=None,
                socket_connect_timeout=None,
                retry=Retry(NoBackoff(), 0),
                client_name="headrace",
            )
        except (ValueError, TypeError):  # whose words may hold a part of the password
            raise CacheMisconfigured(
                "HEADRACE_REDIS_URL is no address: give redis://[user:password@]host:port/0, rediss://… for TLS, or "
                "unix:///path. Write special characters of a password as %XX."
            ) from None
        self._client = Redis(connection_pool=self._pool)
        self._probe_key = probe_key
        self._told = told
        self._call_seconds = call_seconds
        self._probe_seconds = probe_seconds
        self._probing: asyncio.Task[None] | None = None
        self._closed = False
        self.database = int(self._pool.connection_kwargs.get("db") or 0)
        self.degraded: Degraded | None = None

    async def call(self, *command: str | bytes | int | float) -> Any:
        """One command's answer. Raises Unreachable."""
        if self.degraded is not None:
            raise Unreachable(self.degraded.why)
        return await self._call(command)

    async def probe(self) -> Degraded | None:
        """Try it now, whatever is known of it: it must be there, and take writes."""
        with suppress(Unreachable):
            await self._call(("SET", self._probe_key, "1", "PX", 1000))
            self._mend()
        return self.degraded

    def connection(self) -> Connection:
        """A connection of one's own, not yet connected, to listen on."""
        made: Connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        return made

    def fail(self, why: str) -> None:
        """It is of no use: said by whoever has found out."""
        if self.degraded is not None or self._closed:
            self.degraded = self.degraded and self.degraded._replace(why=why)
            return
        self.degraded = Degraded(why, time.time())
        if self._told is not None:
            self._told(self.degraded)
        if (
            self._probing is None or self._probing.done()
        ):  # one that sleeps goes on: somebody else had found the server there
            self._probing = asyncio.create_task(self._until_mended(), name="headrace-redis-probe")

    async def close(self) -> None:
        self._closed = True
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._client.aclose()
        await self._pool.disconnect()

    async def _call(self, command: tuple[str | bytes | int | float, ...]) -> Any:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._call_seconds
        try:
            async with asyncio.timeout_at(deadline):
                return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except TimeoutError:
            if loop.time() - deadline < LATE_SECONDS:
                self.fail(f"no answer within {self._call_seconds * 1000:.0f} ms")
            raise Unreachable("no answer in time") from None
        except (RedisError, OSError) as error:
            if isinstance(
                error, ResponseError
            ):  # such as a primary that became a replica: look up anew who is there
                await self._pool.disconnect(inuse_connections=False)
            self.fail(said(error))
            raise Unreachable(said(error)) from error

    async def _until_mended(self) -> None:
        while self.degraded is not None:
            await asyncio.sleep(self._probe_seconds)
            await self.probe()

    def _mend(self) -> None:
        if self.degraded is not None:
            self.degraded = None
            if self._told is not None:
                self._told(None)


def said(error: BaseException) -> str:
    """An error's own words on one line, or its name."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
