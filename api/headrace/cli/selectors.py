"""`--select` and `--exclude`: selectors as written, with the lines of a file in the place of `@file`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from cyclopts import Parameter

from headrace.cli.failure import Stop

Select = Annotated[
    list[str] | None,
    Parameter(
        name="--select",
        negative=(),
        help="Run only these: a, +a (and all upstream), a+ (and all downstream), tag:x, @file; repeatable.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    Parameter(name="--exclude", negative=(), help="Run all but these; written as for --select; repeatable."),
]


class Part(NamedTuple):
    """What of a workflow is to run; nothing on either side means all."""

    select: Sequence[str]
    exclude: Sequence[str]


def selectors(flag: str, written: Sequence[str] | None) -> list[str]:
    """Each selector by itself. A file has one on a line; empty lines and lines that begin with # count for nothing. Raises
    Stop."""
    found: list[str] = []
    for word in written or ():
        if not word.startswith("@"):
            found.append(word)
            continue
        try:
            lines = Path(word[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise Stop(f"{flag} {word}: the file cannot be read: {error}") from None
        said = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        if not said:
            raise Stop(f"{flag} {word}: the file names no selector.", hint="Write one on each line.")
        found += said
    return found
