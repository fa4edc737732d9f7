"""What goes wrong while an expression is judged, before it is told as an EvaluationError with the whole text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.engine.expressions.kinds import kind

_SHOWN = 60  # characters of an operand's text in a message


class Fault(Exception):
    """Why an operation failed; `operands` tells the types of what it was given, by their text."""

    def __init__(self, why: str) -> None:
        self.why = why
        self.operands: dict[str, str] | None = None
        super().__init__(why)

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
