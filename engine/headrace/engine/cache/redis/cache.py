"""The cache on Redis (ports.cache.Cache)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from headrace.engine.cache.buckets import Buckets, check
from headrace.engine.cache.redis import scripts
from headrace.engine.cache.redis.hearing import Hearing
from headrace.engine.cache.redis.link import Link, Unreachable
from headrace.engine.ports.cache import FILLED_SECONDS, LASTS_SECONDS, Degraded, Feed, Status, Word

_VERSION = 32  # hexadecimal digits before the JSON
_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_status = msgspec.json.Decoder(Status).decode
_word = msgspec.json.Decoder(Word).decode


class RedisCache:
    """Made by `open_cache`. Bound to the event loop that first uses it."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        told: Callable[[Degraded | None], None] | None = None,
        call_seconds: float,
    ) -> None:
        self._prefix = prefix
        self._link = Link(url, probe_key=f"{prefix}probe", told=told, call_seconds=call_seconds)
        self._hearing = Hearing(self._link, _read)
        self._buckets = Buckets()

    @property
    def degraded(self) -> Degraded | None:
        return self._link.degraded

    async def close(self) -> None:
        await self._hearing.close()
        await self._link.close()

    async def probe(self) -> Degraded | None:
        return await self._link.probe()

    # -- status --------------------------------------------------------------------------------------------------

    async def tell(self, words: Sequence[Word]) -> frozenset[str] | None:
        if not words:
            return frozenset()
        told = []
        for word in words:
            status = word.status
            commits = "" if word.commits is None else f',"commits":{_encode(word.commits).decode()}'
            told.append(
                (
                    self._key(status.run),
                    _version(status),
                    _encode(status).decode(),  # a script knows text, and no binary values
                    commits,
                    self._project(status.project),
                )
            )
        try:
            followed = await self._link.call(
                "EVAL", scripts.TELL, 0, int(LASTS_SECONDS * 1000), self._channel(""), _pack(told)
            )
        except Unreachable:
            return None
        return frozenset(words[number - 1].status.run for number in followed)

    async def forget(self, runs: Collection[str]) -> bool:
        keys = [self._key(run) for run in runs]
        try:
            await self._link.call("EVAL", scripts.FORGET, len(keys), *keys, self._channel(""))
        except Unreachable:
            return False
        return True

    async def fill(self, status: Status) -> None:
        status = msgspec.structs.replace(status, epoch=0)
        value = _version(status).encode() + _encode(status)
        with suppress(Unreachable):
            await self._link.call("SET", self._key(status.run), value, "NX", "PX", int(FILLED_SECONDS * 1000))

    async def status(self, run: str) -> Status | None:
        try:
            kept = await self._link.call("GET", self._key(run))
        except Unreachable:
            return None
        try:
            return None if kept is None else _status(kept[_VERSION:])
        except msgspec.DecodeError:  # written by another version of Headrace
            return None

    # -- live events ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def follow(self, run: str) -> AsyncIterator[Feed]:
        async with self._hearing.follow(self._channel(self._key(run))) as feed:
            yield feed

    @asynccontextmanager
    async def follow_project(self, project: str) -> AsyncIterator[Feed]:
        async with self._hearing.follow(self._project(project)) as feed:
            yield feed

    # -- rate limits ---------------------------------------------------------------------------------------------

    async def take(self, name: str, rate: float, burst: float, cost: float = 1.0) -> float:
        check(rate, burst, cost)
        try:
            wait = await self._link.call(
                "EVAL", scripts.TAKE, 1, f"{self._prefix}rate:{name}", rate, burst, cost
            )
        except Unreachable:
            return self._buckets.take(name, rate, burst, cost)
        return float(wait)

    # -- names ---------------------------------------------------------------------------------------------------

    def _key(self, run: str) -> str:
        return f"{self._prefix}run:{run}"

    def _channel(self, key: str) -> str:
        """A channel's name begins with its server's database: channels, unlike keys, are shared by all of them."""
        return f"live:{self._link.database}:{key}"

    def _project(self, project: str) -> str:
        return f"live:{self._link.database}:{self._prefix}project:{project}"


def _version(status: Status) -> str:
    return f"{status.epoch:016x}{status.seq:016x}"


def _read(message: bytes) -> Word | None:
    """A message, or None where it says only that there is something to look for."""
    try:
        return _word(message[_VERSION:])
    except msgspec.DecodeError:
        return None
