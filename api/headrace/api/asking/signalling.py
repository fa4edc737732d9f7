"""Signals that are sent: checked, stored, delivered to whoever waits. No Litestar here."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.api.problems import Problem
from headrace.engine.ports.acts import Act
from headrace.engine.ports.waits import LARGEST_PAYLOAD, NewSignal

if TYPE_CHECKING:
    from headrace.engine.ports.store import Store

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


def new_signal(project: str, name: str, key: str | None, payload: Any, by: str) -> NewSignal:
    """The signal to store. Raises Problem (422) for what is none."""
    data = msgspec.json.encode(payload)
    if not _NAME.fullmatch(name):
        raise _wrong("name", "A signal's name has 1 to 200 characters and no control characters.")
    if len(data) > LARGEST_PAYLOAD:
        raise _wrong(
            "payload",
            f"The payload is {len(data):,} bytes of JSON, and {LARGEST_PAYLOAD:,} are the most. Send where it lies instead.",
        )
    return NewSignal(project, name, key, data, by)


def _wrong(field: str, message: str) -> Problem:
    return Problem(422, "invalid", message, problems=[{"field": field, "message": message}])


async def send(store: Store, signal: NewSignal, act: Act, nudge: Callable[[int], None]) -> int:
    """Store it, tell whoever waits, and answer with its id. Raises Repeated, OutcomeUnknown."""
    sent = await store.send_signal(signal, act=act)
    for part in {*sent.parts, *await store.deliver(sent.id)}:
        nudge(part)
    return sent.id
