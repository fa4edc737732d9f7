"""Messages as bytes: JSON envelopes with a version, so that programs in any language can take part (docs/messages.md).

An envelope is one JSON object: `"v"`, `"type"`, the message's own fields and, where there are any, its `"items"`. It is
decoded at once; only when that fails are its items read one by one, so that one bad item costs nobody else anything.
What all attempts of a task share, the job, stands once in an envelope and is referred to by its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct

from headrace.engine.broker.kafka.shapes import (
    Number,
    Small,
    WireDispatch,
    WireDispatches,
    WireReport,
    WireReports,
)
from headrace.engine.ports.messages import (
    VERSION,
    Abort,
    Alive,
    Ask,
    Beat,
    Dispatch,
    Dispatches,
    Drain,
    Hello,
    Job,
    Lines,
    Nudge,
    Report,
    Reports,
    ToEngine,
    ToWorker,
)

ENVELOPE_BYTES = 256 * 1024
"""Envelopes are cut so that they stay below; one item alone may be larger, up to RECORD_BYTES."""

RECORD_BYTES = 1_000_000
"""The largest record that is sent; Kafka's own default limit lies just above."""

LONGEST_NAME = 500
"""Characters of the name of a worker, an incarnation or an engine."""

Message = TypeVar("Message")
Wired = TypeVar("Wired")


class Fault(NamedTuple):
    """Something that cannot be read: an item, by its place in the envelope, or (-1) the whole message."""

    reason: str
    body: bytes
    item: int = -1


class Decoded(NamedTuple, Generic[Message]):
    """`message` None: nothing of it can be read."""

    message: Message | None
    faults: Sequence[Fault] = ()


class _Head(Struct):
    v: Any = None
    type: Any = None


class _ReportsParts(Struct):
    worker: str
    incarnation: str
    items: list[Raw]


class _DispatchesParts(Struct):
    to: str
    part: Small
    epoch: Number
    jobs: list[Job]
    items: list[Raw]


_PREFIX = b'{"v":%d,' % VERSION
_encode = msgspec.json.Encoder().encode
_to_engine: msgspec.json.Decoder[WireReports | Alive | Nudge] = msgspec.json.Decoder(
    WireReports | Alive | Nudge
)
_to_worker: msgspec.json.Decoder[WireDispatches | Abort | Ask | Drain | Hello] = msgspec.json.Decoder(
    WireDispatches | Abort | Ask | Drain | Hello
)
_workers: msgspec.json.Decoder[Beat | Lines] = msgspec.json.Decoder(Beat | Lines)
_head = msgspec.json.Decoder(_Head)
_report = msgspec.json.Decoder(WireReport)
_dispatch = msgspec.json.Decoder(WireDispatch)

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding foreign bytes may raise."""


def enveloped(message: Struct) -> bytes:
    """A message without items as it travels."""
    return _PREFIX + _encode(message)[1:]


# to the engine ---------------------------------------------------------------------------------------------------
def encode_to_engine(message: ToEngine) -> list[tuple[ToEngine, bytes]]:
    """The message in envelopes below ENVELOPE_BYTES, each with its share of the items."""
    if isinstance(message, Reports):
        return [
            (Reports(message.worker, message.incarnation, items), body)
            for items, body in _cut(
                message.items,
                lambda items: enveloped(
                    WireReports(message.worker, message.incarnation, [_wired_report(each) for each in items])
                ),
            )
        ]
    return [(message, enveloped(message))]


def decode_to_engine(body: bytes) -> Decoded[ToEngine]:
    """A message of job-status; never raises."""
    return _decoded(body, _to_engine.decode, _unwired_to_engine, "Reports", _mend_reports)


def _unwired_to_engine(message: WireReports | Alive | Nudge) -> ToEngine:
    if not isinstance(message, Nudge):
        _check_names(message.worker, message.incarnation)
    if isinstance(message, WireReports):
        items = [_unwired_report(each) for each in message.items]
        return Reports(message.worker, message.incarnation, items)
    return message


def _wired_report(report: Report) -> WireReport:
    output = report.output
    return WireReport(
        report.run,
        report.generation,
        report.task,
        report.map,
        report.attempt,
        report.epoch,
        report.n,
        report.kind,  # type: ignore[arg-type]  # checked where it is decoded
        report.started_at,
        report.finished_at,
        UNSET if output is None else Raw(output),
        report.artifact,
        report.error,
        report.retry_after,
    )


def _unwired_report(report: WireReport) -> Report:
    output = None if report.output is UNSET else bytes(report.output)
    if output is not None and not output.isascii():
        output.decode()  # a raw value was not looked at: bytes that are no text must not go further
    return Report(
        report.run,
        report.generation,
        report.task,
        report.map,
        report.attempt,
        report.epoch,
        report.n,
        report.kind,
        report.started_at,
        report.finished_at,
        None if output == b"null" else output,
        report.artifact,
        report.error,
        report.retry_after,
    )


def _mend_reports(body: bytes) -> Decoded[ToEngine]:
    parts = msgspec.json.decode(body, type=_ReportsParts)
    _check_names(parts.worker, parts.incarnation)
    items, faults = _each(parts.items, lambda raw: _unwired_report(_report.decode(raw)))
    return Decoded(Reports(parts.worker, parts.incarnation, items) if items else None, faults)


# to workers --------------------------------------------------------------------------------------------------------
def encode_to_worker(message: ToWorker) -> list[tuple[ToWorker, bytes]]:
    """The message in envelopes below ENVELOPE_BYTES, each with its share of the items."""
    if isinstance(message, Dispatches):
        to, part, epoch = message.to, message.part, message.epoch

        def encode(items: list[Dispatch]) -> bytes:
            jobs: list[Job] = []
            places: dict[int, int] = {}
            wired = []
            for item in items:
                place = places.setdefault(id(item.job), len(jobs))
                if place == len(jobs):
                    jobs.append(item.job)
                wired.append(
                    WireDispatch(
                        item.run,
                        item.run_id,
                        item.generation,
                        item.task,
                        item.map,
                        item.attempt,
                        item.epoch,
                        item.n,
                        place,
                        item.inputs,
                        item.holes,
                        item.priority,
                        item.trace,
                    )
                )
            return enveloped(WireDispatches(to, part, epoch, jobs, wired))

        return [(Dispatches(to, part, epoch, items), body) for items, body in _cut(message.items, encode)]
    return [(message, enveloped(message))]


def decode_to_worker(body: bytes) -> Decoded[ToWorker | Hello]:
    """A message of a queue's topic; never raises."""
    return _decoded(body, _to_worker.decode, _unwired_to_worker, "Dispatches", _mend_dispatches)


