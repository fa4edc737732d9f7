"""What an engine can be told. Durations are seconds, sizes bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The defaults are those of docs/design/protocol.md."""

    sole: bool = (
        True  # the workers live and die with this process: at its start nothing is in flight any more
    )
    any_queue: bool = False  # the only worker takes tasks of every queue and label
    survey_seconds: float = 0.25  # how often to look at the other engines
    announce_seconds: float = 2.0  # how often to tell them for which queues there is work
    change_seconds: float = 0.1  # between two such messages, at least
    poll_seconds: float = 0.15  # how often to look for what other processes wrote
    sweep_seconds: float = 1.0  # how often to look for silence
    fresh_seconds: float = 6.0  # a worker without a beat for so long gets nothing
    patience_seconds: float = 5.0  # an attempt unanswered for so long is asked after
    gathered: int = 5_000  # reports in one turn, at most
    unacknowledged: int = 10_000  # attempts sent; above, nothing more is gathered
    picked: int = 2_000  # attempts dispatched in one turn, at most
    inbox_rows: int = 500
    loaded: int = 500  # runs loaded in one turn, at most
    value_cache_bytes: int = 16 << 20
    artifact_bytes: int = 16 << 20  # larger ones are not loaded into expressions
    quiet_gc: bool = True  # let Python's collector of cycles run rarely: what the engine drops has none
    retention_seconds: float | None = None  # ended runs are kept for so long; None: for ever
    only: frozenset[int] | None = None  # decide for these runs (and their children) alone; None: for all
    leave_live: bool = False  # what was live at the start is left alone until a command asks for it
    pools: Mapping[str, int] = field(default_factory=dict)  # name → slots, where the store says nothing

    @classmethod
    def shared(cls, **changed: Any) -> EngineSettings:
        """For one of several engines, whose workers live in other processes: what others write is announced by nudges, so
        that a look each second is enough; and while workers are about the first of many attempts, the next ones are decided."""
        return cls(**{"sole": False, "poll_seconds": 1.0, "picked": 500} | changed)
