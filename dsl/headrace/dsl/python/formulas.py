"""CEL text under construction: pieces that are known, and roots whose name depends on where the text will stand.

A task's id is written differently inside and outside its group (`tasks.pack`, `tasks["each.pack"]`), so a formula
keeps the task itself and asks for its name when it is written down.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from headrace.dsl.python.errors import BuildError

# How tightly a formula's outermost operator binds, as CEL's grammar has it.
CHOICE, OR, AND, RELATION, SUM, PRODUCT, UNARY, PRIMARY = range(1, 9)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_RESERVED = frozenset(
    [
        "in",
        "true",
        "false",
        "null",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)


class View(Protocol):
    """The spot at which a formula is written: a scope of tasks and, in a map, the name that its item takes there."""

    @property
    def hides(self) -> str | None: ...


class Root(Protocol):
    """A name that depends on where it is written."""

    def written(self, view: View | None) -> str:
        """The CEL text. Raises BuildError where the root cannot be seen."""


Part = str | Root


@dataclass(frozen=True, slots=True, eq=False)
class Formula:
    """Parts that make CEL text when joined, and how tightly their outermost operator binds."""

    parts: tuple[Part, ...]
    level: int = PRIMARY

    def text(self, view: View | None) -> str:
        return "".join([part if isinstance(part, str) else part.written(view) for part in self.parts])

    def roots(self) -> tuple[Root, ...]:
        return tuple(part for part in self.parts if not isinstance(part, str))

    def within(self, level: int) -> tuple[Part, ...]:
        """The parts, in parentheses when an operator of `level` would tear them apart."""
        return self.parts if self.level >= level else ("(", *self.parts, ")")

    def field(self, name: str) -> Formula:
        return Formula((*self.within(PRIMARY), selector(name)))

    def item(self, key: int | str) -> Formula:
        suffix = f"[{key}]" if isinstance(key, int) else selector(key)
        return Formula((*self.within(PRIMARY), suffix))

    def looked_up(self, key: Formula) -> Formula:
        return Formula((*self.within(PRIMARY), "[", *key.parts, "]"))

    def unary(self, operator: str) -> Formula:
        repeated = self.level == UNARY and self.parts[0] == operator  # CEL takes `!!x`, but no `-!x`
        return Formula((operator, *(self.parts if repeated else self.within(PRIMARY))), UNARY)

    def binary(self, operator: str, right: Formula, level: int) -> Formula:
        """Left-associative, as all of CEL's operators; a comparison of comparisons is put in parentheses."""
        left = self.within(level + 1 if level == RELATION else level)
        return Formula((*left, f" {operator} ", *right.within(level + 1)), level)


def is_name(text: str) -> bool:
    """True when CEL can write it as an identifier."""
    return _NAME.fullmatch(text) is not None and text not in _RESERVED


def selector(name: str) -> str:
    """`.name`, or `["name"]` when it is no identifier."""
    return f".{name}" if is_name(name) else f"[{quoted(name)}]"


def quoted(text: str) -> str:
    """A CEL string literal. Raises BuildError for half a surrogate pair, which no UTF-8 can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BuildError(f"the text {text!r} holds half a surrogate pair, which is no valid UTF-8") from None
    pieces = []
    for char in text:
        if char in '"\\':
            pieces.append("\\" + char)
        elif char in _ESCAPES:
            pieces.append(_ESCAPES[char])
        elif ord(char) < 32 or ord(char) == 127:
            pieces.append(f"\\u{ord(char):04x}")
        else:
            pieces.append(char)
    return '"' + "".join(pieces) + '"'


_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
