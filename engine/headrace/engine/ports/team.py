"""The store of a cluster: beside what every store does, it keeps log lines and tells which letters are to be published."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from headrace.engine.ports.letters import LetterBox
from headrace.engine.ports.logs import LogChunks
from headrace.engine.ports.store import Store


@runtime_checkable
class TeamStore(Store, LetterBox, LogChunks, Protocol):
    """PostgreSQL; a SQLite file is no such store."""
