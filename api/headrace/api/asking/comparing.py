"""Two versions of a workflow beside each other: the same for the command line and the API. No Litestar here."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import NamedTuple

import msgspec

from headrace.engine.ports.store import VersionNote, VersionRow


class NoSuchVersion(LookupError):
    """The workflow has no version of that number. `number`: which; `known`: those that it has."""

    def __init__(self, name: str, number: int, known: Collection[int]) -> None:
        self.number, self.known = number, sorted(known)
        super().__init__(f"{name} has no version {number}.")


class Compared(NamedTuple):
    """The numbers of the two versions, and the lines of a unified diff of their YAML."""

    before: int
    after: int
    lines: list[str]


def chosen(
    versions: Collection[VersionNote], before: int | None = None, after: int | None = None
) -> tuple[int, int]:
    """Which two are meant. `after` None: the newest; `before` None: the one before `after`, or itself when it is the first.
    `versions`: of one workflow, at least one. Raises NoSuchVersion."""
    known = {one.version: one.name for one in versions}
    last = max(known) if after is None else after
    first = max((number for number in known if number < last), default=last) if before is None else before
    for number in (first, last):
        if number not in known:
            raise NoSuchVersion(next(iter(known.values())), number, known)
    return first, last


def compare(before: VersionRow, after: VersionRow) -> Compared:
    """Two versions of one workflow."""
    from headrace.dsl.export import to_yaml
    from headrace.engine.core.canonical import from_document

    old, new = (
        to_yaml(from_document(msgspec.json.decode(row.document))).splitlines() for row in (before, after)
    )
    was, is_ = (f"{row.name} version {row.version}" for row in (before, after))
    return Compared(
        before.version, after.version, list(difflib.unified_diff(old, new, was, is_, lineterm=""))
    )
