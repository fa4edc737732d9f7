"""Whether a project's audit still says what was written: its chain is followed from the first line to its head. No Litestar
here."""

from __future__ import annotations

from typing import NamedTuple

from headrace.engine.ports.acts import GENESIS, AuditLine, AuditStore, ChainHead, broken

AT_ONCE = 1000
"""Lines read at once."""


class Verdict(NamedTuple):
    """`lines`: how many follow from each other, from the first one on; `hash`: of the last of them; `problem`: the first place that
    does not hold, None when everything does."""

    project: str
    lines: int
    hash: str
    problem: str | None


async def verify(store: AuditStore, project: str, expected: ChainHead | None = None) -> Verdict:
    """`expected`: a head that was noted elsewhere. Whoever can write the database can make a chain anew, but not one that
    has the noted hash at its place."""
    head = await store.audit_head(project)
    end = ChainHead(0, GENESIS)
    while lines := await store.audit_chain(project, end.place, AT_ONCE):
        for line in lines:
            problem = _wrong(line, end) or _replaced(line, head, expected)
            if problem is not None:
                return Verdict(project, end.place, end.hash, problem)
            end = ChainHead(line.place or 0, line.hash or "")
    for known in (head, expected):
        if known is not None and known.place > end.place:
            said = f"The chain ends at line {end.place} and must reach line {known.place}: its end was taken away."
            return Verdict(project, end.place, end.hash, said)
    if head is None and end.place and await store.audit_head(project) is None:
        return Verdict(
            project, end.place, end.hash, "The chain has lines and no head: the head was taken away."
        )
    return Verdict(project, end.place, end.hash, None)


def _wrong(line: AuditLine, end: ChainHead) -> str | None:
    try:
        return broken([line], end)
    except (AttributeError, TypeError, ValueError):  # a column holds what this code has never put there
        return f"Line {line.place} was changed: it cannot be read."


def _replaced(line: AuditLine, head: ChainHead | None, expected: ChainHead | None) -> str | None:
    for known, whose in ((head, "its head"), (expected, "the one that was noted")):
        if known is not None and known.place == line.place and known.hash != line.hash:
            return f"The hash of line {known.place} is not {whose}: the lines up to it were replaced."
    return None
