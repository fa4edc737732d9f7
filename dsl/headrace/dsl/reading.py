"""What every reader of files shares: limits, decoding, and the checks of plain values that no format makes.

A document is refused before it can cost anything: its size is looked at before it is read, its nesting while it is
parsed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from headrace.dsl.words import show
from headrace.engine.core.problems import InvalidWorkflow, Path, Place, Problem

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 100
"""How deep maps and lists may nest in a file. Values are bound to 64 when they are judged; a file holds some more."""
MAX_TASKS = 1_000_000
INTEGERS = range(-(2**63), 2**63)


def refuse(
    code: str, message: str, hint: str | None = None, *, place: Place | None = None
) -> InvalidWorkflow:
    """The error of a file that cannot be read at all."""
    return InvalidWorkflow([Problem(code, message, hint, place=place)])


def too_large(size: int | None, file: str | None) -> InvalidWorkflow:
    """The error of a file beyond `MAX_BYTES`; `size` in bytes when it is known."""
    known = f"has {size:,} bytes; " if size is not None else "is larger than "
    limit = f"{MAX_BYTES:,} bytes are allowed" if size is not None else f"{MAX_BYTES:,} bytes"
    return refuse(
        "too_large",
        f"the file {known}{limit}.",
        "Split it: a part can be a workflow of its own, called with `workflow:`.",
        place=Place(file),
    )


def decode(data: bytes | str, file: str | None) -> str:
    """The text of a file: UTF-8, a byte order mark dropped. Raises InvalidWorkflow (too_large, parse_error)."""
    if isinstance(data, str):
        if len(data) > MAX_BYTES:
            raise too_large(len(data), file)
        return data.removeprefix("\ufeff")
    if len(data) > MAX_BYTES:
        raise too_large(len(data), file)
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        raise refuse(
            "parse_error",
            f"the file is not UTF-8: byte 0x{data[error.start]:02x} cannot stand here.",
            "Save it as UTF-8.",
            place=Place(file, line, column),
        ) from None


def check_values(document: Any) -> Iterator[Problem]:
    """What JSON cannot carry or the language forbids, wherever it stands: each problem with its path, without a place.

    Never recursive, so that a document of any depth is refused and not died of.
    """
    pending: list[tuple[Any, Path]] = [(document, ())]
    while pending:
        value, path = pending.pop()
        if isinstance(value, str):
            if not _encodable(value):
                yield Problem("parse_error", f"{show(value)} holds half a surrogate pair.", _WHOLE, path)
        elif isinstance(value, bool) or value is None:
            continue
        elif isinstance(value, int):
            if value not in INTEGERS:
                yield Problem(
                    "parse_error", "an integer beyond 64 bits.", "Write it as text, in quotes.", path
                )
        elif isinstance(value, float):
            if not math.isfinite(value):
                yield Problem(
                    "parse_error", "NaN and infinity are no JSON values.", "Leave it out or use null.", path
                )
        elif len(path) >= MAX_DEPTH:
            yield Problem("parse_error", f"nested more than {MAX_DEPTH} deep.", None, path[:20])
        elif isinstance(value, dict):
            for key, item in value.items():
                if not _encodable(key):
                    yield Problem(
                        "parse_error", f"the key {show(key)} holds half a surrogate pair.", _WHOLE, path
                    )
                    continue
                pending.append((item, (*path, key)))
        else:
            pending.extend((item, (*path, index)) for index, item in enumerate(value))


_WHOLE = "Write the whole character, or replace it."


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
