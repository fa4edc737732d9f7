"""Problems on the screen: each with its place, the line it means, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from headrace.cli.output import printable, say
from headrace.engine.core.problems import Place, Problem

MOST = 100
"""How many problems are written out; the rest are counted (`--json` has them all)."""


def show_problems(problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
    """Write them to stderr, errors first, and how many there are."""
    colour = sys.stderr.isatty()
    for word, style, listed in (("error", "31;1", problems), ("warning", "33", warnings)):
        for problem in listed[:MOST]:
            say(_written(problem, f"\033[{style}m{word}\033[0m" if colour else word))
        if len(listed) > MOST:
            say(f"… and {len(listed) - MOST} more; --json has them all.")
    if problems or warnings:
        say(f"{_count(len(problems), 'problem')}, {_count(len(warnings), 'warning')}.")


def _written(problem: Problem, word: str) -> str:
    where = f"{problem.place}: " if problem.place else ""
    lines = [f"{where}{word}: {printable(problem.message)} [{problem.code}]"]
    if problem.place and (source := _line(problem.place)):
        lines.append(source)
    if problem.hint:
        lines.append(f"    {printable(problem.hint)}")
    return "\n".join(lines)


def _line(place: Place) -> str | None:
    """The line meant, with a mark below the column; nothing when the file cannot be read again."""
    if place.file is None or place.line is None:
        return None
    lines = _lines(place.file)
    if not 0 < place.line <= len(lines):
        return None
    text = lines[place.line - 1].rstrip("\n")
    start = max((place.column or 1) - 60, 0)
    shown = printable(text[start : start + 100])
    mark = f"\n      {' ' * (place.column - 1 - start)}^" if place.column else ""
    return f"    {'…' if start else ' '} {shown}{mark}".replace("\t", " ")


@lru_cache(maxsize=4)
def _lines(file: str) -> tuple[str, ...]:
    try:
        path = Path(file)
        if path.stat().st_size > 4 << 20:
            return ()
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError, ValueError):
        return ()


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
