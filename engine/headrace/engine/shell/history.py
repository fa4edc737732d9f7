"""What history keeps of one batch of one run: the events, what they moved, and what else was told to the machine.

A body is one JSON array, `[version, generation, events, rounds, transitions, run, extra]`; an event is
`[name, *fields]`, `rounds` says how many events there were after each call of the machine, a transition is
`[event, [task, map], before, after, reason, attempt]`. Outputs are kept as the first 12 bytes of their
SHA-256 and artifacts by digest, so history stays small and holds no payload; reading it back takes both from a
`Content`, which finds them among the stored task runs; an output that no task run keeps (what a switch function returned, what
a poll looked at and found wanting) stands in `extra` itself. That is all that `replay` needs to decide everything again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

import msgspec

from headrace.engine.core.decision import Decision, RunChange, Transition
from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.events import EVENTS, AttemptSucceeded, ChildEnded, Event
from headrace.engine.core.keys import Key

VERSION = 1
HASH_BYTES = 12


class UnknownHistory(Exception):
    """A history body of a version, or with an event, that this release does not know."""


class Refusal(NamedTuple):
    """A command that was not carried out: what was asked, by whom, and why not. `command`: its id in the inbox, by which the
    one who waits for it knows it."""

    kind: str
    by: str
    why: str
    command: int = 0


class Content(Protocol):
    """Finds stored payloads by their hash."""

    def output(self, digest: bytes) -> bytes | None: ...

    def artifact(self, digest: str) -> Artifact | None: ...


class NoContent:
    """For those who look at what happened and at no payload."""

    def output(self, digest: bytes) -> bytes | None:
        return None

    def artifact(self, digest: str) -> Artifact | None:
        return None


class Recorded(NamedTuple):
    """One history row, read back."""

    generation: int
    events: list[Event]
    rounds: list[int]  # the machine was called with events[:rounds[0]], events[rounds[0]:rounds[1]], ...
    transitions: list[Transition]
    run: Mapping[str, Any] | None  # fields of RunChange; `output` is a digest, `artifact` a digest
    cache: Mapping[str, bytes | None]  # what the task cache answered, as digests
    refused: list[Refusal]
    artifacts: Mapping[str, str] = {}  # what it answered with artifacts, as their digests


def digest_of(output: bytes) -> bytes:
    """The short hash by which history names an output."""
    return sha256(output).digest()[:HASH_BYTES]


_encode = msgspec.json.Encoder().encode


def encode(
    decision: Decision,
    rounds: Sequence[int],
    cache: Mapping[str, bytes | Artifact | None] | None = None,
    refused: Sequence[Refusal] = (),
) -> bytes:
    """The body for one decision. `rounds`: see the module; `cache`: what the task cache answered meanwhile."""
    return _encode(
        (
            VERSION,
            decision.generation,
            [
                _event(event) if type(event) in _WITH_PAYLOAD else _NAMES[type(event)] + event
                for event in decision.events
            ],
            rounds,
            decision.transitions,
            None if decision.run is None else _run(decision.run),
            _extra(cache, refused, _unkept(decision)),
        )
    )


def _unkept(decision: Decision) -> list[AttemptSucceeded]:
    """Events with outputs that were decided about and are not those of their task runs."""
    rows = decision.rows
    return [
        event
        for event in decision.events
        if type(event) is AttemptSucceeded
        and (event.output is not None or event.artifact is not None)
        and (row := rows.get(event.key)) is not None
        and (row.output != event.output or row.artifact != event.artifact)
    ]


_NAMES: dict[type, tuple[Any, ...]] = {kind: (name,) for name, kind in EVENTS.items()}
_WITH_PAYLOAD = frozenset((AttemptSucceeded, ChildEnded))


def _event(event: Event) -> tuple[Any, ...]:
    if isinstance(event, AttemptSucceeded):
        if event.output is not None or event.artifact is not None:
            return ("AttemptSucceeded", *event[:7], _digest(event.output), _named(event.artifact))
    elif isinstance(event, ChildEnded):
        return ("ChildEnded", *event[:4], _digest(event.output), _named(event.artifact), event.error)
    return _NAMES[type(event)] + event


def _digest(output: bytes | None) -> bytes | None:
    return None if output is None else digest_of(output)


def _named(artifact: Artifact | None) -> str | None:
    return None if artifact is None else artifact.digest


def _run(change: RunChange) -> dict[str, Any]:
    fields = change._asdict()
    fields["output"] = _digest(change.output)
    fields["artifact"] = _named(change.artifact)
    return fields


def _extra(
    cache: Mapping[str, bytes | Artifact | None] | None,
    refused: Sequence[Refusal],
    unkept: Sequence[AttemptSucceeded],
) -> dict[str, Any] | None:
    if not (cache or refused or unkept):
        return None
    extra: dict[str, Any] = {}
    if cache:
        extra["cache"] = {
            key: _digest(value) for key, value in cache.items() if not isinstance(value, Artifact)
        }
        artifacts = {key: value.digest for key, value in cache.items() if isinstance(value, Artifact)}
        if artifacts:
            extra["artifacts"] = artifacts
    if refused:
        extra["refused"] = refused
    if unkept:
        extra["outputs"] = [event.output for event in unkept if event.output is not None]
        extra["large"] = [event.artifact for event in unkept if event.artifact is not None]
    return extra


# -- reading back ------------------------------------------------------------------------------------------------


class _Body(msgspec.Struct, array_like=True, frozen=True):
    version: int
    generation: int
    events: list[msgspec.Raw]
    rounds: list[int]
    transitions: list[Transition]
    run: dict[str, Any] | None = None
    extra: _Extra | None = None


class _Extra(msgspec.Struct, frozen=True):
    cache: dict[str, bytes | None] = {}
    refused: list[Refusal] = []
    artifacts: dict[str, str] = {}
    outputs: list[bytes] = []
    large: list[Artifact] = []


class _Succeeded(NamedTuple):
    at: float
    key: Key
    attempt: int
    epoch: int
    n: int
    started_at: float
    finished_at: float
    output: bytes | None
    artifact: str | None


class _Ended(NamedTuple):
    at: float
    key: Key
    child: str
    state: str
    output: bytes | None
    artifact: str | None
    error: str | None


_bodies = msgspec.json.Decoder(_Body)
_plain = msgspec.json.Decoder(list[Any])
_names: dict[str, Callable[[Sequence[Any]], Any]] = {}


def _reader(name: str) -> Callable[[Sequence[Any]], Any]:
    """Converts the fields of one event from JSON, made once per kind."""
    reader = _names.get(name)
    if reader is None:
        kept: Any = {"AttemptSucceeded": _Succeeded, "ChildEnded": _Ended}.get(name, EVENTS.get(name))
        if kept is None:
            raise UnknownHistory(
                f'history holds an event "{name}", which this release does not know; use the release that wrote it.'
            )

        reader = _names[name] = partial(msgspec.convert, type=kept)
    return reader


def decode(body: bytes, content: Content) -> Recorded:
    """The exact inverse of `encode`, with payloads found through `content` (None where it has none).

    Raises UnknownHistory.
    """
    version = _version(body)
    if version != VERSION:
        raise UnknownHistory(f"history is of version {version}; this release reads version {VERSION}.")
    read = _bodies.decode(body)
    extra = read.extra or _Extra()
    unkept = {digest_of(output): output for output in extra.outputs}
    large = {artifact.digest: artifact for artifact in extra.large}
    events: list[Event] = []
    for raw in read.events:
        name, *fields = _plain.decode(raw)
        event = _reader(name)(fields)
        if isinstance(event, _Succeeded | _Ended):
            digest = event.output
            output = None if digest is None else unkept.get(digest) or content.output(digest)
            named = event.artifact
            artifact = None if named is None else large.get(named) or content.artifact(named)
            event = EVENTS[name](**event._asdict() | {"output": output, "artifact": artifact})
        events.append(event)
    return Recorded(
        read.generation,
        events,
        read.rounds,
        read.transitions,
        read.run,
        extra.cache,
        extra.refused,
        extra.artifacts,
    )


def _version(body: bytes) -> int:
    head, _, _ = body[1:].partition(b",")
    try:
        return int(head)
    except ValueError:
        raise UnknownHistory("history is not in a form that this release knows.") from None
