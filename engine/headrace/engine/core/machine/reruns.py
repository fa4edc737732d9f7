"""A rerun: which task runs of a final run begin again, in a new generation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from headrace.engine.core.events import RerunAsked
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import branching, restoring
from headrace.engine.core.machine.block import Block
from headrace.engine.core.machine.board import Board
from headrace.engine.core.run import Generation, RunStatus
from headrace.engine.core.states import RunState, TaskState

_STOPPED = (TaskState.FAILED, TaskState.UPSTREAM_FAILED, TaskState.CANCELLED)


def rerun(board: Board, event: RerunAsked) -> bool:
    """A new generation of a final run: the chosen task runs, all downstream of them, and the handlers begin again;
    everything else keeps its result."""
    status = board.status
    if not status.state.final:
        return False
    if event.plan is not None and event.plan != board.plan.hash:
        board.moving = event
        return True
    heads, reset = chosen(board, event.keys)
    if not reset:
        return False
    status.generation += 1
    status.generations.append(
        Generation(
            status.generation,
            tuple(sorted(reset)),
            event.inputs,
            tuple(sorted(heads)) if event.inputs is not None else (),
        )
    )
    rows = restoring.keep(board.plan, restoring.snapshot(board), reset)
    begin_again(status, board.at)
    restoring.lay(board, rows)
    board.note_run()
    restoring.look_again(board)
    return True


def begin_again(status: RunStatus, at: float) -> None:
    """The run goes on in its new generation. One that was cancelled before it ever started has started now: it has no other
    beginning, and what it does must not be taken for that of a run which still waits for its turn."""
    status.state, status.reason, status.finished_at, status.paused = RunState.RUNNING, None, None, False
    if status.started_at is None:
        status.started_at = at


def chosen(
    board: Board, keys: tuple[Key, ...] | None, added: frozenset[Key] = frozenset()
) -> tuple[set[Key], set[Key]]:
    """Where a rerun begins: what was asked for (or all that failed). And all that it resets: that and what was `added`
    to the graph, everything downstream, and the handlers."""
    plan = board.plan
    if keys is None:
        start = {
            block.key(slot)
            for block, slot in board.slots()
            if block.state[slot] in _STOPPED
            and slot not in block.children
            and not _only_encloses(board, block, slot)
        }
    else:
        start = {key for key in keys if board.locate(key) is not None}
    handlers = {Key(node) for node in range(len(board.root.state)) if plan.sections[node] > 0}
    last = start & handlers
    start -= handlers
    if not start and not added:
        return last, handlers if last else set()
    reset = set(followed(board, start | (added - handlers)))
    reset |= {setup for key in reset if key.task in plan.setups for setup in _setups(board, key)}
    enclosing = {around for key in reset for around in restoring.around(plan, key)}
    # the innermost first: a group of groups is entered anew when all of them are
    for key in sorted(enclosing, key=lambda key: len(restoring.around(plan, key)), reverse=True):
        if _all_members_in(board, key, reset):
            reset.add(key)
    if keys is None:
        start = {key for key in start if _state(board, key) == TaskState.FAILED}
    return start | last, reset | handlers


def _state(board: Board, key: Key) -> int | None:
    spot = board.locate(key)
    return None if spot is None else spot[0].state[spot[1]]


def _only_encloses(board: Board, block: Block, slot: int) -> bool:
    """A group is not chosen itself: its members are. An unexpanded mapped group is, for it has none."""
    node = block.node(slot)
    return bool(board.static.is_group[node]) and (block.is_item(slot) or node not in board.plan.items)


def _all_members_in(board: Board, key: Key, reset: set[Key]) -> bool:
    """Whether nothing of a group (or an item of one) is kept, so that it is entered anew."""
    spot = board.locate(key)
    if spot is None or not board.static.is_group[key.task]:
        return False
    block, slot = spot
    if key.task in board.plan.items and not block.is_item(slot):
        return False
    offset = slot - slot % block.k
    return all(block.key(offset + block.local(member)) in reset for member in board.plan.members[key.task])


def followed(board: Board, start: Iterable[Key]) -> Iterator[Key]:
    """The task runs and everything downstream of them. The maps around them end anew, so what follows those does too."""
    found = set(start)
    queue = deque(found)
    while queue:
        key = queue.popleft()
        yield key
        spot = board.locate(key)
        assert spot is not None
        for block, slot in _after(board, *spot):
            after = block.key(slot)
            if after not in found:
                found.add(after)
                queue.append(after)


def _after(board: Board, block: Block, slot: int) -> Iterator[tuple[Block, int]]:
    plan = board.plan
    node = block.node(slot)
    if not block.is_item(slot):
        for target in plan.downstream(node):
            yield from branching.places(board, block, slot, target)
        if node not in plan.items:
            for member in plan.members.get(node, ()):
                yield from branching.places(board, block, slot, member)
    while block.parent is not None:
        block, slot = block.parent, block.head
        for target in plan.downstream(block.node(slot)):
            yield from branching.places(board, block, slot, target)


def _setups(board: Board, teardown: Key) -> Iterator[Key]:
    """What a teardown has torn down and will tear down again: it is set up anew."""
    spot = board.locate(teardown)
    assert spot is not None
    for node in board.plan.setups[teardown.task]:
        block, slot = board.instance(*spot, node)
        yield block.key(slot)
