"""Laying the board from rows: after a restart, and for a rerun's new generation. The same code does both.

Tallies, open counts and books are never stored; `Board.absorb` works them out again from the states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headrace.engine.core.decision import Row, SetTimer
from headrace.engine.core.keys import Key, pack, unpack
from headrace.engine.core.machine import branching, line, maps, polls, readiness, stopping, waits
from headrace.engine.core.machine.block import RELEASED, Block, Live
from headrace.engine.core.machine.board import FOUND_BY_OTHERS, KILLED, Board
from headrace.engine.core.plan import Plan, Section
from headrace.engine.core.run import RunStatus
from headrace.engine.core.states import RunState, TaskState


def newest(plan: Plan, status: RunStatus, rows: Iterable[tuple[int, Key, Row]]) -> dict[Key, Row]:
    """The rows that count in the current generation: of each task run the newest, but for what a rerun reset."""
    base = status.base
    by_generation: dict[int, dict[Key, Row]] = {}
    for generation, key, row in rows:
        if generation >= base:
            by_generation.setdefault(generation, {})[key] = row
    resets = {g.number: set(g.reset) for g in status.generations if g.number >= base}
    kept: dict[Key, Row] = {}
    for number in sorted(by_generation.keys() | resets.keys()):
        if number in resets:
            kept = keep(plan, kept, resets[number])
        kept.update(by_generation.get(number, {}))
    return kept


def keep(plan: Plan, rows: Mapping[Key, Row], reset: set[Key]) -> dict[Key, Row]:
    """The rows without those that are reset, directly or inside a map or group that is. A map or group that holds
    a reset task run is open again."""
    kept: dict[Key, Row] = {}
    opened = {enclosing for key in reset for enclosing in around(plan, key)}
    for key, row in rows.items():
        if key in reset or any(enclosing in reset for enclosing in around(plan, key)):
            continue
        if key in opened:
            entered = bool(row.items) or key.task in plan.members
            unentered = row.state in (TaskState.SKIPPED, TaskState.UPSTREAM_FAILED) and not row.items
            if unentered or not entered:
                continue
            row = Row(state=TaskState.WAITING, items=row.items, inputs=row.inputs)
        kept[key] = row
    return kept


def around(plan: Plan, key: Key) -> list[Key]:
    """The groups, items and heads that a task run lies in, innermost first."""
    found: list[Key] = []
    node, indexes = key.task, unpack(key.map)
    while True:
        level = plan.regions[plan.home[node]].level
        if len(indexes) > level:  # an item: next comes its head
            indexes = indexes[:level]
        else:
            group = plan.group[node]
            if group < 0:
                return found
            node = group
        found.append(Key(node, pack(indexes)))


def snapshot(board: Board) -> dict[Key, Row]:
    """The board's states as rows, enough to lay it again."""
    rows = {}
    for block, slot in board.slots():
        state = TaskState(block.state[slot])
        if state is not TaskState.PENDING:
            below = block.children.get(slot)
            key = block.key(slot)
            items = below.n if below is not None else 0 if key in board.empty else None
            rows[key] = Row(state=state, items=items)
    return rows


