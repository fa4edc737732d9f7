"""Names as the language allows them, and text shown back to people without letting it act on their terminal."""

from __future__ import annotations

import re
from typing import Any

WORKFLOW_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}", re.ASCII)
TASK_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,249}", re.ASCII)
PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
QUEUE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}", re.ASCII)
FUNCTION = re.compile(
    r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*(?:\.[^\W\d]\w*)*)",
)

SCOPE_NAMES = frozenset(
    ("params", "run", "event", "tasks", "item", "item_index", "error", "output", "loop", "secrets", "message")
)
"""What an expression may name by itself; `as` of a map may be none of these."""

_SHOWN = 60


def show(value: Any) -> str:
    """The value in double quotes as an error message may show it: one line, printable, no longer than a glance.

    Control characters, line ends and marks that turn the direction of writing are written as escapes.
    """
    text = value if isinstance(value, str) else describe(value)
    cut = text[:_SHOWN]
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in cut)
    more = f"… ({len(text):,} characters)" if len(text) > _SHOWN else ""
    return f'"{plain}{more}"' if isinstance(value, str) else plain + more


def describe(value: Any) -> str:
    """What a JSON value is, in a word or two."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {show(value)}"
        case list() | tuple():
            return "a list"
        case dict():
            return "a map"
    return f"a {type(value).__name__}"
