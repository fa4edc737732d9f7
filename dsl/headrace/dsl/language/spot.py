"""A spot in a document while it is read, and the list that every problem found anywhere in it goes to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.dsl.words import describe, show
from headrace.engine.core.problems import Path, Problem, did_you_mean


class Spot:
    """One place of the document: its path, the task it belongs to, and what is wrong so far.

    Reading goes on after a problem, so that all of them are told at once; what it then returns is never used.
    """

    __slots__ = ("base", "path", "problems", "task")

    def __init__(
        self, problems: list[Problem], path: Path = (), task: str | None = None, base: int = 0
    ) -> None:
        self.problems = problems
        self.path = path
        self.task = task  # full id
        self.base = base  # how many steps of the path lead to the task

    def below(self, *steps: str | int) -> Spot:
        """The spot of a key or position in here."""
        return Spot(self.problems, self.path + steps, self.task, self.base)

    def of_task(self, task: str) -> Spot:
        """This spot as the beginning of a task; `task` is its full id."""
        return Spot(self.problems, self.path, task, len(self.path))

    @property
    def key(self) -> str:
        """How people call this spot: `retry.rules[0].on`, counted from the task (or the top)."""
        steps = self.path[self.base :]
        text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
        return show(text[1:])[1:-1] if text else "it"

    def tell(self, code: str, message: str, hint: str | None = None) -> None:
        """Records a problem at this spot."""
        self.problems.append(Problem(code, message, hint, self.path, self.task))

    def wrong(self, message: str, hint: str | None = None) -> None:
        """Records a problem with the shape of what stands here."""
        self.tell("schema", message, hint)

    def not_a(self, wanted: str, value: Any, hint: str | None = None) -> None:
        """Records that something else was wanted here."""
        if hint is None and value is None:
            hint = "Write a value, or leave the key out."
        self.wrong(f"{self.key} takes {wanted}, not {describe(value)}.", hint)

    def unknown_key(self, key: str, known: Iterable[str], what: str) -> None:
        """Records a key that means nothing here; `what` is what it stands in ("a retry policy")."""
        names = list(known)
        near = did_you_mean(key[:100], names)
        self.below(key).wrong(f"{what} has no key {show(key)}.", near or f"It has {', '.join(names)}.")

    def has_misspelt_key(self) -> bool:
        """Whether a key that was told here may be the one that is missed."""
        size = len(self.path)
        return any(
            len(problem.path) == size + 1
            and problem.path[:size] == self.path
            and (problem.hint or "").startswith("Did you mean")
            for problem in self.problems[-5:]
        )
