"""Functions on texts. Positions and sizes count characters (code points)."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.functions.arguments import items, text, whole
from headrace.engine.expressions.kinds import kind
from headrace.engine.expressions.patterns import matches
from headrace.engine.expressions.work import Work

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)


def contains(work: Work, source: Any, part: Any) -> bool:
    if type(source) is list:
        raise Fault("contains takes a string; write element in list")
    checked = text("contains", source)
    _search(work, checked, text("contains", part))
    return part in checked


def starts_with(work: Work, source: Any, part: Any) -> bool:
    work.read(len(text("startsWith", part)))
    return text("startsWith", source).startswith(part)


def ends_with(work: Work, source: Any, part: Any) -> bool:
    work.read(len(text("endsWith", part)))
    return text("endsWith", source).endswith(part)


def index_of(work: Work, source: Any, part: Any, offset: Any = 0) -> int:
    """Where a part begins, looking from `offset` on; -1 when it does not occur."""
    checked = text("indexOf", source)
    if not 0 <= whole("indexOf", offset) <= len(checked):
        raise Fault(f"the offset {offset} lies outside the text")
    _search(work, checked, text("indexOf", part))
    return checked.find(part, offset)


def split(work: Work, source: Any, separator: Any, limit: Any = -1) -> list[str]:
    """Its parts; at most `limit` of them when that is not negative. Without a separator: its characters."""
    checked, at = text("split", source), text("split", separator)
    wanted = whole("split", limit)
    if wanted == 0:
        return []
    _search(work, checked, at)
    parts = checked.count(at) + 1 if at else len(checked)
    work.spend(min(parts, wanted) if wanted > 0 else parts)
    if at:
        return checked.split(at, wanted - 1 if wanted > 0 else -1)
    if 0 < wanted < len(checked):
        return [*checked[: wanted - 1], checked[wanted - 1 :]]
    return list(checked)


def join(work: Work, parts: Any, separator: Any = "") -> str:
    checked, between = items("join", parts), text("join", separator)
    work.spend(len(checked) >> 1)
    for place, part in enumerate(checked):
        if type(part) is not str:
            raise Fault(
                f"join takes strings, but element {place} is {kind(part)}; write list.map(x, string(x))"
            )
    work.read(sum(map(len, checked)) + len(between) * len(checked))
    return between.join(checked)


def replace(work: Work, source: Any, old: Any, new: Any, limit: Any = -1) -> str:
    """Every occurrence of `old` replaced, or the first `limit` of them when that is not negative."""
    checked, before, after = text("replace", source), text("replace", old), text("replace", new)
    wanted = whole("replace", limit)
    _search(work, checked, before)
    found = checked.count(before)
    if wanted >= 0:
        found = min(found, wanted)
    work.spend(found)
    work.read(len(checked) + found * len(after))
    return checked.replace(before, after, max(wanted, -1))


def substring(work: Work, source: Any, start: Any, end: Any = None) -> str:
    """From `start` up to, and without, `end`."""
    checked = text("substring", source)
    stop = len(checked) if end is None else whole("substring", end)
    if not 0 <= whole("substring", start) <= stop <= len(checked):
        raise Fault(f"the text has {len(checked)} characters; {start} to {stop} lies outside")
    work.read(stop - start)
    return checked[start:stop]


def trim(work: Work, source: Any) -> str:
    checked = text("trim", source)
    work.read(len(checked))
    return checked.strip()


def lower_ascii(work: Work, source: Any) -> str:
    """ASCII letters in lower case, all others as they are."""
    checked = text("lowerAscii", source)
    return checked.lower() if _is_ascii(work, checked) else checked.translate(_LOWER)


def upper_ascii(work: Work, source: Any) -> str:
    """ASCII letters in upper case, all others as they are."""
    checked = text("upperAscii", source)
    return checked.upper() if _is_ascii(work, checked) else checked.translate(_UPPER)


def _is_ascii(work: Work, source: str) -> bool:
    """Other texts are translated character by character, and pay for it."""
    ascii_only = source.isascii()
    work.spend(1 + (len(source) >> (5 if ascii_only else 1)))
    return ascii_only


def _matches(work: Work, source: Any, pattern: Any) -> bool:
    """Whether the pattern (RE2 syntax) is found anywhere in the text."""
    return matches(work, text("matches", source), text("matches", pattern))


def _search(work: Work, source: str, part: str) -> None:
    """Pays for a search: Python's is linear up to a factor for the part."""
    work.spend(1 + (len(source) >> 4) + (len(part) >> 4))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "contains": contains,
    "startsWith": starts_with,
    "endsWith": ends_with,
    "indexOf": index_of,
    "matches": _matches,
    "split": split,
    "join": join,
    "replace": replace,
    "substring": substring,
    "trim": trim,
    "lowerAscii": lower_ascii,
    "upperAscii": upper_ascii,
}
