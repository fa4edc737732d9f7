"""Lists, a page at a time: `{items, next}`. `next` is given back as `cursor`; it means nothing but to us. No Litestar here."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from headrace.api.problems import Problem

T = TypeVar("T")

USUAL, MOST = 50, 500
"""Items in a page: when no limit is given, and at most."""
HIGHEST = 2**63 - 1
"""The highest number that a database counts to."""


class Page(msgspec.Struct, Generic[T]):
    """Some of a list, and where to go on; `next` is null at its end."""

    items: list[T]
    next: str | None = None


def cursor_of(place: Any) -> str:
    """`place`: what the next query begins after, fit for JSON."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str | None, kind: type[T]) -> T | None:
    """The place in a cursor that `cursor_of` made. Raises Problem (400)."""
    if cursor is None:
        return None
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(data, type=kind)
        if not all(map(_can_be_asked_for, place if isinstance(place, tuple) else (place,))):
            raise ValueError
        return place
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise Problem(400, "cursor", "The cursor is not one that a list of this API has given.") from None


def _can_be_asked_for(part: object) -> bool:
    """Whether a database takes it."""
    if isinstance(part, int):
        return 0 <= part <= HIGHEST
    return not isinstance(part, str) or "\0" not in part


def page(found: Sequence[T], limit: int, place: Any) -> Page[T]:
    """`found` holds one item more than `limit` where there are more; `place(item)` is where a query goes on after it."""
    items = list(found[:limit])
    return Page(items, cursor_of(place(items[-1])) if len(found) > limit and items else None)