def lay(board: Board, rows: Mapping[Key, Row]) -> None:
    """Set every state, then let the final ones count."""
    board.clear()
    status = board.status
    board.killed = status.state is RunState.CANCELLING and (
        status.reason == KILLED or status.started_at is None
    )
    for key in sorted(rows, key=lambda key: (len(unpack(key.map)), key)):
        row = rows[key]
        spot = board.locate(key)
        if spot is None:
            continue
        block, slot = spot
        block.state[slot] = row.state
        item = block.is_item(slot)
        if row.items == 0:
            board.empty.add(key)
        if item and row.state is not TaskState.PENDING:
            block.mark[slot] |= RELEASED
            block.live += 1
        if row.items and not item and key.task in board.plan.items:
            bare(board, key, row.items)
            continue
        if row.state is TaskState.WAITING and board.static.is_group[key.task]:
            block.unmet[slot] = len(board.plan.members[key.task])
        elif row.state in (
            TaskState.QUEUED,
            TaskState.DISPATCHED,
            TaskState.RUNNING,
            TaskState.RETRYING,
            TaskState.WAITING,
        ):
            board.live[key] = live_of(row)
            if row.worker is not None and row.state in (TaskState.DISPATCHED, TaskState.RUNNING):
                board.busy += 1
        elif row.state is TaskState.PENDING and row.ready_at is not None:
            board.since[key] = row.ready_at
    for block, slot in list(board.slots()):
        if block.state[slot] >= TaskState.SUCCEEDED:
            board.absorb(block, slot, block.state[slot])
    for blocks in board.blocks.values():
        for below in blocks:
            if below.parent is not None and below.parent.state[below.head] >= TaskState.SUCCEEDED:
                board.tolerated(below)
    board.hold_still()


def bare(board: Board, key: Key, count: int) -> None:
    """The arrays of a map's items without anything counted yet: absorbing the states does that."""
    spot = board.locate(key)
    assert spot is not None
    below = maps.lay_out(board, *spot, count)
    below.unmet = board.static.unmet[below.region.index] * count
    below.seen = bytearray(len(below.seen))


def live_of(row: Row) -> Live:
    live = Live()
    live.attempt, live.epoch, live.n, live.worker = row.attempt, row.epoch, row.n, row.worker
    live.ready_at, live.started_at, live.due_at, live.child = (
        row.ready_at,
        row.started_at,
        row.due_at,
        row.child,
    )
    live.timed = True
    live.progress = row.output
    if row.state in (TaskState.DISPATCHED, TaskState.RUNNING):
        live.aborted, live.by = row.reason, row.by  # see `stopping.keep`
    return live


def look_again(board: Board) -> None:
    """Decide again whatever the states imply: after a load nothing that was about to happen is lost."""
    branching.remember(board)
    for block, slot in board.slots():
        state = block.state[slot]
        if state == TaskState.PENDING:
            if block.parent is None or slot % block.k or block.mark[slot] & RELEASED:
                board.candidates.append((block, slot))
        elif state == TaskState.WAITING:
            below = block.children.get(slot)
            if below is not None:
                board.releases.append(below)
            elif board.static.is_group[block.node(slot)] and not block.unmet[slot]:
                board.exits.append((block, slot))
            elif board.static.is_group[block.node(slot)]:
                board.push_members(block, slot, block.node(slot))
            elif polls.waits(board, block, slot):
                _wait_on(board, block, slot, "poll")
            elif board.plan.kinds[block.node(slot)] in FOUND_BY_OTHERS:
                key = block.key(slot)
                waits.tell(board, key, board.live[key], known=True)
        elif state == TaskState.QUEUED and not (
            board.grants and board.plan.tasks[block.node(slot)].pool is not None
        ):
            line.ready(board, block, slot)
        elif state in (TaskState.DISPATCHED, TaskState.RUNNING):
            live = board.live[block.key(slot)]
            if live.aborted is not None:  # the word may never have reached the worker
                stopping.tell(board, block.key(slot), live)
        elif state == TaskState.RETRYING:
            _wait_on(board, block, slot, "retry")
    board.phase = Section.MAIN
    board.ending = board.status.state is not RunState.QUEUED and not board.status.state.final


def _wait_on(board: Board, block: Block, slot: int, timer: str) -> None:
    """It waits between two attempts: the next, if it is due by now."""
    key = block.key(slot)
    due_at = board.live[key].due_at
    if due_at is None or due_at <= board.at:
        readiness.try_again(board, block, slot)
    else:  # its timer may have fired and been forgotten by a clock that was ahead
        board.decision.effects.append(SetTimer(key, timer, due_at))
