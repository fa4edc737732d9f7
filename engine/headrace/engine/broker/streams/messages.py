"""The messages of job-logs and job-dlq as bytes, in the envelopes of docs/messages.md: JSON with `"v"` and `"type"`."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from headrace.engine.broker.kafka.wire import ENVELOPE_BYTES, RECORD_BYTES, UNREADABLE, enveloped
from headrace.engine.core.keys import unpack
from headrace.engine.ports.letters import OutgoingLetter, PoisonLetter
from headrace.engine.ports.messages import Log

_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Small = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_Time = Annotated[float, Meta(ge=0, le=253402300799)]  # until the year 9999
_Id = Annotated[str, Meta(min_length=1, max_length=4000, pattern=r"^[^\x00]*$")]


class LogLines(Struct, frozen=True, tag=True):
    """Some lines of one attempt, in the order of writing. `seq` ascends within the attempt; `at` is the time of the first
    line. A line is [at, stream, text]; the stream is stdout, stderr or log."""

    run_id: _Id
    task: _Id
    generation: _Small
    map: _Number
    attempt: _Small
    seq: _Number
    at: _Time
    lines: Sequence[tuple[float, str, str]]


class DeadLetter(Struct, frozen=True, tag=True, omit_defaults=True):
    """An attempt that failed for good. `map`: the place in each map that it stands in, from the outside in. `inputs`: what the
    task run was given, secrets by their names; left out when nothing is kept of it, or when it is too large for a message:
    then `inputs_bytes` is its size. The same letter may come more than once: `id` tells."""

    id: _Number
    project: str
    run_id: str
    workflow: str
    task: str
    map: tuple[int, ...]
    generation: int
    attempt: int
    at: float
    error: Raw
    fingerprint: str
    inputs: Raw | UnsetType = UNSET
    inputs_bytes: int | None = None


class UnreadableMessage(Struct, frozen=True, tag=True):
    """A message, or one item of it (-1: the whole), that nobody could read or carry out. The body is base64, at most 64 KiB
    of it. The same may come more than once: `id` tells."""

    id: _Number
    topic: str
    partition: int
    offset: int
    item: int
    at: float
    reason: str
    body: bytes


class _RawLines(Struct, frozen=True):
    v: Literal[1]
    type: Literal["LogLines"]
    run_id: _Id
    task: _Id
    generation: _Small
    map: _Number
    attempt: _Small
    seq: _Number
    at: _Time
    lines: Raw


class Unreadable(Exception):
    """The bytes are no such message."""


_read_lines = msgspec.json.Decoder(_RawLines).decode
_check_lines = msgspec.json.Decoder(list[tuple[float, str, str]]).decode


def encode_lines(lines: Sequence[Log], seq: int) -> bytes:
    """Lines of one attempt, of which there are some."""
    first = lines[0]
    name = (first.run_id, first.task_id, first.generation, first.map, first.attempt)
    written = [(line.at, line.stream, line.text) for line in lines]
    try:
        return enveloped(LogLines(*name, seq, first.at, written))
    except UnicodeEncodeError:  # lone surrogates have no UTF-8 form
        plain = [
            (at, stream, text.encode(errors="backslashreplace").decode()) for at, stream, text in written
        ]
        return enveloped(LogLines(*name, seq, first.at, plain))


def decode_lines(body: bytes) -> _RawLines:
    """A message of job-logs; its lines were looked at, and stay as they are. Raises Unreadable."""
    try:
        read = _read_lines(body)
        _check_lines(read.lines)
    except UNREADABLE as error:
        raise Unreadable(str(error) or type(error).__name__) from None
    return read


def encode_letter(outgoing: OutgoingLetter) -> bytes:
    """A dead letter; what is too large for a message is left out."""
    letter, inputs = outgoing
    error = _raw(letter.error)
    if len(letter.error) > RECORD_BYTES // 4:
        error = Raw(
            msgspec.json.encode(
                {"kind": "TooLarge", "message": f"{len(letter.error)} bytes; headrace dlq show {letter.id}"}
            )
        )
    large = inputs is not None and len(inputs) > ENVELOPE_BYTES
    return enveloped(
        DeadLetter(
            letter.id,
            letter.project,
            letter.run_id,
            letter.workflow,
            letter.task_id,
            unpack(letter.map),
            letter.generation,
            letter.attempt,
            letter.at,
            error,
            letter.fingerprint,
            UNSET if inputs is None or large else _given(inputs),
            len(inputs) if inputs is not None and large else None,
        )
    )


def encode_unreadable(letter: PoisonLetter) -> bytes:
    return enveloped(UnreadableMessage(*letter[:8]))


def _given(inputs: bytes) -> Raw:
    """The value of stored inputs, without what the worker fills in: they stand in brackets, the value first."""
    try:
        return msgspec.json.decode(inputs, type=list[Raw])[0]
    except (*UNREADABLE, IndexError):
        return _raw(inputs)


def _raw(text: bytes) -> Raw:
    """JSON of the store as it is; what is none, as text."""
    try:
        msgspec.json.decode(text)
    except UNREADABLE:
        return Raw(msgspec.json.encode({"base64": b64encode(text).decode()}))
    return Raw(text)
