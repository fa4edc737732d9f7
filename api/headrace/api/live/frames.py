"""Server-sent events as bytes, and the places that their ids name. No Litestar here."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import NamedTuple

from headrace.api.problems import Problem

PING = b": ping\n\n"
"""A comment: it keeps proxies from closing what is silent, and finds out that a client is gone."""

PIECE = 32 * 1024
"""Bytes handed to the server at once, at most."""

_PLACE = re.compile(r"(\d{1,18})(?:\.(\d{1,9}|end))?", re.ASCII)


def hello() -> bytes:
    """What a stream begins with. Clients come back after a server's end, and not all in the same moment."""
    return b"retry: %d\n: headrace\n\n" % random.randint(1_000, 4_000)


def frame(event: str, data: bytes, id: str | None = None) -> bytes:
    """One event. `data` is JSON on one line; `id` "" takes the client back to the beginning."""
    named = b"" if id is None else b"id: %s\n" % id.encode()
    return b"event: %s\n%sdata: %s\n\n" % (event.encode(), named, data)


def rest(frames: bytes, skip: int) -> bytes:
    """Frames without the first `skip`."""
    at = 0
    for _ in range(skip):
        found = frames.find(b"\n\n", at)
        if found < 0:
            return b""
        at = found + 2
    return frames[at:]


def pieces(data: bytes) -> Iterator[bytes]:
    """What is sent one after the other, so that a slow client holds little at once: whole frames where they are not too long."""
    begin = 0
    while len(data) - begin > PIECE:
        end = data.rfind(b"\n\n", begin, begin + PIECE) + 2
        if end < 2:
            end = begin + PIECE
        yield data[begin:end]
        begin = end
    if begin < len(data):
        yield data[begin:] if begin else data


class Place(NamedTuple):
    """Everything up to the row `seq` of a run's history was told, and `moves` of the row behind it. `ended`: the end, too."""

    seq: int
    moves: int = 0
    ended: bool = False


def place_of(id: str) -> Place:
    """An id: `17.3` is the third move of row 17, `17` all of the row, `17.end` the end of the run that it brought. Raises Problem
    (400)."""
    read = _PLACE.fullmatch(id)
    if read is None:
        raise Problem(400, "last_event_id", "Last-Event-ID is not one that this stream has given.")
    row, moves = int(read[1]), read[2]
    if moves is None or moves == "end" or row == 0:
        return Place(row, ended=moves == "end")
    return Place(row - 1, int(moves))
