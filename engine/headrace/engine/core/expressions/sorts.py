"""What sort of value an expression gives, as far as its text alone makes it certain.

So a condition that can never be true or false is refused where it is written. Nothing is guessed: a path, a call that
hands through what it is given, or two branches that differ are of no certain sort.
"""

from __future__ import annotations

from headrace.engine.core.expressions.syntax import (
    Call,
    Chain,
    Choice,
    Has,
    ListOf,
    Literal,
    Logic,
    Macro,
    MapOf,
    Node,
    Unary,
)

BOOLEAN, NUMBER, TEXT, LIST, MAP = "true or false", "a number", "text", "a list", "a map"

_COMPARED = frozenset(("==", "!=", "<", "<=", ">", ">=", "in"))
_OF_NUMBERS = frozenset(("*", "/", "%"))
_CALLS = {
    **dict.fromkeys(("contains", "startsWith", "endsWith", "matches", "bool"), BOOLEAN),
    **dict.fromkeys(("size", "double", "int", "sum", "indexOf"), NUMBER),
    **dict.fromkeys(
        (
            "string",
            "join",
            "replace",
            "substring",
            "trim",
            "lowerAscii",
            "upperAscii",
            "json",
            "hash",
            "format_time",
        ),
        TEXT,
    ),
    **dict.fromkeys(("split", "compact", "keys", "entries"), LIST),
    "timestamp": "a time",
    "duration": "a duration",
    "type": "a type",
}
_NUMERIC = ("math.", "get")  # math.abs…, getHours…


def certain_sort(tree: Node) -> str | None:
    """The sort of the value in words, or None where the text leaves it open."""
    match tree:
        case Literal(value=value):
            return _of_literal(value)
        case Has() | Logic():
            return BOOLEAN
        case Unary(operator=operator, operand=operand):
            return BOOLEAN if operator == "!" else certain_sort(operand)
        case Chain(first=first, rest=rest):
            return _of_chain(first, rest)
        case Choice(then=then, otherwise=otherwise):
            sort = certain_sort(then)
            return sort if sort == certain_sort(otherwise) else None
        case Macro(macro=macro):
            return LIST if macro in ("map", "filter") else BOOLEAN
        case Call(function=function):
            return _of_call(function)
        case ListOf():
            return LIST
        case MapOf():
            return MAP
    return None


def _of_literal(value: bool | int | float | str | bytes | None) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return BOOLEAN
        case int() | float():
            return NUMBER
        case str():
            return TEXT
    return "bytes"


def _of_chain(first: Node, rest: tuple[tuple[str, Node], ...]) -> str | None:
    operators = {operator for operator, _ in rest}
    if operators & _COMPARED:
        return BOOLEAN
    if operators & _OF_NUMBERS:
        return NUMBER
    sorts = {certain_sort(first), *(certain_sort(node) for _, node in rest)} - {None}
    return sorts.pop() if len(sorts) == 1 else None


def _of_call(function: str) -> str | None:
    known = _CALLS.get(function)
    if known is None and function != "get" and function.startswith(_NUMERIC):
        return NUMBER
    return known
