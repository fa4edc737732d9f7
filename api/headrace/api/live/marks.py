"""How far each attempt's lines were told, as the id of a frame: so a stream of many attempts goes on exactly. No Litestar here."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from headrace.api.problems import Problem

LONGEST = 6_000
"""Characters of an id; it comes back as a header."""
MOST = 5_000
"""Attempts in an id."""
_DECODED = 512 * 1024


class Attempt(NamedTuple):
    """Whose lines."""

    task: str
    generation: int
    attempt: int
    map: int


_Count = tuple[int, int, int, int]
_packed = msgspec.msgpack.Decoder(dict[str, list[_Count]])


def marked(counts: Mapping[Attempt, int]) -> str:
    """An id for so many lines of each attempt; "" when there are too many attempts for one. Neighbours are told by their
    differences, so that a thousand items with as many lines each are a few characters."""
    if len(counts) > MOST:
        return ""
    by_task: dict[str, list[_Count]] = {}
    last = (0, 0, 0)
    task = None
    for name in sorted(counts):
        if name.task != task:
            task, last = name.task, (0, 0, 0)
        here = name[1:]
        by_task.setdefault(name.task, []).append(
            (here[0] - last[0], here[1] - last[1], here[2] - last[2], counts[name])
        )
        last = here
    packed = zlib.compress(msgspec.msgpack.encode(by_task), 6)
    id = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return id if len(id) <= LONGEST else ""


def counts_of(id: str) -> dict[Attempt, int]:
    """The inverse of `marked`. Raises Problem (400)."""
    if not id:
        return {}
    try:
        if len(id) > LONGEST:
            raise ValueError
        packed = base64.b64decode(id + "=" * (-len(id) % 4), altchars=b"-_", validate=True)
        inflate = zlib.decompressobj()
        plain = inflate.decompress(packed, _DECODED)
        if inflate.unconsumed_tail or not inflate.eof:
            raise ValueError
        found: dict[Attempt, int] = {}
        for task, entries in _packed.decode(plain).items():
            generation = attempt = place = 0
            for moved in entries:
                generation, attempt, place = generation + moved[0], attempt + moved[1], place + moved[2]
                if moved[3] < 0 or len(found) >= MOST:
                    raise ValueError
                found[Attempt(task, generation, attempt, place)] = moved[3]
    except (binascii.Error, zlib.error, ValueError, msgspec.MsgspecError):
        raise Problem(400, "last_event_id", "Last-Event-ID is not one that this stream has given.") from None
    return found
