"""The board: the states of all task runs of one run, as flat arrays, and the one function that moves a state.

Invariants that everything in this package rests on:

* A slot is PENDING until something decides about it; READY in `mark` means it stands in the engine's line.
* `unmet[slot]` counts upstream sources that are not closed yet (a plain task closes when final, a mapped one when
  all its items are); `seen[slot]` holds the bits of `verdicts`. For an entered group `unmet` counts its unfinished
  members instead. All of this follows from the states alone, so a restored board equals the one that was lost.
* In flight and waiting task runs have a `Live`; nothing else costs an object.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from headrace.engine.core.decision import ClearTimers, Decision, Row, RunChange, Transition
from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.events import Error, RerunAsked
from headrace.engine.core.keys import Key, prefix, unpack
from headrace.engine.core.machine import line
from headrace.engine.core.machine.block import RELEASED, Block, Live
from headrace.engine.core.machine.static import Static
from headrace.engine.core.machine.verdicts import FAILED, SETUP_SHOWN, SHOWN, SUCCEEDED, UPSTREAM
from headrace.engine.core.plan import Plan, Rule, Section
from headrace.engine.core.run import RunInfo, RunStatus
from headrace.engine.core.states import MOVES, RUN_MOVES, IllegalMove, RunState, TaskState
from headrace.engine.core.workflow import Json

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
_NOTHING = Live()  # what is known of a task run that is neither in flight nor waiting; never changed


class Board:
    """The run's memory. Modules of this package read and change it only through these methods and `finish`."""

    def __init__(self, plan: Plan, info: RunInfo, status: RunStatus, grants: bool = False) -> None:
        self.plan = plan
        self.info = info
        self.status = status
        self.grants = grants  # pools are enforced: ask for slots
        self.static = Static.of(plan)
        self.decision = Decision()  # the batch's
        self.at = 0.0  # time of the event being decided
        self.cause = 0  # its position in the decision's events
        self.slice_end = 0
        self.clear()

    def clear(self) -> None:
        """Everything pending: how a run, or a generation, begins."""
        plan = self.plan
        self.root = Block(plan.regions[0], None, 0, 0, 1, self.static.unmet[0])
        self.blocks: dict[int, list[Block]] = {0: [self.root]}
        self.live: dict[Key, Live] = {}
        self.since: dict[Key, float] = {}  # ready_at of ready task runs that have timers
        self.open = list(self.static.open)  # unfinished slots of region 0 by section
        self.phase: int = Section.MAIN  # as far as the run has come
        self.killed = False
        self.busy = 0  # in the line or in flight, counted where active_tasks is limited
        self.waiting_room: deque[tuple[Block, int]] = deque()
        # worklists
        self.candidates: deque[tuple[Block, int]] = deque()
        self.exits: deque[tuple[Block, int]] = deque()
        self.releases: deque[Block] = deque()
        self.recalls: list[
            tuple[Block, int]
        ] = []  # switches and gates whose decision must be looked up first
        self.judgements: list[tuple[str, Block, int, object]] = []
        self.sweeps: list[Iterator[None]] = []  # at most one or two; an empty deque takes 600 bytes more
        self.empty: set[Key] = set()  # heads of maps that have no items
        self.barred: dict[tuple[int, int], str] = {}  # see `branching`
        self.ending = False
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
        self, block: Block, slot: int, after: int, reason: str | None = None, key: Key | None = None
    ) -> Row:
        """Check the table, move, record. Returns the row to be written, for the caller to fill in. `key`: the slot's,
        where the caller has it."""
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
        live = self.live.get(key) or _NOTHING
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
    ) -> Row:
        """Give a task run its final state and let what follows from it follow. `key`: the slot's, where the caller has it."""
        if block.mark[slot]:
            line.leave(self, block, slot)
        if key is None:
            key = block.key(slot)
        row = self.move(block, slot, state, reason, key)
        if output is not None:
            row.output = output
        if error is not None:
            row.error = error
        if self.live or self.since:
            live = self.live.pop(key, None)
            if (live is not None and live.timed) or self.since.pop(key, None) is not None:
                self.decision.effects.append(ClearTimers(key))
            if live is not None and live.worker is not None:
                line.leave_room(self)
        if (state == _FINAL or output is not None) and self.static.read[key.task]:
            self.fresh[key] = output
        self.absorb(block, slot, state)
        return row

    def absorb(self, block: Block, slot: int, state: int) -> None:
        """What a final state changes on the board: tallies downstream, the books of its group and map, open counts."""
        shown = SHOWN[state]
        plan = self.plan
        if block.parent is None and self.static.plain[slot]:
            if plan.down_start[slot] != plan.down_start[slot + 1]:
                self.show_directly(block, slot, shown)
            self.count_down(plan.sections[slot])
            return
        if block.parent is not None and slot % block.k == 0:
            self.item_ended(block, slot, state, shown)
            return
        node = block.node(slot)
        unexpanded = slot not in block.children if node in plan.items else True
        if plan.down_start[node] != plan.down_start[node + 1]:
            self.show(block, slot, node, shown if unexpanded else 0, True)
        if block.parent is None:
            self.count_down(plan.sections[node])
        elif unexpanded and slot % block.k in self.static.leaves[block.region.index]:
            self.leaf_shown(block, shown)
        group = plan.group[node]
        if group >= 0:
            gslot = slot // block.k * block.k + block.local(group)
            if block.state[gslot] == _WAITING:
                block.unmet[gslot] -= 1
                if not block.unmet[gslot]:
                    self.exits.append((block, gslot))
        if self.static.is_group[node] and node not in plan.items:
            self.push_members(block, slot, node)

    def count_down(self, section: int) -> None:
        """A slot of region 0 has ended."""
        left = self.open[section] = self.open[section] - 1
        if not left:
            self.ending = True

    def push_members(self, block: Block, slot: int, group: int) -> None:
        """Have every member of a group looked at again: it was entered, or settled without being entered."""
        offset = slot // block.k * block.k
        for member in self.plan.members[group]:
            self.candidates.append((block, offset + block.local(member)))

    def show(self, block: Block, slot: int, node: int, shown: int, close: bool) -> None:
        """Tell the downstream tasks of a node what one of its task runs came to; `close`: no more will come."""
        plan, static = self.plan, self.static
        if close and block.parent is None and static.direct[node]:
            self.show_directly(block, node, shown)
            return
        home = block.region.index
        offset = slot - slot % block.k
        down = plan.down
        for edge in range(plan.down_start[node], plan.down_start[node + 1]):
            target = down[edge]
            bits = shown
            if static.has_setups[target] and node in plan.setups[target]:
                bits |= SETUP_SHOWN[shown]
            if plan.home[target] == home:
                self.tally(block, offset + block.local(target), target, bits, close)
                continue
            for inner in self.blocks.get(plan.home[target], ()):
                if inner.lies_in(block, slot // block.k):
                    local = inner.local(target)
                    for at in range(local, len(inner.state), inner.k):
                        self.tally(inner, at, target, bits, close)

    def show_directly(self, block: Block, node: int, shown: int) -> None:
        """`show` and `tally` for a node whose downstream tasks are all plain ones beside it: a step for each edge, and most
        runs consist of little else."""
        plan, early = self.plan, self.static.early
        seen, unmet, candidates = block.seen, block.unmet, self.candidates
        failed = shown & (FAILED | UPSTREAM)
        for target in plan.down[plan.down_start[node] : plan.down_start[node + 1]]:
            before = seen[target]
            unmet[target] = left = unmet[target] - 1
            if before | shown != before:
                seen[target] = before | shown
                if not left or failed or early[target]:
                    candidates.append((block, target))
            elif not left or failed:
                candidates.append((block, target))

    def tally(self, block: Block, slot: int, node: int, bits: int, close: bool) -> None:
        before = block.seen[slot]
        block.seen[slot] = before | bits
        if close and self.static.is_group[node] and block.state[slot] == TaskState.WAITING:
            return  # an entered group counts members now
        if close:
            block.unmet[slot] -= 1
        if (
            not block.unmet[slot]
            or (before | bits != before and self.static.early[node])
            or (bits & (FAILED | UPSTREAM))
        ) or self.plan.rules[node] == Rule.EXPRESSION:
            self.candidates.append((block, slot))

    # -- books of a map -------------------------------------------------------------------------------------------------

    def item_ended(self, block: Block, slot: int, state: int, shown: int) -> None:
        assert block.parent is not None
        block.ended += 1
        if block.mark[slot] & RELEASED:
            block.live -= 1
        if state == TaskState.SUCCEEDED:
            block.succeeded += 1
        elif state == TaskState.SKIPPED:
            block.skipped += 1
        else:
            if state == TaskState.CANCELLED:
                block.cancelled += 1
            block.failed += 1
            if block.failed > block.allowed and not block.exceeded:
                block.exceeded = True
                held, block.held = block.held, 0
                for bit in (FAILED, UPSTREAM):
                    if held & bit:
                        self.leaf_shown(block, bit)
        if self.static.counted[block.owner]:
            self.show(block.parent, block.head, block.owner, 0, False)
        if self.static.is_group[block.owner]:
            self.push_members(block, slot, block.owner)
        else:
            self.leaf_shown(block, shown)
        self.releases.append(block)

    def leaf_shown(self, block: Block, shown: int) -> None:
        """A leaf of an item ended: the map shows it downstream, unless it is a failure that is tolerated so far."""
        while block.parent is not None:
            if shown & (FAILED | UPSTREAM) and block.allowed and not block.exceeded:
                block.held |= shown
                return
            if block.given & shown == shown:
                return
            block.given |= shown
            parent, head = block.parent, block.head
            node = parent.node(head)
            self.show(parent, head, node, shown, False)
            if parent.parent is None or head % parent.k not in self.static.leaves[parent.region.index]:
                return
            block = parent

    def tolerated(self, block: Block) -> None:
        """The map has ended within its tolerance: what was held back counts as succeeded."""
        if block.held and not block.exceeded:
            block.held = 0
            self.leaf_shown(block, SUCCEEDED)

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
