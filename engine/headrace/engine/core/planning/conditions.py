"""What a condition comes to whatever happens, as far as its text and the states of tasks make it certain.

Only states have few enough values to try them all; everything else that an expression reads is unknown. As in CEL, a side
that decides `&&` or `||` decides it whatever the other one comes to.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from itertools import product
from math import prod
from typing import Final

from headrace.engine.core.expressions import ExpressionProblem, tree_of
from headrace.engine.core.expressions.syntax import (
    Chain,
    Choice,
    ListOf,
    Literal,
    Logic,
    Macro,
    Name,
    Node,
    Select,
    Unary,
)

Subject = tuple[str, ...]
"""What has a state: ("tasks", id as written), or ("run",)."""
Domains = Callable[[Subject], Collection[str] | None]
"""The states that a subject may have there; None: any."""

_MOST = 2_000  # combinations of states that are tried

_ORDERED: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _Unknown:
    pass


_UNKNOWN: Final = _Unknown()
_Value = bool | int | float | str | bytes | list[object] | None | _Unknown
_States = Mapping[Subject, str]


def certain(text: str, domains: Domains) -> bool | None:
    """True or False where the condition surely comes to that, None where it is open. What cannot be read is open."""
    tree = _tree(text)
    if tree is None:
        return None
    asked = list(dict.fromkeys(subject for subject, _ in _states(tree, frozenset())))
    given = {subject: tuple(states) for subject in asked if (states := domains(subject)) is not None}
    if prod(map(len, given.values())) > _MOST:
        return None
    found = {
        _known(_judge(tree, dict(zip(given, states, strict=True)))) for states in product(*given.values())
    }
    return found.pop() if len(found) == 1 else None


def compared_states(text: str) -> Iterator[tuple[Subject, str]]:
    """Every word that the state of a subject is compared with."""
    tree = _tree(text)
    pending = [tree] if tree is not None else []
    while pending:
        node = pending.pop()
        pending.extend(node.children())
        if isinstance(node, Chain) and len(node.rest) == 1:
            ((sign, right),) = node.rest
            if sign in ("==", "!="):
                for one, other in ((node.first, right), (right, node.first)):
                    subject = _subject(one, frozenset())
                    if subject is not None and isinstance(other, Literal) and isinstance(other.value, str):
                        yield subject, other.value
            elif sign == "in" and isinstance(right, ListOf):
                subject = _subject(node.first, frozenset())
                if subject is not None:
                    for item in right.items:
                        if isinstance(item, Literal) and isinstance(item.value, str):
                            yield subject, item.value


@lru_cache(maxsize=4096)
def _tree(text: str) -> Node | None:
    try:
        return tree_of(text)
    except ExpressionProblem:
        return None  # told where expressions are read


def _states(node: Node, bound: frozenset[str]) -> Iterator[tuple[Subject, Node]]:
    """The states that are read, wherever; names that macros bind are others."""
    subject = _subject(node, bound)
    if subject is not None:
        yield subject, node
        return
    if isinstance(node, Macro):
        yield from _states(node.target, bound)
        for part in node.body:
            yield from _states(part, bound | {node.name})
        return
    for child in node.children():
        yield from _states(child, bound)


def _subject(node: Node, bound: frozenset[str]) -> Subject | None:
    if isinstance(node, Select) and isinstance(node.base, Name) and node.base.name not in bound:
        match node.base.name, node.keys:
            case "tasks", (str() as task, "state"):
                return "tasks", task
            case "run", ("state",):
                return ("run",)
    return None


def _known(value: _Value) -> bool | None:
    return value if isinstance(value, bool) else None


def _judge(node: Node, states: _States) -> _Value:
    match node:
        case Literal(value=value):
            return value
        case Select():
            subject = _subject(node, frozenset())
            return states.get(subject, _UNKNOWN) if subject is not None else _UNKNOWN
        case Unary(operator="!", operand=operand):
            held = _judge(operand, states)
            return not held if isinstance(held, bool) else _UNKNOWN
        case Logic(operator=sign, terms=terms):
            decides = sign == "||"
            values = [_judge(term, states) for term in terms]
            if any(value is decides for value in values):
                return decides
            return not decides if all(value is (not decides) for value in values) else _UNKNOWN
        case Choice(test=test, then=then, otherwise=otherwise):
            held = _judge(test, states)
            return _judge(then if held else otherwise, states) if isinstance(held, bool) else _UNKNOWN
        case ListOf(items=items):
            found = [_judge(item, states) for item in items]
            return _UNKNOWN if _UNKNOWN in found else list[object](found)
        case Chain(first=first, rest=((sign, right),)):
            return _compare(_judge(first, states), sign, _judge(right, states))
    return _UNKNOWN


def _compare(left: _Value, sign: str, right: _Value) -> bool | _Unknown:
    if isinstance(left, _Unknown) or isinstance(right, _Unknown):
        return _UNKNOWN
    if sign == "in":
        if isinstance(right, list) and all(type(item) is type(left) for item in right):
            return left in right
        return _UNKNOWN
    if type(left) is not type(right):
        return _UNKNOWN  # 1 and 1.0, or an error: left to whoever judges
    if sign in ("==", "!="):
        return (left == right) is (sign == "==")
    if sign in _ORDERED and isinstance(left, int | float) and isinstance(right, int | float):
        return _ORDERED[sign](left, right)
    return _UNKNOWN
