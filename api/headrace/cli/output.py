"""What reaches the terminal: data on stdout, everything else on stderr, nothing that could steer the terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

COLOURS = {
    "succeeded": "green",
    "failed": "bold red",
    "upstream_failed": "red",
    "cancelled": "yellow",
    "cancelling": "yellow",
    "skipped": "dim",
    "removed": "dim",
    "running": "cyan",
    "dispatched": "cyan",
    "retrying": "magenta",
    "waiting": "blue",
    "queued": "blue",
    "paused": "yellow",
    "pending": "dim",
}
SIGNS = {
    "succeeded": "✓",
    "failed": "✗",
    "upstream_failed": "⊘",
    "cancelled": "■",
    "cancelling": "■",
    "skipped": "↷",
    "removed": "-",
    "running": "▶",
    "dispatched": "▷",
    "retrying": "↻",
    "waiting": "…",
    "queued": "◌",
    "paused": "‖",
    "pending": "·",
}
"""A state is shown by sign, word and colour, so that none of them is needed alone."""

_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Text from a task or a file without escape sequences; other control characters are written out."""
    return _TURNING.sub(_written, _CONTROL.sub(_written, text))


def _written(found: re.Match[str]) -> str:
    text = found.group()
    return "" if len(text) > 1 else f"\\x{ord(text):02x}" if ord(text) < 256 else f"\\u{ord(text):04x}"


def print_json(value: Any) -> None:
    """One JSON value on stdout, for programs: keys in the order given, text as UTF-8."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def print_line(value: Any) -> None:
    """One JSON value on one line, at once: a stream of events."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")
    sys.stdout.flush()


@lru_cache(maxsize=2)
def console(stderr: bool = False) -> Console:
    """The terminal. Pages of tables go to stdout; progress and remarks to stderr."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, markup=False)


def say(text: str = "") -> None:
    """A remark for people, on stderr."""
    print(text, file=sys.stderr)


def state_text(state: str, reason: str | None = None) -> Text:
    """`✓ succeeded`, `✗ failed (timed_out)`."""
    from rich.text import Text

    words = f"{SIGNS.get(state, '?')} {state}" + (f" ({reason})" if reason else "")
    return Text(words, style=COLOURS.get(state, ""))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A plain table on stdout: aligned, without frames, each row one line. `empty` is said when there is no row."""
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    if not rows:
        say(empty)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading.upper(), no_wrap=True, overflow="ignore")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else printable(_cell(cell)) for cell in row))
    page = console()
    # A pipe has no width: cut nothing there.
    page.print(table, soft_wrap=True, width=None if page.is_terminal else 1_000, crop=page.is_terminal)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "-"
    return str(value)


def instant(seconds: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339 in UTC with milliseconds: `2026-03-01T06:00:00.000Z`."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock_time(seconds: float) -> str:
    """The time of day here, for people following a run: `06:00:03`."""
    return datetime.fromtimestamp(seconds).strftime("%H:%M:%S")


def span(seconds: float | None) -> str:
    """A duration for people: `0.42s`, `12.3s`, `4m 05s`, `2h 03m`, `3d 04h`."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds:.2f}s"
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600:02}h"


def interactive() -> bool:
    """Whether progress may be drawn: stderr is a terminal that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
