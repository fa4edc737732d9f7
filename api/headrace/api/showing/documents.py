"""The words for how a run stands, the same for people and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.engine.core.states import RunState, TaskState

if TYPE_CHECKING:
    from headrace.engine.ports.cache import Status
    from headrace.engine.ports.store import RunRow

FINAL = frozenset(state.word for state in TaskState if state.final)


def state_word(row: RunRow) -> str:
    """The state as people read it; a paused run that is not final is `paused`."""
    return _as_read(RunState(row.state), row.paused)


def standing_word(status: Status) -> str:
    """The same of a status."""
    return _as_read(RunState[status.state.upper()], status.paused)


def _as_read(state: RunState, paused: bool) -> str:
    return "paused" if paused and not state.final and state is not RunState.CANCELLING else state.word
