"""The board: the states of all task runs of one run, as flat arrays, and the one function that moves a state.

Invariants that everything in this package rests on:

* A slot is PENDING until something decides about it; READY in `mark` means it stands in the engine's line.
* `unmet[slot]` counts upstream sources that are not closed yet (a plain task closes when final, a mapped one when
  all its items are); `seen[slot]` holds the bits of `verdicts`. For an entered group `unmet` counts its unfinished
  members instead. All of this follows from the states alone, so a restored board equals the one that was lost.
  Where tasks share a joint (see `Static.joint`) both are behind while all goes well, which no rule there can tell.
* In flight and waiting task runs have a `Live`; nothing else costs an object.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from headrace.engine.core.decision import Awaited, ClearTimers, Decision, Row, RunChange, Transition
from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.events import Error, RerunAsked
from headrace.engine.core.keys import Key, prefix, unpack
from headrace.engine.core.machine import line
from headrace.engine.core.machine.block import Block, Live
from headrace.engine.core.machine.tallies import Tallies
from headrace.engine.core.plan import Plan, Section
from headrace.engine.core.run import RunInfo, RunStatus
from headrace.engine.core.states import MOVES, RUN_MOVES, IllegalMove, RunState, TaskState
from headrace.engine.core.workflow import Json, Kind

KILLED, DEADLINE = "killed", "deadline"
"""Reasons of a run that mean something to the machine."""

_LEGAL = bytes(
    int(TaskState(after) in MOVES[TaskState(before)]) for before in range(12) for after in range(12)
)
_new = tuple.__new__  # a NamedTuple's own constructor costs twice as much
_STATES = tuple(TaskState)
_PENDING = TaskState.PENDING
_WAITING = TaskState.WAITING
_FINAL = int(TaskState.SUCCEEDED)
FOUND_BY_OTHERS = frozenset((Kind.SIGNAL, Kind.APPROVAL))
"""Kinds whose waits others end, and therefore find."""
_NOTHING = Live()  # what is known of a task run that is neither in flight nor waiting; never changed


class Board(Tallies):
    """The run's memory. Modules of this package read and change it only through these methods and `finish`."""

    def __init__(self, plan: Plan, info: RunInfo, status: RunStatus, grants: bool = False) -> None:
        super().__init__(plan)
        self.info = info
        self.status = status
        self.grants = grants  # slots of pools are asked for; False: pools do not limit
        self.decision = Decision()  # the batch's
        self.at = 0.0  # time of the event being decided
        self.cause = 0  # its position in the decision's events
        self.slice_end = 0
        self.clear()

    def clear(self) -> None:
        """Everything pending: how a run, or a generation, begins."""
        self.lay()
        self.live: dict[Key, Live] = {}
        self.since: dict[Key, float] = {}  # ready_at of ready task runs that have timers
        self.phase: int = Section.MAIN  # as far as the run has come
        self.killed = False
        self.busy = 0  # in the line or in flight, counted where active_tasks is limited
        self.waiting_room: deque[tuple[Block, int]] = deque()
        # worklists, beside those of the tallies
        self.recalls: list[
            tuple[Block, int]
        ] = []  # switches and gates whose decision must be looked up first
        self.judgements: list[tuple[str, Block, int, object]] = []
        self.sweeps: list[Iterator[None]] = []  # at most one or two; an empty deque takes 600 bytes more
        self.empty: set[Key] = set()  # heads of maps that have no items
        self.barred: dict[tuple[int, int], str] = {}  # see `branching`
        last = self.status.generations[-1] if self.status.generations else None
        self.replaced = frozenset(last.heads if last is not None and last.inputs is not None else ())
        self.fresh: dict[Key, bytes | Artifact | None] = {}  # outputs of this batch, not yet in the store
        self.moving: RerunAsked | None = None  # to another plan, see `moving`

    # -- addresses ------------------------------------------------------------------------------------------------

    def locate(self, key: Key) -> tuple[Block, int] | None:
        """The slot of a task run, or None when there is no such (yet, or any more)."""
        if key.map == 0:
            return (self.root, key.task) if 0 <= key.task < len(self.root.state) else None
        indexes = unpack(key.map)
        if not 0 <= key.task < len(self.plan.ids):
            return None
        home = self.plan.regions[self.plan.home[key.task]]
        region = home
        if len(indexes) == home.level + 1 and key.task in self.plan.items:
            region = self.plan.regions[self.plan.items[key.task]]
        elif len(indexes) != home.level:
            return None
        owners = []
        walk = region
        while walk.parent >= 0:
            owners.append(walk.owner)
            walk = self.plan.regions[walk.parent]
        block, item = self.root, 0
        for owner, index in zip(reversed(owners), indexes, strict=True):
            below = block.children.get(item * block.k + block.local(owner))
            if below is None or index >= below.n:
                return None
            block, item = below, index
        return block, item * block.k + block.local(key.task)

    def instance(self, block: Block, slot: int, node: int) -> tuple[Block, int]:
        """The slot of `node` that an expression at (block, slot) means: its own item's, or an enclosing one's."""
        home = self.plan.home[node]
        while block.region.index != home:
            assert block.parent is not None, "names only reach outwards"
            slot, block = block.head, block.parent
        return block, slot // block.k * block.k + block.local(node)

    def group_slot(self, block: Block, slot: int) -> int:
        """The slot of the innermost group around a slot, or -1. The group of an item is the map's head's: -1 here."""
        if block.parent is not None and slot % block.k == 0:
            return -1
        group = self.plan.group[block.node(slot)]
        return -1 if group < 0 else slot // block.k * block.k + block.local(group)

    def slots(self) -> Iterator[tuple[Block, int]]:
        """Every slot there is now, outer blocks first."""
        for region in sorted(self.blocks):
            for block in list(self.blocks[region]):
                for slot in range(len(block.state)):
                    yield block, slot

    def replacement(self, key: Key) -> Json:
        """What this generation gives the task run in place of its `with`; None: nothing. A mapped task that was named
        stands for its items."""
        if not self.replaced:
            return None
        head = Key(key.task, prefix(key.map, self.plan.regions[self.plan.home[key.task]].level))
        if key in self.replaced or head in self.replaced:
            return self.status.generations[-1].inputs
        return None

    # -- the one place that moves a state -----------------------------------------------------------------------------

    def move(
        self,
        block: Block,
        slot: int,
        after: int,
        reason: str | None = None,
        key: Key | None = None,
        live: Live | None = None,
    ) -> Row:
        """Check the table, move, record. Returns the row to be written, for the caller to fill in. `key`, `live`: the slot's,
        where the caller has them."""
        states = block.state
        before = states[slot]
        if key is None:
            key = block.key(slot)
        if not _LEGAL[before * 12 + after]:
            events = self.decision.events
            raise IllegalMove(
                f"run {self.info.id} {self.plan.ids[key.task]} {unpack(key.map)}",
                TaskState(before),
                TaskState(after),
                events[self.cause] if self.cause < len(events) else None,
            )
        states[slot] = after
        if live is None:
            live = self.live.get(key, _NOTHING)
        decision = self.decision
        decision.transitions.append(_new(Transition, (self.cause, key, before, after, reason, live.attempt)))
        row = decision.rows.get(key)
        if row is None:
            row = decision.rows[key] = Row(
                _STATES[after],
                reason,
                live.attempt,
                live.epoch,
                live.n,
                live.worker,
                live.ready_at,
                live.started_at,
                None,
                live.due_at,
            )
        else:
            row.state = _STATES[after]
            row.reason = reason
            row.output = None
            if live is not _NOTHING:
                row.attempt = live.attempt
                row.epoch = live.epoch
                row.n = live.n
                row.worker = live.worker
                row.started_at = live.started_at
                row.ready_at = live.ready_at
                row.due_at = live.due_at
        if after >= _FINAL:
            row.finished_at = self.at
            row.due_at = None
        elif live.progress is not None:
            row.output = live.progress
        return row

    def row(self, key: Key) -> Row:
        """This batch's row of a task run."""
        rows = self.decision.rows
        row = rows.get(key)
        if row is None:
            row = rows[key] = Row()
        return row

    def sliced(self) -> bool:
        """Whether this batch holds a whole slice of transitions, and the rest must wait for the next."""
        return len(self.decision.transitions) >= self.slice_end

    # -- ends ---------------------------------------------------------------------------------------------------------

    def finish(
        self,
        block: Block,
        slot: int,
        state: int,
        reason: str | None = None,
        *,
        output: bytes | None = None,
        error: Error | None = None,
        key: Key | None = None,
        live: Live | None = None,
    ) -> Row:
        """Give a task run its final state and let what follows from it follow. `key`, `live`: the slot's, where the caller has
        them."""
        if block.mark[slot]:
            line.leave(self, block, slot)
        if key is None:
            key = block.key(slot)
        row = self.move(block, slot, state, reason, key, live)
        if output is not None:
            row.output = output
        if error is not None:
            row.error = error
        if self.live or self.since:
            live = self.live.pop(key, None)
            if (live is not None and live.timed) or self.since.pop(key, None) is not None:
                self.decision.effects.append(ClearTimers(key))
                if self.plan.kinds[key.task] in FOUND_BY_OTHERS:
                    self.decision.effects.append(Awaited(key))
            if live is not None and live.worker is not None and self.static.active_tasks is not None:
                line.leave_room(self)
        if self.static.read[key.task] and (state == _FINAL or output is not None):
            self.fresh[key] = output
        self.absorb(block, slot, state)
        return row

    # -- the run --------------------------------------------------------------------------------------------------------

    def move_run(self, after: RunState, reason: str | None = None) -> None:
        before = self.status.state
        if after is not before:
            if after not in RUN_MOVES[before]:
                raise IllegalMove(
                    f"run {self.info.id}", before, after, self.decision.events[self.cause : self.cause + 1]
                )
            self.status.state = after
        if reason is not None:
            self.status.reason = reason
        if after.final:
            self.status.finished_at = self.at
        self.note_run()

    def note_run(self, output: bytes | None = None, artifact: Artifact | None = None) -> None:
        """Have the run's own row written."""
        status = self.status
        self.decision.run = RunChange(
            status.state,
            status.reason,
            status.generation,
            status.started_at,
            status.finished_at,
            output,
            artifact,
            status.paused,
        )
        self.decision.generation = status.generation
