"""Log lines in the store: chunks, compressed, that any host reads and follows.

A chunk's body is zlib over JSON, a list of [at, stream, text]. One that cannot be read reads as a line that says so.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable
from typing import TypeAlias

import msgspec

from headrace.engine.ports.artifacts import LogReader
from headrace.engine.ports.logs import Attempt, LogChunk, LogChunks
from headrace.engine.ports.messages import Log

LOOK_EVERY = 0.3
"""Seconds between looks of a follower."""

AT_ONCE = 200
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
        seq = -1
        while limit is None or len(lines) < limit:
            chunks = await self._chunks.read_logs(*name, seq, AT_ONCE)
            for chunk in chunks:
                new = unpack(chunk)
                lines += new[after:]
                after = max(after - len(new), 0)
            if len(chunks) < AT_ONCE:
                break
            seq = chunks[-1].seq
        return lines[:limit]

    async def follow(self, run_id: str) -> AsyncIterator[Log]:
        """Every line of the run's attempts: those that are there, then those that come. Never ends by itself."""
        seen: dict[Attempt, int] = {}
        while True:
            lines: list[Log] = []
            for name, end in (await self._chunks.log_ends(run_id)).items():
                if end > seen.get(name, -1) and (chunks := await self._beyond(name, seen.get(name, -1))):
                    seen[name] = chunks[-1].seq
                    lines += _unpacked(chunks)
            lines.sort(key=lambda line: line.at)
            for line in lines:
                yield line
            await asyncio.sleep(LOOK_EVERY)

    async def _beyond(self, name: Attempt, after: int) -> list[LogChunk]:
        """All chunks of the attempt with seq above `after`."""
        found: list[LogChunk] = []
        while True:
            chunks = await self._chunks.read_logs(*name, after, AT_ONCE)
            found += chunks
            if len(chunks) < AT_ONCE:
                return found
            after = chunks[-1].seq


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

    async def follow(self, run_id: str) -> AsyncIterator[Log]:
        lines: asyncio.Queue[Log] = asyncio.Queue(maxsize=1_000)

        async def hear(logs: LogReader) -> None:
            async for line in logs.follow(run_id):
                await lines.put(line)

        hearing = [asyncio.create_task(hear(logs)) for logs in self._both]
        try:
            while True:
                waiting = asyncio.ensure_future(lines.get())
                done, _ = await asyncio.wait((waiting, *hearing), return_when=asyncio.FIRST_COMPLETED)
                for failed in done - {waiting}:
                    waiting.cancel()
                    await failed
                yield await waiting
        finally:
            for task in hearing:
                task.cancel()
            await asyncio.gather(*hearing, return_exceptions=True)


def _unpacked(chunks: Iterable[LogChunk]) -> list[Log]:
    return [line for chunk in chunks for line in unpack(chunk)]
