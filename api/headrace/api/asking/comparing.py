"""Two versions of a workflow beside each other: the same for the command line and the API. No Litestar here."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import NamedTuple

import msgspec

from headrace.engine.ports.store import VersionRow


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


def compare(
    versions: Collection[VersionRow], before: int | None = None, after: int | None = None
) -> Compared:
    """`after` None: the newest; `before` None: the one before `after`, or itself when it is the first. `versions`: of one
    workflow, at least one. Raises NoSuchVersion."""
    from headrace.dsl.export import to_yaml
    from headrace.engine.core.canonical import from_document

    known = {row.version: row for row in versions}
    name = next(iter(known.values())).name
    last = max(known) if after is None else after
    first = max((number for number in known if number < last), default=last) if before is None else before
    for number in (first, last):
        if number not in known:
            raise NoSuchVersion(name, number, known)
    old, new = (
        to_yaml(from_document(msgspec.json.decode(known[number].document))).splitlines()
        for number in (first, last)
    )
    lines = difflib.unified_diff(old, new, f"{name} version {first}", f"{name} version {last}", lineterm="")
    return Compared(first, last, list(lines))
