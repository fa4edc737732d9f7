"""Waits as they are read, and signals: stored, delivered to whoever waits, found by whoever begins to."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, update

from headrace.engine.ports.store import InboxRow
from headrace.engine.ports.waits import SIGNAL, NewSignal, Sent, SignalRow, Waiting, WaitRow
from headrace.engine.store import tables, writes
from headrace.engine.store.awaiting import signals, waits
from headrace.engine.store.checksums import checksum

log = logging.getLogger("headrace.store")

TOLD_AT_ONCE = 1000
"""How many waits one page of a delivery tells."""

_W, _S, _R = waits.c, signals.c, tables.runs.c
_WAITING: Select[Any] = select(
    _W.no, *(_W[name] for name in WaitRow._fields), _R.id, _R.workflow, _R.trigger
).join_from(waits, tables.runs, _R.no == _W.run)
_SIGNAL = select(*(_S[name] for name in SignalRow._fields), _S.payload_crc)


def _waiting(row: Any) -> Waiting:
    no, *fields, run_id, workflow, trigger = row
    return Waiting(no, WaitRow._make(fields), run_id, workflow, trigger)


def listed(
    connection: Connection, project: str, kind: str, after: int, run: int | None, limit: int
) -> list[Waiting]:
    """In the order in which they began, above the number `after`."""
    query = _WAITING.where(_W.project == project, _W.kind == kind, _W.no > after)
    if run is not None:
        query = query.where(_W.run == run)
    return [_waiting(row) for row in connection.execute(query.order_by(_W.no).limit(limit))]


def one(connection: Connection, project: str, no: int) -> Waiting | None:
    row = connection.execute(_WAITING.where(_W.project == project, _W.no == no)).first()
    return None if row is None else _waiting(row)


def send(connection: Connection, signal: NewSignal, at: float | None = None) -> Sent:
    """Store a signal. A file has one writer, so whoever waits can be told by the same transaction. `at`: in place
    of the time that it is."""
    values = {
        **signal._asdict(),
        "payload_crc": checksum(signal.payload),
        "at": now(connection) if at is None else at,
        "waited": select(func.coalesce(func.max(_W.no), 0)).scalar_subquery(),
        "delivered": False,
    }
    id = int(connection.execute(insert(signals).values(values).returning(_S.id)).scalar_one())
    parts: set[int] = set()
    after: int | None = 0 if connection.dialect.name == "sqlite" else None
    while after is not None:
        told, after = tell(connection, id, after)
        parts.update(told)
    return Sent(id, tuple(sorted(parts)))


def now(connection: Connection) -> float:
    """Seconds since the epoch, by the database's clock where it has one of its own: engines go by the same."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0.0)


def tell(connection: Connection, signal: int, after: int) -> tuple[list[int], int | None]:
    """Tell one page of the waits that the signal is for. Answers with their parts, and with the number from which to go on;
    None: all were told."""
    row = connection.execute(_SIGNAL.add_columns(_S.waited).where(_S.id == signal, ~_S.delivered)).first()
    sent = None if row is None else _read(row[:-1])
    if row is None or sent is None:
        return [], None
    query = (
        select(_W.no, _W.run, _W.generation, _W.task, _W.map, _W.place, _W.part)
        .where(_W.project == sent.project, _W.kind == SIGNAL, _W.name == sent.name, _W.no > after)
        .where(or_(_W.key.is_(None), _W.key == sent.key))
        .where(or_(_W.no <= row.waited, and_(_W.after < _W.since, _W.after <= sent.at)))
        .order_by(_W.no)
        .limit(TOLD_AT_ONCE)
    )
    found = connection.execute(query).all()
    if found:
        writes.post_all(
            connection,
            [
                InboxRow(0, wait.part, wait.run, SIGNAL, body(sent, tuple(wait[2:5]), wait.place), sent.at)
                for wait in found
            ],
        )
    if len(found) == TOLD_AT_ONCE:
        return sorted({wait.part for wait in found}), found[-1].no
    connection.execute(update(signals).where(_S.id == signal).values(delivered=True))
    return sorted({wait.part for wait in found}), None


def body(sent: SignalRow, key: tuple[int, ...], place: int) -> bytes:
    """What the inbox row of a signal says (`shell.commands.SignalBody`)."""
    fields = {
        "key": key,
        "place": place,
        "signal": sent.id,
        "name": sent.name,
        "sent_key": sent.key,
        "sent_at": sent.at,
        "by": sent.by,
    }
    head = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    return head[:-1] + b',"payload":' + sent.payload + b"}"


def undelivered(connection: Connection, before: float, limit: int) -> list[int]:
    query = select(_S.id).where(~_S.delivered, _S.at < before).order_by(_S.id).limit(limit)
    return list(connection.scalars(query))


def found(
    connection: Connection, project: str, names: Sequence[str], since: float, after: int, limit: int
) -> list[SignalRow]:
    query = _SIGNAL.where(_S.project == project, _S.name.in_(names), _S.at >= since, _S.id > after)
    rows = map(_read, connection.execute(query.order_by(_S.id).limit(limit)))
    return [signal for signal in rows if signal is not None]


def _read(row: Any) -> SignalRow | None:
    """None for one that is damaged: it must not keep others from being heard."""
    *fields, crc = row
    signal = SignalRow._make(fields)
    if checksum(signal.payload) == crc:
        return signal
    log.error("signal %d is damaged (its checksum differs) and is passed over", signal.id)
    return None


def forget(connection: Connection, before: float) -> None:
    """Delete signals that were sent before `before`."""
    connection.execute(delete(signals).where(_S.at < before))
