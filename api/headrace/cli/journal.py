"""What a process that serves says while it runs, beside its first and last words: lines on stderr, for people or as JSON.

A line of JSON has `time`, `level`, `logger`, `message`, and where they are known `run`, `task`, `attempt`, `trace` and what else
its writer names. Values of parameters, outputs and secrets are never among them.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

Style = Literal["json", "text"]

FIELDS = ("run", "task", "attempt", "worker", "part", "request", "route", "actor", "address", "milliseconds")
"""What a line may name beside its message: `extra` of whoever writes it, in this order."""
LONGEST = 16_000
"""Characters of a message, or of a trace."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def keep(style: Style | None = None) -> None:
    """Show what Headrace logs, from INFO on; what other libraries and users' code log stays theirs.

    `style` None: text in a terminal, else JSON, for then a program reads it.
    """
    if style is None:
        style = "text" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if style == "json" else PlainLines())
    handler.addFilter(_known)
    ours = logging.getLogger("headrace")
    ours.setLevel(logging.INFO)
    ours.addHandler(handler)
    ours.propagate = False


def _known(record: logging.LogRecord) -> bool:
    """Add what is known of the task or request in whose context the line was written."""
    attempt = _of("headrace.runners.context", "RUNNING")
    if attempt is not None and not hasattr(record, "run"):
        dispatch = attempt.dispatch
        record.run, record.task, record.attempt = dispatch.run_id, dispatch.job.task_id, dispatch.attempt
        if dispatch.trace:
            record.trace = dispatch.trace[3:35]
    if not hasattr(record, "request"):
        request = _of("headrace.api.headers", "request_id")
        if request is not None:
            record.request = request
    if not hasattr(record, "trace"):
        traced = _of("headrace.api.operated.tracing", "TRACEPARENT")
        if traced is not None:
            record.trace = traced[3:35]
    return True


def _of(module: str, name: str) -> Any:
    """A context variable's value, where the module that has it is in use at all: nothing is imported for a log line."""
    found: ContextVar[Any] | None = getattr(sys.modules.get(module), name, None)
    return None if found is None else found.get(None)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:LONGEST],
        }
        for name in (*FIELDS, "trace"):
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value if isinstance(value, int | float) else str(value)[:LONGEST]
        if told := _exception(self, record):
            line["exception"] = told[-LONGEST:]
        return json.dumps(line, ensure_ascii=True)


class PlainLines(logging.Formatter):
    """For a terminal: a line that came from outside can neither forge another nor steer the terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return _CONTROL.sub(_written, super().formatMessage(record).replace("\n", "\\n"))

    def formatException(self, ei: Any) -> str:
        return _CONTROL.sub(_written, super().formatException(ei))


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    if record.exc_text:
        return record.exc_text
    return formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else None


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
