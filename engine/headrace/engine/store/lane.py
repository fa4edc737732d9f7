"""A SQLite connection that belongs to one thread: the driver's own for hot statements, SQLAlchemy's over the same one for the rest.

Transactions are begun and ended here, explicitly: the driver runs with `isolation_level=None` and SQLAlchemy in AUTOCOMMIT,
because the drivers' own idea of when to begin loses updates.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

BUSY_SECONDS = 5.0
PRAGMAS = {
    "journal_mode": "wal",  # readers and the writer do not wait for each other
    "synchronous": 2,  # FULL: what was acknowledged survives a loss of power
    "foreign_keys": 1,
    "wal_autocheckpoint": 1000,  # pages: rarely, yet the log soon begins anew: to overwrite it is cheaper than to let it grow
    "cache_size": -32768,  # KiB
    "temp_store": 2,
}
"""What is set on every connection and read back: SQLite ignores a pragma that it does not like in silence."""


class PragmaIgnored(sqlite3.OperationalError):
    """SQLite did not accept a setting that the promises of the store rest on."""


class Lane:
    """One connection to the file at `path`. Raises sqlite3.Error. `pragmas`: other ones for what is no file."""

    def __init__(
        self, path: str, busy_seconds: float = BUSY_SECONDS, pragmas: Mapping[str, object] = PRAGMAS
    ) -> None:
        self.raw = sqlite3.connect(
            path,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        self._patient = f"PRAGMA busy_timeout = {int(busy_seconds * 1000)}"
        self._waits = True
        try:
            for name, value in pragmas.items():
                self._set(f"PRAGMA {name} = {value}", busy_seconds)
                stored = self.pragma(name)
                if stored != value:
                    raise PragmaIgnored(f"PRAGMA {name} is {stored}, although {value} was asked for")
            # Now, not when first used: SQLAlchemy begins by ending whatever transaction it finds.
            engine = create_engine("sqlite://", creator=lambda: self.raw, poolclass=StaticPool)
            self.sql = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        except BaseException:
            self.raw.close()
            raise

    def _set(self, statement: str, busy_seconds: float) -> None:
        """Execute it. Going over to WAL does not wait for others as all else does, so two first users are told apart here."""
        end = time.monotonic() + busy_seconds
        while True:
            try:
                self.raw.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def pragma(self, name: str) -> object:
        """The value in force."""
        return self.raw.execute(f"PRAGMA {name}").fetchone()[0]

    @contextmanager
    def transaction(self, begin: str = "BEGIN") -> Iterator[None]:
        """Everything within, or nothing."""
        self.be_patient()
        self.raw.execute(begin)
        try:
            yield
            self.commit()
        except BaseException:
            self.roll_back()
            raise

    def begin_at_once(self) -> None:
        """Begin to write, or raise sqlite3.OperationalError at once when another process is writing."""
        self.be_impatient()
        self.raw.execute("BEGIN IMMEDIATE")

    def be_impatient(self) -> None:
        """Raise at once where another process stands in the way, until `be_patient`."""
        # What is done at once follows upon its like: to say it each time costs as much as a row.
        if self._waits:
            self.raw.execute("PRAGMA busy_timeout = 0")
            self._waits = False

    def be_patient(self) -> None:
        """Wait for other processes again, after `be_impatient`."""
        if not self._waits:
            self.raw.execute(self._patient)
            self._waits = True

    def commit(self) -> None:
        """End a transaction that was begun; it is on the disk when this returns."""
        self.raw.execute("COMMIT")

    def roll_back(self) -> None:
        """End a transaction that was begun, if it has not ended by itself, as it does on a full disk."""
        if self.raw.in_transaction:
            self.raw.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; the last one of all processes folds the WAL into the file."""
        self.raw.close()
