"""What reaches the terminal: data on stdout, everything else on stderr, nothing that could steer the terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TextIO

from headrace.api.showing.times import instant as instant

COLOURS = {
    "succeeded": "32",
    "failed": "31;1",
    "upstream_failed": "31",
    "cancelled": "33",
    "cancelling": "33",
    "skipped": "2",
    "removed": "2",
    "running": "36",
    "dispatched": "36",
    "retrying": "35",
    "waiting": "34",
    "queued": "34",
    "paused": "33",
    "pending": "2",
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


def say(text: str = "") -> None:
    """A remark for people, on stderr."""
    print(text, file=sys.stderr)


def paint(text: str, state: str, *, colour: bool | None = None) -> str:
    """The text in the colour of a state, when stdout is a terminal that wants colour (or as `colour` says)."""
    code = COLOURS.get(state)
    return f"\033[{code}m{text}\033[0m" if code and (coloured() if colour is None else colour) else text


def coloured(stream: TextIO | None = None) -> bool:
    """Whether the stream (stdout) takes colour: a terminal, and NO_COLOR is not set."""
    return (stream or sys.stdout).isatty() and not os.environ.get("NO_COLOR")


class State(str):
    """A table's cell that holds a state: shown with its sign and colour. `reason` follows in brackets."""

    __slots__ = ("name",)
    name: str

    def __new__(cls, name: str, reason: str | None = None) -> State:
        text = f"{SIGNS.get(name, '?')} {name}" + (f" ({reason})" if reason else "")
        cell = super().__new__(cls, text)
        cell.name = name
        return cell


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A plain table on stdout: aligned, without frames, each row one line. `empty` is said when there is no row.

    In a terminal the last column is cut at the edge; in a pipe nothing is cut.
    """
    table = [[_cell(cell) for cell in row] for row in rows]
    if not table:
        say(empty)
        return
    table.insert(0, [heading.upper() for heading in headings])
    widths = [max(_width(row[column]) for row in table) for column in range(len(headings))]
    room = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
    for row in table:
        if sys.stdout.isatty() and _width(row[-1]) > room > 8:
            row[-1] = row[-1][: room - 1] + "…"
        shown = (
            (paint(cell, cell.name) if isinstance(cell, State) else cell) + " " * (width - _width(cell))
            for cell, width in zip(row, widths, strict=True)
        )
        print("  ".join(shown).rstrip())


def _width(text: str) -> int:
    """Columns on the screen: East Asian wide letters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _cell(value: object) -> str:
    if isinstance(value, State):
        return value
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return printable(", ".join(map(str, value))) or "-"
    return printable(str(value))


def moment(text: str) -> float:
    """Seconds since the epoch, of a time as `instant` writes it."""
    return datetime.fromisoformat(text).timestamp()


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