def _unwired_to_worker(message: WireDispatches | Abort | Ask | Drain | Hello) -> ToWorker | Hello:
    if isinstance(message, WireDispatches):
        jobs = message.jobs
        items = [_unwired_dispatch(each, jobs) for each in message.items]
        return Dispatches(message.to, message.part, message.epoch, items)
    return message


def _unwired_dispatch(item: WireDispatch, jobs: list[Job]) -> Dispatch:
    return Dispatch(
        item.run,
        item.run_id,
        item.generation,
        item.task,
        item.map,
        item.attempt,
        item.epoch,
        item.n,
        jobs[item.job],
        item.inputs,
        item.holes,
        item.priority,
        item.trace,
    )


def _mend_dispatches(body: bytes) -> Decoded[ToWorker | Hello]:
    parts = msgspec.json.decode(body, type=_DispatchesParts)
    items, faults = _each(parts.items, lambda raw: _unwired_dispatch(_dispatch.decode(raw), parts.jobs))
    return Decoded(Dispatches(parts.to, parts.part, parts.epoch, items) if items else None, faults)


# job-workers -------------------------------------------------------------------------------------------------------
def decode_workers(body: bytes) -> Decoded[Beat | Lines]:
    """A message of job-workers; never raises."""
    return _decoded(body, _workers.decode, _checked, "", None)


def _checked(message: Beat | Lines) -> Beat | Lines:
    """Every engine notes every worker in the database: one that cannot be noted must not stand in the others' way."""
    if isinstance(message, Lines):
        _check_names(message.engine)
        return message
    _check_names(message.worker, message.incarnation)
    if not all(0 <= count < 2**31 for count in (message.inbox, message.slots, message.ahead, message.held)):
        raise msgspec.ValidationError("inbox, slots, ahead and held count from 0 to 2147483647")
    return message


# both --------------------------------------------------------------------------------------------------------------
def _cut(items: list[Any], encode: Callable[[list[Any]], bytes]) -> list[tuple[list[Any], bytes]]:
    body = encode(items)
    if len(body) <= ENVELOPE_BYTES or len(items) <= 1:
        return [(items, body)]
    middle = len(items) // 2
    return _cut(items[:middle], encode) + _cut(items[middle:], encode)


def _check_version(body: bytes) -> None:
    found = _head.decode(body).v
    if found != VERSION or found is True:
        raise msgspec.ValidationError(
            "it has no version" if found is None else f"version {found!r} is not known, only {VERSION}"
        )


def _check_names(*names: str) -> None:
    """Of workers, their incarnations and engines: they are keys of the database, and stand in its rows."""
    for name in names:
        if not 0 < len(name) <= LONGEST_NAME or "\0" in name:
            raise msgspec.ValidationError(
                f"workers, incarnations and engines are named with 1 to {LONGEST_NAME} characters, none of them NUL"
            )


def _decoded(
    body: bytes,
    decode: Callable[[bytes], Wired],
    unwire: Callable[[Wired], Message],
    kind: str,
    mend: Callable[[bytes], Decoded[Message]] | None,
) -> Decoded[Message]:
    """The message; of one of this `kind` that does not decode at once, what can be saved by reading item by item."""
    try:
        if not body.startswith(_PREFIX):
            _check_version(body)
        return Decoded(unwire(decode(body)))
    except (*UNREADABLE, IndexError) as fault:
        error: Exception = fault
    try:
        _check_version(body)
        if mend is not None and _head.decode(body).type == kind:
            return mend(body)
    except UNREADABLE as deeper:
        error = deeper
    return Decoded(None, (Fault(_said(error), body),))


def _each(raws: list[Raw], read: Callable[[Raw], Any]) -> tuple[list[Any], list[Fault]]:
    items, faults = [], []
    for place, raw in enumerate(raws):
        try:
            items.append(read(raw))
        except IndexError:
            faults.append(Fault("its job is not in the envelope", bytes(raw), place))
        except UNREADABLE as error:
            faults.append(Fault(_said(error), bytes(raw), place))
    return items, faults


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error) or type(error).__name__
