"""The machine: events in, decisions out. One per live run.

`decide` is a generator because deciding may need values that are not in memory: it yields a `Need` and is sent
`Answers`. Everything else about it is plain and pure: the same plan, rows and events give the same decision.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from headrace.engine.core import events as e
from headrace.engine.core.concurrency import asks
from headrace.engine.core.decision import Decision, Need, Row
from headrace.engine.core.evaluation import Evaluator
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import (
    attempts,
    branching,
    control,
    ending,
    judging,
    maps,
    moving,
    polls,
    readiness,
    reruns,
    restoring,
    waits,
)
from headrace.engine.core.machine.board import Board
from headrace.engine.core.machine.explaining import Explanation, explain
from headrace.engine.core.machine.scopes import start_scope
from headrace.engine.core.machine.static import templates_of
from headrace.engine.core.plan import Plan
from headrace.engine.core.run import Answers, RunInfo, RunStatus
from headrace.engine.core.selection import narrowed
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import Json

_NO_REASONS: Mapping[Key, str] = MappingProxyType({})
_QUEUED, _FINAL = RunState.QUEUED, int(RunState.SUCCEEDED)
SLICE = 2_000
"""How many transitions of consequences one batch holds at most (docs/design/protocol.md)."""


class RunMachine:
    """Decides for one run."""

    def __init__(self, plan: Plan, info: RunInfo, evaluator: Evaluator, *, grants: bool = False) -> None:
        self.evaluator = evaluator
        self.board = Board(_selected(plan, info), info, RunStatus(), grants)
        self.reasons: Mapping[Key, str] = _NO_REASONS
        """Of what has ended, for whoever is to explain; deciding does not look at them."""

    @classmethod
    def restore(
        cls,
        plan: Plan,
        info: RunInfo,
        evaluator: Evaluator,
        status: RunStatus,
        rows: Iterable[tuple[int, Key, Row]],
        *,
        grants: bool = False,
    ) -> RunMachine:
        """The machine of a run as the store knows it: rows are (generation, key, row without inputs and without outputs of what has ended).
        Feed it `Resumed` first."""
        machine = cls(plan, info, evaluator, grants=grants)
        machine.board.status = status
        rows = list(rows)
        if not rows and status.state is RunState.QUEUED:
            return machine  # it has just begun: the board is laid
        restoring.lay(machine.board, restoring.newest(machine.plan, status, rows))
        return machine

    # -- what the shell may look at -----------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        return self.board.plan

    @property
    def info(self) -> RunInfo:
        return self.board.info

    @property
    def status(self) -> RunStatus:
        return self.board.status

    @property
    def generation(self) -> int:
        return self.board.status.generation

    @property
    def final(self) -> bool:
        return self.board.status.state >= _FINAL

    def state_of(self, key: Key) -> TaskState | None:
        spot = self.board.locate(key)
        return None if spot is None else TaskState(spot[0].state[spot[1]])

    def attempt_of(self, key: Key) -> int:
        """The attempt that a task run makes or waits to make; 0 before its first."""
        live = self.board.live.get(key)
        return 0 if live is None else live.attempt

    def agreed(self, key: Key) -> tuple[str, ...]:
        """Who has agreed so far to an approval that waits."""
        live = self.board.live.get(key)
        return () if live is None else tuple(vote.by for vote in waits.asked(live).votes)

    def stands_for(self, key: Key) -> str | None:
        """What a task run stands for that runs nothing itself: the tasks of a group, or the items of a map that has expanded; None
        for any other."""
        spot = self.board.locate(key)
        if spot is None:
            return None
        if spot[1] in spot[0].children:
            return "items"
        return "tasks" if self.board.static.is_group[key.task] else None

    def can_retry(self, key: Key) -> bool:
        """Whether the task run waits between two attempts, so that the next may begin now."""
        spot = self.board.locate(key)
        return spot is not None and (
            spot[0].state[spot[1]] == TaskState.RETRYING or polls.waits(self.board, *spot)
        )

    def can_rerun(self, keys: tuple[Key, ...] | None) -> bool:
        """Whether a rerun of these task runs (None: of what failed) would run anything."""
        return bool(reruns.chosen(self.board, keys)[1])

    def check_move(self, keys: tuple[Key, ...] | None, plan: Plan, version: int) -> None:
        """Whether a rerun of these task runs could go on with `plan`. Raises Misfit, which says what does not fit."""
        plan = _selected(plan, self.info)
        moving.fit(self.board, keys, plan, version, restoring.snapshot(self.board))

    def explain(self, key: Key, most: int | None = None) -> Explanation | None:
        """Why the task run waits, or what decided it, with at most `most` of its upstreams; None when there is no such task
        run."""
        return explain(self.board, key, most, self.reasons, self._asks())

    def _asks(self) -> Mapping[str, Json]:
        """What a run that has not started waits for, by the names of its workflow's keys."""
        board = self.board
        workflow = board.plan.workflow
        if board.status.state is not RunState.QUEUED:
            return {}
        return asks(workflow, start_scope(workflow.name, board.info), self.evaluator)

    def in_flight(self) -> list[tuple[Key, TaskState, int, int, int, str]]:
        """(key, state, attempt, epoch, n, worker) of every attempt that a worker holds."""
        found: list[tuple[Key, TaskState, int, int, int, str]] = []
        for key, live in self.board.live.items():
            state = self.state_of(key)
            if state in (TaskState.DISPATCHED, TaskState.RUNNING):
                found.append((key, state, live.attempt, live.epoch, live.n, live.worker or ""))
        return found

    # -- deciding -------------------------------------------------------------------------------------------------------

    def decide(self, decision: Decision, events: Sequence[e.Event]) -> Generator[Need, Answers, None]:
        """Add to `decision` what the events cause. Call it again with the same decision for further events of the
        same batch; a new Decision means that the last one was committed."""
        if not self.decide_at_once(decision, events):
            yield from self.decide_on()

    def decide_at_once(self, decision: Decision, events: Sequence[e.Event]) -> bool:
        """`decide` as far as it goes without an expression. False: `decide_on` has the rest."""
        board = self.board
        if decision is not board.decision:
            board.decision = decision
            board.fresh.clear()
            decision.generation = board.status.generation
        taken = decision.events
        decision.rounds.append(len(taken))
        for event in events:
            board.cause = len(taken)
            taken.append(event)
            board.at = event.at
            if not HANDLERS[type(event)](board, event):
                decision.stale += 1
        if board.moving is not None:
            return False
        board.slice_end = len(decision.transitions) + SLICE
        while not board.recalls:
            if not self.cascade():
                decision.more = True
                return True
            if board.judgements:
                return False
            if not board.ending or board.status.state is _QUEUED:
                return True
            ending.advance(board)
        return False

    def decide_on(self) -> Generator[Need, Answers, None]:
        """What `decide_at_once` has left."""
        board = self.board
        decision = board.decision
        if board.moving is not None:
            board = yield from self._go_on(board.moving)
            board.slice_end = len(decision.transitions) + SLICE
        while True:
            if board.recalls:
                yield from branching.recall(board)
            if not self.cascade():
                decision.more = True
                return
            if board.judgements:
                yield from judging.judge_all(board, self.evaluator)
            elif board.ending and board.status.state is not _QUEUED:
                ending.advance(board)
            else:
                return

    def _go_on(self, asked: e.RerunAsked) -> Generator[Need, Answers, Board]:
        """Rerun on another version: from here on its plan is the run's. One that does not fit changes nothing."""
        board, empty = self.board, frozenset[Any]()
        board.moving = None
        answers = yield Need(empty, empty, empty, empty, asked.plan)
        assert answers.plan is not None
        try:
            self.board = moving.moved(board, asked, _selected(answers.plan, self.info), answers.rows)
        except moving.Misfit:
            board.decision.stale += 1
        return self.board

    def cascade(self) -> bool:
        """Work off what follows without evaluating anything. False when a slice is full and more remains."""
        board = self.board
        candidates, exits, releases, sweeps = board.candidates, board.exits, board.releases, board.sweeps
        settle = readiness.settle
        transitions, slice_end = board.decision.transitions, board.slice_end
        while True:
            while candidates:
                if len(transitions) >= slice_end:
                    return False
                block, slot = candidates.popleft()
                settle(board, block, slot)
            if exits:
                leave(board, *exits.popleft())
            elif releases:
                maps.release(board, releases.popleft())
                if releases and board.sliced():
                    return False
            elif sweeps:
                if board.sliced():
                    return False
                if next(sweeps[0], _DONE) is _DONE:
                    del sweeps[0]
            else:
                return True


