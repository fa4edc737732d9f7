"""What goes wrong while an expression is judged, before it is told as an EvaluationError with the whole text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headrace.engine.expressions.kinds import kind

_SHOWN = 60  # characters of an operand's text in a message


class Fault(Exception):
    """Why an operation failed; `operands` tells the types of what it was given, by their text.

    A reason that is costly to find is given as a function: most faults in a macro are absorbed and never told.
    """

    def __init__(self, why: str | Callable[[], str]) -> None:
        self._why = why
        self.operands: dict[str, str] | None = None
        super().__init__()

    @property
    def why(self) -> str:
        return self._why if isinstance(self._why, str) else self._why()

    def __str__(self) -> str:
        return self.why

    def of(self, texts: Sequence[str], values: Sequence[Any]) -> Fault:
        """This fault, with the operands it happened on unless a deeper one is known."""
        if self.operands is None:
            self.operands = {_shortened(text): kind(value) for text, value in zip(texts, values, strict=True)}
        return self


class Exhausted(Fault):
    """The expression is too much work. No operator may absorb this."""

    def of(self, texts: Sequence[str], values: Sequence[Any]) -> Fault:
        return self


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
