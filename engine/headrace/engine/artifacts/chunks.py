"""Log lines in the store: chunks, compressed, that any host reads and follows.

A chunk's body is zlib over JSON, a list of [at, stream, text]. One that cannot be read reads as a line that says so.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import TypeAlias

import msgspec

from headrace.engine.ports.artifacts import LogEnd, LogReader
from headrace.engine.ports.logs import Attempt, LogChunk, LogChunks
from headrace.engine.ports.messages import Log

LOOK_EVERY = 0.3
"""Seconds between looks of a follower."""

AT_ONCE = 200
HELD = 20_000
"""Lines that a follower holds to put them in order of time."""
LEVEL = 1
"""Of the compression: what more would save costs ten times the time."""

_Line: TypeAlias = tuple[float, str, str]
_lines = msgspec.json.Decoder(list[_Line]).decode


def pack(lines: bytes) -> bytes:
    """The body of a chunk: `lines` is a JSON list of [at, stream, text]."""
    return zlib.compress(lines, LEVEL)


def unpack(chunk: LogChunk) -> list[Log]:
    """The chunk's lines."""
    try:
        lines = _lines(zlib.decompress(chunk.body))
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError):
        lines = [(chunk.at, "log", "Lines are missing here: they cannot be read.")]
    name = (chunk.run_id, chunk.task_id, chunk.map, chunk.generation, chunk.attempt)
    return [Log(*name, at, stream, text) for at, stream, text in lines]


class StoredLogs:
    """The reading half of ports.artifacts.Logs, over the store."""

    def __init__(self, chunks: LogChunks) -> None:
        self._chunks = chunks

    async def read(
        self,
        run_id: str,
        task_id: str,
        map: int,
        generation: int,
        attempt: int,
        after: int = 0,
        limit: int | None = None,
    ) -> list[Log]:
        name = Attempt(run_id, task_id, generation, map, attempt)
        lines: list[Log] = []
        async with aclosing(self._written(name)) as chunks:
            async for new in chunks:
                lines += new[after:]
                after = max(after - len(new), 0)
                if limit is not None and len(lines) >= limit:
                    break
        return lines[:limit]

    async def last(
        self, run_id: str, task_id: str, map: int, generation: int, attempt: int, most: int
    ) -> LogEnd:
        count, lines = 0, deque[Log](maxlen=most)
        async for new in self._written(Attempt(run_id, task_id, generation, map, attempt)):
            count += len(new)
            lines += new
        return LogEnd(count - len(lines), list(lines))

    async def _written(self, name: Attempt) -> AsyncGenerator[list[Log], None]:
        """The lines of each chunk that is there."""
        seq = -1
        while chunks := await self._chunks.read_logs(*name, seq, AT_ONCE):
            for chunk in chunks:
                yield unpack(chunk)
            if len(chunks) < AT_ONCE:
                return
            seq = chunks[-1].seq

    async def follow(self, run_id: str, looked: Callable[[], None] | None = None) -> AsyncIterator[Log]:
        """What is found by one look comes in order of time, as far as it is held at once."""
        seen: dict[Attempt, int] = {}
        while True:
            lines: list[Log] = []
            async for chunk in self._new(run_id, seen):
                lines += unpack(chunk)
                if len(lines) >= HELD:
                    for line in sorted(lines, key=_time):
                        yield line
                    lines = []
            for line in sorted(lines, key=_time):
                yield line
            if looked is not None:
                looked()
            await asyncio.sleep(LOOK_EVERY)

    async def _new(self, run_id: str, seen: dict[Attempt, int]) -> AsyncIterator[LogChunk]:
        """The chunks behind those that were seen, and these are seen from then on."""
        for name, end in (await self._chunks.log_ends(run_id)).items():
            while (last := seen.get(name, -1)) < end:
                chunks = await self._chunks.read_logs(*name, last, AT_ONCE)
                if not chunks:
                    break
                for chunk in chunks:
                    seen[name] = chunk.seq
                    yield chunk


class EitherLogs:
    """Logs of which each attempt's are in one of two places: the store's, or files of this machine."""

    def __init__(self, stored: LogReader, files: LogReader) -> None:
        self._both = (stored, files)

    async def read(
        self,
        run_id: str,
        task_id: str,
        map: int,
        generation: int,
        attempt: int,
        after: int = 0,
        limit: int | None = None,
    ) -> list[Log]:
        for logs in self._both:
            if lines := await logs.read(run_id, task_id, map, generation, attempt, after, limit):
                return lines
        return []

    async def last(
        self, run_id: str, task_id: str, map: int, generation: int, attempt: int, most: int
    ) -> LogEnd:
        for logs in self._both:
            end = await logs.last(run_id, task_id, map, generation, attempt, most)
            if end.lines:
                return end
        return LogEnd(0, [])

    async def follow(self, run_id: str, looked: Callable[[], None] | None = None) -> AsyncIterator[Log]:
        heard: asyncio.Queue[Log | Exception] = asyncio.Queue(maxsize=1_000)
        given = taken = 0
        looks: dict[int, int] = {}  # by place, how many lines were given when it had looked

        def tell() -> None:
            if looked is not None and len(looks) == len(self._both) and max(looks.values()) <= taken:
                looks.clear()
                looked()

        async def hear(place: int, logs: LogReader) -> None:
            def has_looked() -> None:
                looks[place] = given
                tell()

            nonlocal given
            try:
                async for line in logs.follow(run_id, has_looked):
                    given += 1
                    await heard.put(line)
            except Exception as fault:
                await heard.put(fault)

        hearing = [asyncio.create_task(hear(*each)) for each in enumerate(self._both)]
        try:
            while True:
                line = await heard.get()
                if isinstance(line, Exception):
                    raise line
                yield line
                taken += 1
                tell()
        finally:
            for task in hearing:
                task.cancel()
            await asyncio.gather(*hearing, return_exceptions=True)


def _time(line: Log) -> float:
    return line.at