_DONE = object()


def _selected(plan: Plan, info: RunInfo) -> Plan:
    """What the run is of: all of the plan, or a part."""
    return plan if info.selected is None else narrowed(plan, info.selected)


def leave(board: Board, block: Any, slot: int) -> None:
    """All members of a group have ended: so does the group, by its leaves."""
    if block.state[slot] != TaskState.WAITING:
        return
    node = block.node(slot)
    offset = slot - slot % block.k
    if block.is_item(slot):
        states = {block.state[offset + local] for local in block.region.leaves}
    else:
        states = {block.state[offset + block.local(leaf)] for leaf in board.plan.group_leaves[node]}
    if states & {TaskState.FAILED, TaskState.UPSTREAM_FAILED}:
        board.finish(block, slot, TaskState.FAILED, "leaf_failed")
    elif TaskState.CANCELLED in states:
        board.finish(block, slot, TaskState.CANCELLED, "leaf_cancelled")
    elif states == {TaskState.SKIPPED}:
        board.finish(block, slot, TaskState.SKIPPED, "leaves_skipped")
    elif templates_of(board.plan, node).output is not None:
        board.judgements.append(("exit", block, slot, None))
    else:
        board.finish(block, slot, TaskState.SUCCEEDED)


def _resumed(board: Board, event: e.Resumed) -> bool:
    restoring.look_again(board)
    if board.status.state is RunState.CANCELLING:
        board.sweeps.append(control.sweep_cancelled(board))
    return True


HANDLERS: dict[type, Callable[[Board, Any], bool]] = {
    e.Started: control.start,
    e.Resumed: _resumed,
    e.Continued: lambda board, event: True,
    e.Picked: attempts.picked,
    e.Redelivered: attempts.redelivered,
    e.AttemptStarted: attempts.started,
    e.AttemptSucceeded: attempts.succeeded,
    e.AttemptFailed: attempts.failed,
    e.AttemptSkipped: attempts.skipped,
    e.AttemptCancelled: attempts.cancelled,
    e.HandedBack: attempts.handed_back,
    e.WorkerLost: attempts.lost,
    e.TimerFired: control.timer,
    e.SlotsGranted: attempts.granted,
    e.ChildEnded: control.child_ended,
    e.ChildRefused: control.child_refused,
    e.CancelAsked: control.cancel,
    e.PauseAsked: control.pause,
    e.ResumeAsked: control.resume,
    e.RerunAsked: reruns.rerun,
    e.TaskAsked: control.task,
    e.Decided: waits.decided,
    e.SignalArrived: waits.arrived,
}
"""What each event does; False means it was out of date and changed nothing."""
