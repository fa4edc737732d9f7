"""A problem: one thing that is wrong with what a user wrote, said so that a stranger can mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Protocol

Path = tuple[str | int, ...]
"""Where in the document: keys and list positions from the root, e.g. ("tasks", "load", "depends_on", 0)."""

ERRORS = frozenset(
    [
        "parse_error",
        "schema",
        "duplicate_key",
        "duplicate_task",
        "invalid_task_id",
        "empty_workflow",
        "unknown_dependency",
        "self_dependency",
        "cycle",
        "not_visible",
        "invalid_trigger_rule",
        "invalid_expression",
        "invalid_schedule",
        "invalid_parameter",
        "unknown_pool",
        "not_importable",
        "not_supported_yet",
        "too_large",
    ]
)
WARNINGS = frozenset(
    [
        "never_runs",
        "reference_in_rule",
        "failure_hidden",
        "never_reached",
        "unknown_state",
        "shadowed_id",
        "state_is_known",
        "not_supported_yet",
        "unknown_pool",
    ]
)
"""The codes of language.md, section 13: a closed list, so that programs may rely on them."""


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in a file; line and column count from 1. A place without a line means the whole file."""

    file: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        parts = [self.file or "<input>"]
        if self.line is not None:
            parts.append(str(self.line))
            if self.column is not None:
                parts.append(str(self.column))
        return ":".join(parts)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong (`message`), what to do (`hint`), and where: `path` in the document, `place` in the file."""

    code: str
    message: str
    hint: str | None = None
    path: Path = ()
    task: str | None = None
    place: Place | None = None

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.message}" + (f" {self.hint}" if self.hint else "")

    def at(self, place: Place | None) -> Problem:
        """The same problem with its place filled in."""
        return replace(self, place=place)


class Locator(Protocol):
    """Turns a document path into a place. YAML reads positions again only when something is wrong."""

    def __call__(self, path: Path, task: str | None) -> Place | None: ...


class InvalidWorkflow(Exception):
    """Raised when a workflow cannot be planned. Carries every problem found, never only the first."""

    def __init__(self, problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)
        super().__init__("\n".join(str(p) for p in self.problems))


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """`Did you mean "transform"?`, or None when nothing is near."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f'Did you mean "{near[0]}"?' if near else None
