"""What must hold after every step, and what a good end is. Each invariant has a name; the names are in the design page."""

from __future__ import annotations

from headrace.engine.core.states import MOVES, TaskState
from tests.simulation.protocol.engine_rules import counts
from tests.simulation.protocol.terms import LINE, SAID_SUCCEEDED, Action, Row, Rules, Sizes, State

LOSSES_OF_WORKERS = (
    "a new incarnation beats",
    "beats are missed",
    "beats of a live worker are missed",
    "lease ends",
    "lease ends, unread",
    "lease of a live worker ends",
)
STRICT = Rules()
REAL = (
    TaskState.QUEUED,
    TaskState.DISPATCHED,
    TaskState.RUNNING,
    TaskState.SUCCEEDED,
    TaskState.CANCELLED,
)
"""The engine's own states, by those of the model."""


def judge(before: State, action: Action, after: State, sizes: Sizes) -> str | None:
    """The name of the invariant that this step breaks, or None."""
    if before.ghosts is not after.ghosts or action.name == "starts":
        broken = _execution(before, action, after, sizes)
        if broken:
            return broken
    if action.name in ("read", "commit the offset, then crash") and before.log:
        broken = _hearing(before, action, after)
        if broken:
            return broken
    if before.truth.rows is not after.truth.rows:
        return _rows(before, action, after, sizes)
    return None


def good(state: State) -> bool:
    """Every task run is final."""
    return all(row.final for row in state.truth.rows)


def _worker_faults(state: State, sizes: Sizes) -> bool:
    return state.budget.death < sizes.budget.death or state.budget.cut < sizes.budget.cut


def _execution(before: State, action: Action, after: State, sizes: Sizes) -> str | None:
    if action.name != "starts" or _worker_faults(after, sizes):
        return None
    task, attempt = action.task, action.detail[0]
    if before.ghosts.started[task] >> attempt & 1:
        return "started twice"
    row = before.truth.rows[task]
    if row.final or row.attempt > attempt:
        return "started after its end"
    return None


def _hearing(before: State, action: Action, after: State) -> str | None:
    """The offset moved past one report."""
    said = before.log[0]
    if said.kind < SAID_SUCCEEDED:
        return None
    changed = after.truth.rows != before.truth.rows
    current = counts(before.truth.rows[said.task], said, STRICT)
    if changed and before.ghosts.accepted[said.task] >> said.attempt & 1:
        return "accepted twice"
    if changed and not current:
        return "accepted a stale report"
    if current and not changed:
        return "offset without its effect"
    return None


def _rows(before: State, action: Action, after: State, sizes: Sizes) -> str | None:
    for task, (old, new) in enumerate(zip(before.truth.rows, after.truth.rows, strict=True)):
        if old == new:
            continue
        if old.final or new.attempt < old.attempt:
            return "moved back"
        if action.name == "a stale owner dispatches":
            return "a stale owner wrote"
        if old.state != new.state and not _legal(old, new):
            return "an illegal move"
        if action.name in LOSSES_OF_WORKERS and any(
            said.task == task and said.kind >= SAID_SUCCEEDED and counts(old, said, STRICT)
            for said in before.log
        ):
            return "gave up an attempt whose result was in the log"
        failed = action.name == "read" and before.log[0].kind >= SAID_SUCCEEDED
        forgotten = after.budget.forget < sizes.budget.forget and after.budget.loss < sizes.budget.loss
        if new.attempt > old.attempt and not (failed or forgotten or _worker_faults(after, sizes)):
            return "a new attempt without a cause"
    return None


def _legal(old: Row, new: Row) -> bool:
    """Whether the engine's table of moves allows it. In the line with a new attempt is `retrying`, else `queued`."""
    after = TaskState.RETRYING if new.state == LINE and new.attempt > old.attempt else REAL[new.state]
    return after in MOVES[REAL[old.state]]
