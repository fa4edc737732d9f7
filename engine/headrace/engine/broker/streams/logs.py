"""job-logs, an engine's side: what workers sent is kept in the store. Whatever comes twice is kept once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from aiokafka import ConsumerRecord

from headrace.engine.artifacts.chunks import pack
from headrace.engine.broker.streams.messages import Unreadable, decode_lines
from headrace.engine.broker.streams.streams import Records
from headrace.engine.ports.letters import PoisonRow
from headrace.engine.ports.logs import LogChunk
from headrace.engine.ports.store import OutcomeUnknown, StoreLost, StoreUnavailable
from headrace.engine.ports.team import TeamStore

FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
KEPT_BODY = 64 * 1024
"""Bytes that are kept of a message that cannot be read."""

KEPT_REASON = 4_000

_logger = logging.getLogger(__name__)


class _Kept(NamedTuple):
    record: ConsumerRecord
    chunk: LogChunk


class LogKeeper:
    """Takes batches of job-logs. The store is waited for while it cannot be used. `now`: seconds since the epoch."""

    def __init__(self, store: TeamStore, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    async def take(self, records: Records) -> None:
        """Returns when everything of the batch is kept, or is a dead letter that says why it cannot be."""
        packed, unreadable = await asyncio.to_thread(_packed, records, self._now())
        for row in unreadable:
            _logger.warning(
                "log lines cannot be read (%s, partition %d, offset %d): %s", *row[:3], row.reason
            )
        await self._keep(packed)
        await self._park(unreadable)

    async def _keep(self, packed: Sequence[_Kept]) -> None:
        """Together; by themselves when the store refuses them, so that one costs the others nothing."""
        try:
            await _patiently(lambda: self._store.write_logs([each.chunk for each in packed]))
        except StoreLost:
            raise
        except Exception as fault:
            if len(packed) > 1:
                for each in packed:
                    await self._keep([each])
                return
            said = str(fault).partition("\n")[0]  # what comes behind is the statement
            row = _letter(packed[0].record, self._now(), f"They cannot be kept: {said}"[:KEPT_REASON])
            _logger.error("log lines were refused (%s, partition %d, offset %d): %s", *row[:3], row.reason)
            await self._park([row])

    async def _park(self, rows: Sequence[PoisonRow]) -> None:
        try:
            await _patiently(lambda: self._store.park(rows))
        except StoreLost:
            raise
        except Exception:  # a fault of ours: what comes behind must not wait for it for ever
            _logger.exception("%d messages with log lines are dropped", len(rows))


def _packed(records: Records, at: float) -> tuple[Sequence[_Kept], Sequence[PoisonRow]]:
    """Chunks as they are kept, and what is none. Decoding and compressing take a while: not on an engine's loop."""
    packed: list[_Kept] = []
    unreadable: list[PoisonRow] = []
    for record in records:
        try:
            read = decode_lines(record.value or b"")
        except Unreadable as error:
            unreadable.append(_letter(record, at, str(error)))
            continue
        name = (read.run_id, read.task, read.generation, read.map, read.attempt)
        packed.append(_Kept(record, LogChunk(*name, read.seq, read.at, pack(bytes(read.lines)))))
    return packed, unreadable


def _place(record: ConsumerRecord) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def _letter(record: ConsumerRecord, at: float, reason: str) -> PoisonRow:
    body = (record.value or b"")[:KEPT_BODY]
    return PoisonRow(*_place(record), -1, at, reason.replace("\0", ""), body)


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
