"""Work: the bound on what one judgement may cost, counted and never timed, so that it always ends the same way."""

from __future__ import annotations

from typing import Any

from headrace.engine.expressions.faults import Exhausted

BUDGET = 1_000_000
"""Units of 0.1 to 0.2 µs: one judgement holds the interpreter for a tenth of a second or two at the very most."""

MAX_SIZE = 16 * 1024 * 1024
"""The largest value an expression may give: characters of its texts, and 8 for every element."""


class Work:
    """What is left for one judgement."""

    __slots__ = ("left", "patterns", "room")

    def __init__(self, budget: int = BUDGET) -> None:
        self.left = budget
        self.room = MAX_SIZE
        self.patterns: dict[str, Any] = {}  # regular expressions already paid for, compiled

    def spend(self, units: int) -> None:
        """Called before the work is done. Raises Exhausted."""
        self.left -= units
        if self.left < 0:
            raise Exhausted("this is more work than an expression may do; compute it in a task")

    def read(self, characters: int) -> None:
        """Reads or copies a text."""
        if characters > 64:
            self.spend(characters >> 6)

    def keep(self, size: int) -> None:
        """Adds to the value that the expression gives. Raises Exhausted."""
        self.room -= size
        if self.room < 0:
            raise Exhausted(f"its value is larger than {MAX_SIZE // 2**20} MiB; compute it in a task")
