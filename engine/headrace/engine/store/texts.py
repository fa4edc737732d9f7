"""SQL text for the drivers, compiled once from SQLAlchemy Core: the hot path pays for neither building nor caching.

`ManyRows` folds many rows into one statement. That is not about SQLite, which is as quick row by row, but about the
interpreter: Python's module gives the GIL away around every step and then waits for it, 5 ms each time that a user's
thread computes. A thousand rows in eight steps take 40 ms beside such a thread, in a thousand steps 650 ms.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import ClauseElement

_DIALECT = sqlite.dialect(paramstyle="qmark")
_ROW = re.compile(r"VALUES\s*(\((?:\?(?:, )?)+\))", re.IGNORECASE)
_SIZES = (512, 256, 128, 64, 32, 16, 8, 4, 2, 1)


class Text:
    """One statement as text, and the names of what it binds, in order."""

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self.text = str(compiled)
        self.names: tuple[str, ...] = tuple(compiled.positiontup or ())  # type: ignore[attr-defined]

    def bind(self, values: dict[str, Any]) -> list[Any]:
        """The values in the order of the statement."""
        return [values[name] for name in self.names]


class ManyRows:
    """A statement over a `VALUES` row, executed for any number of rows in few steps."""

    def __init__(self, statement: ClauseElement) -> None:
        text = Text(statement)
        found = _ROW.search(text.text)
        if found is None or len(found[1].split(",")) != len(text.names):
            raise ValueError(f"Not a statement over one row of values: {text.text}")
        before, row, after = text.text[: found.start(1)], found[1], text.text[found.end(1) :]
        self._texts = tuple((size, before + ", ".join([row] * size) + after) for size in _SIZES)

    def execute(self, connection: sqlite3.Connection, rows: Sequence[Iterable[Any]]) -> None:
        """Execute for every row; each binds what the statement names, in order."""
        start, count = 0, len(rows)
        for size, text in self._texts:
            while count - start >= size:
                connection.execute(text, list(chain.from_iterable(rows[start : start + size])))
                start += size

    def fetch(self, connection: sqlite3.Connection, rows: Sequence[Iterable[Any]]) -> list[tuple[Any, ...]]:
        """What a query answers for every row."""
        found: list[tuple[Any, ...]] = []
        start, count = 0, len(rows)
        for size, text in self._texts:
            while count - start >= size:
                bound = list(chain.from_iterable(rows[start : start + size]))
                found += connection.execute(text, bound).fetchall()
                start += size
        return found
