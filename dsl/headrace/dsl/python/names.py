"""Names that expressions know beside tasks and parameters, and the functions that write expressions and text."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.formulas import PRIMARY, Formula, Part
from headrace.dsl.python.references import Reference, formula
from headrace.dsl.python.tracing import Node
from headrace.dsl.python.values import Literal, operand
from headrace.engine.core.problems import did_you_mean


class Run:
    """The run that is going on: a reference, usable as a parameter's default too. Times are UTC."""

    id: str
    workflow: str
    version: int
    trigger: Any
    scheduled_at: datetime
    date: date
    started_at: datetime
    state: str
    """Only in `on_failure` and `finally`."""
    failed: list[str]
    """The ids of the tasks that failed; only in `on_failure` and `finally`."""


class Counts:
    """How the items of a mapped task ended."""

    total: int
    succeeded: int
    failed: int
    skipped: int
    cancelled: int


class Outcome:
    """How a task ended, beside its output: there whatever its state, unlike the output."""

    state: str
    reason: str | None
    error: Any
    run: str
    counts: Counts


def _name(text: str) -> Any:
    return Reference(Formula((text,)))


if TYPE_CHECKING:
    run: Run
else:
    run = _name("run")

params: Any = _name("params")
"""The workflow's parameters by name, for what is written outside of the workflow function."""
event: Any = _name("event")
"""What triggered the run: the message, the request, the schedule's `at` and `date`."""
message: Any = _name("message")
"""A Kafka message's topic, partition, offset, key, headers and time; inside its trigger only."""
item: Any = _name("item")
"""The element of the nearest map, in `when`, `label`, `env` and a constructor's own keys."""
item_index: Any = _name("item_index")
error: Any = _name("error")
"""What a retry rule judges: kind, kinds, message, exit_code, status, attempt."""
output: Any = _name("output")
"""The task's own output, in `poll` and `compensate`."""
loop: Any = _name("loop")
"""`loop.index` and `loop.previous` inside a group that repeats."""


def outcome(call: object) -> Outcome:
    """State, reason, error, child run and counts of a task: `outcome(prices).counts.failed > 3`.

    Raises BuildError unless it is given what a task call gave, whole.
    """
    parts = formula(call).parts if isinstance(call, Reference) else ()
    if len(parts) != 2 or not isinstance(parts[0], Node) or parts[1] != ".output":
        raise BuildError("outcome() takes what a task call gave, whole", code="schema")
    found: Any = Reference(Formula(parts[:1]))
    return found  # type: ignore[no-any-return]


def secret(name: str) -> str:
    """A secret by name: the worker resolves it. It stands alone or within text, never under an operator.

    Raises BuildError for a name that cannot be one.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name, re.ASCII):
        raise BuildError(f"{name!r} is no name of a secret: letters, digits and _", code="schema")
    found: Any = Reference(Formula((f"secrets.{name}",)))
    return found  # type: ignore[no-any-return]


def literal(text: str) -> str:
    """Text that is taken as it is: a `${{` in it begins no template."""
    return Literal(text)


_TOKEN = re.compile(
    r"""
    (?P<text>(?i:br?|rb?)?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    | (?P<number>\d[\w.]*)
    | (?P<field>\.\s*[A-Za-z_]\w*)
    | (?P<name>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


def expr(text: str, **values: Any) -> Any:
    """CEL over references: each keyword's name in the text stands for its value; all else is as in YAML.

    `expr("size(p) > 3", p=prices)` is `size(tasks.price.output) > 3`. Raises BuildError for a keyword that the text
    does not name.
    """
    parts: list[Part] = []
    used: set[str] = set()
    end = 0
    for token in _TOKEN.finditer(text):
        name = token["name"]
        called = text[token.end() :].lstrip().startswith("(")
        if name is None or name not in values or called:
            continue
        used.add(name)
        parts += [text[end : token.start()], *operand(values[name]).within(PRIMARY)]
        end = token.end()
    unused = [name for name in values if name not in used]
    if unused:
        names = [token["name"] for token in _TOKEN.finditer(text) if token["name"]]
        raise BuildError(
            f'"{unused[0]}" is given to expr(), but `{text}` does not name it.',
            did_you_mean(unused[0], names) or "Name it in the text, or leave it out.",
        )
    # An expression written by hand may hold any operator, so it is kept together wherever it goes next.
    return Reference(Formula((*parts, text[end:]), _level(text)))


_SIMPLE = re.compile(r"[\w.]+(?:\([^()]*\))?", re.ASCII)


def _level(text: str) -> int:
    """How tightly the text binds: a name, a path or a plain call stays whole; all else wants parentheses."""
    return PRIMARY if _SIMPLE.fullmatch(text.strip()) else 0
