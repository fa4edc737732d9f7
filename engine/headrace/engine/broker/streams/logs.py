"""job-logs, an engine's side: what workers sent is kept in the store. Whatever comes twice is kept once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from headrace.engine.artifacts.chunks import pack
from headrace.engine.broker.streams.messages import Unreadable, decode_lines
from headrace.engine.broker.streams.streams import Records
from headrace.engine.ports.logs import LogChunk
from headrace.engine.ports.store import OutcomeUnknown, PoisonRow, StoreLost, StoreUnavailable
from headrace.engine.ports.team import TeamStore

FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
KEPT_BODY = 64 * 1024
"""Bytes that are kept of a message that cannot be read."""

_logger = logging.getLogger(__name__)


class LogKeeper:
    """Takes batches of job-logs. The store is waited for while it cannot be used. `now`: seconds since the epoch."""

    def __init__(self, store: TeamStore, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    async def take(self, records: Records) -> None:
        """Returns when everything of the batch is kept."""
        chunks, unreadable = await asyncio.to_thread(_packed, records, self._now())
        for row in unreadable:
            _logger.warning(
                "log lines cannot be read (%s, partition %d, offset %d): %s", *row[:3], row.reason
            )
        await _patiently(lambda: self._store.write_logs(chunks))
        await _patiently(lambda: self._store.park(unreadable))


def _packed(records: Records, at: float) -> tuple[Sequence[LogChunk], Sequence[PoisonRow]]:
    """Chunks as they are kept, and what is none. Decoding and compressing take a while: not on an engine's loop."""
    chunks: list[LogChunk] = []
    unreadable: list[PoisonRow] = []
    for record in records:
        body = record.value or b""
        try:
            read = decode_lines(body)
        except Unreadable as error:
            place = (record.topic, record.partition, record.offset, -1)
            unreadable.append(PoisonRow(*place, at, str(error).replace("\0", ""), body[:KEPT_BODY]))
            continue
        name = (read.run_id, read.task, read.generation, read.map, read.attempt)
        chunks.append(LogChunk(*name, read.seq, read.at, pack(bytes(read.lines))))
    return chunks, unreadable


async def _patiently(write: Callable[[], Awaitable[None]]) -> None:
    wait = FIRST_WAIT
    while True:
        try:
            return await write()
        except StoreLost:
            raise
        except (StoreUnavailable, OutcomeUnknown) as problem:
            _logger.warning("log lines wait for the store: %s", problem)
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)
