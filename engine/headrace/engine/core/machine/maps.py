"""Maps: expansion into items, the window through which items are let go, tolerance, and the end of the head.

An item is let go only while fewer than `WINDOW` of its map stand in the line, so that a map of 100,000 items costs
the line no more than one of a thousand. The window never limits how many run at once; `max_parallel` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from headrace.engine.core.evaluation import Filled
from headrace.engine.core.events import Error
from headrace.engine.core.keys import MAX_ITEMS
from headrace.engine.core.machine import attempts
from headrace.engine.core.machine.block import RELEASED, Block
from headrace.engine.core.machine.board import Board
from headrace.engine.core.machine.readiness import spared
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.verdicts import SETUP_SHOWN, SHOWN
from headrace.engine.core.workflow import Json, Map

WINDOW = 1_000


class NotExpandable(Exception):
    """The map's value cannot be expanded: the reason code and why."""

    def __init__(self, reason: str, why: str) -> None:
        self.reason = reason
        super().__init__(why)


def length(spec: Map, value: Json) -> int:
    """How many items the judged value `{"over" | "product" | "zip": …}` gives. Raises NotExpandable."""
    if "over" in value:
        return _checked(spec, _list(value["over"], "over"))
    named: dict[str, Any] = value.get("product") or value.get("zip") or {}
    sizes = {name: _list(items, name) for name, items in named.items()}
    if "product" in value:
        return _checked(spec, math.prod(sizes.values()))
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise NotExpandable("expression_error", f"`zip` needs lists of equal length: {told}.")
    return _checked(spec, next(iter(sizes.values()), 0))


def _list(value: Json, name: str) -> int:
    if not isinstance(value, list):
        raise NotExpandable("expression_error", f"`map.{name}` is {kind_of(value)}, not a list.")
    return len(value)


def _checked(spec: Map, count: int) -> int:
    most = min(spec.max_items, MAX_ITEMS)
    if count > most:
        raise NotExpandable("map_too_large", f"The map has {count} items, more than max_items = {most}.")
    return count


def element(value: Json, item: int) -> Json:
    """Element number `item` of a judged map."""
    if "over" in value:
        return value["over"][item]
    if "zip" in value:
        return {name: items[item] for name, items in value["zip"].items()}
    picked: dict[str, Json] = {}
    for name, items in reversed(value["product"].items()):  # the last name is the fastest
        item, at = divmod(item, len(items))
        picked[name] = items[at]
    return {name: picked[name] for name in value["product"]}


def kind_of(value: Json) -> str:
    """A JSON value's kind in words for people."""
    names = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
    }
    return names.get(type(value), "an object")


def expand(board: Board, block: Block, slot: int, value: Json) -> None:
    """The head's map is judged: lay out its items."""
    node = block.node(slot)
    task = board.plan.tasks[node]
    assert task.map is not None
    try:
        count = length(task.map, value)
    except NotExpandable as wrong:
        board.finish(
            block,
            slot,
            TaskState.FAILED,
            wrong.reason,
            error=Error("map", str(wrong), reason=wrong.reason, retryable=False),
        )
        return
    if count == 0:
        state = TaskState.SUCCEEDED if task.on_empty == "succeed" else TaskState.SKIPPED
        row = board.finish(block, slot, state, "empty_map", output=b"[]")
        row.items = 0
        board.empty.add(block.key(slot))
        return
    below = lay_out(board, block, slot, count)
    below.values = value
    row = board.move(block, slot, TaskState.WAITING, "expanded")
    row.items = count
    row.inputs = Filled(value)
    board.releases.append(below)
    board.show(block, slot, node, 0, False)  # how many items there are may decide a rule expression


def lay_out(board: Board, block: Block, slot: int, count: int) -> Block:
    """The arrays of a map's items, with what enclosing tasks have shown to the nodes inside already counted."""
    plan = board.plan
    node = block.node(slot)
    region = plan.regions[plan.items[node]]
    unmet = board.static.unmet[region.index][:]
    seen = bytearray(len(unmet))
    path = block.key(slot).map
    below = Block(region, block, slot, path, count, unmet)
    below.allowed = tolerance(plan.tasks[node].tolerate, count)
    block.children[slot] = below
    board.blocks.setdefault(region.index, []).append(below)
    for local in range(1, below.k):
        inner = plan.regions[region.index].nodes[local]
        for up in plan.upstream(inner):
            if plan.home[up] == region.index:
                continue
            at, spot = board.instance(block, slot, up)
            state = at.state[spot]
            expanded = at.children.get(spot)
            shown = expanded.given if expanded is not None else SHOWN[state]
            seen[local] |= shown
            if board.static.has_setups[inner] and up in plan.setups[inner]:
                seen[local] |= SETUP_SHOWN.get(shown, 0)
            if state >= TaskState.SUCCEEDED:
                unmet[local] -= 1
    below.unmet = unmet * count
    below.seen = seen * count
    return below


def tolerance(tolerate: int | float, count: int) -> int:
    """How many items may fail: a number, or a share of the items, rounded down."""
    if isinstance(tolerate, float):
        return math.floor(tolerate * count + 1e-9)
    return tolerate


def release(board: Board, block: Block) -> None:
    """Let go of further items as far as window and max_parallel allow; end the map when all items have ended."""
    if block.parent is None:
        return
    parent, head = block.parent, block.head
    if parent.state[head] != TaskState.WAITING:
        return
    task = board.plan.tasks[block.owner]
    cancelling = board.status.state is RunState.CANCELLING and not spared(board, block.owner)
    stopping = block.exceeded and task.fail_fast
    most = task.max_parallel or block.n
    while block.cursor < block.n:
        slot = block.cursor * block.k
        if block.state[slot] != TaskState.PENDING or block.mark[slot] & RELEASED:
            block.cursor += 1
            continue
        if cancelling or stopping:
            if board.sliced():
                board.releases.append(block)
                return
            block.cursor += 1
            board.finish(block, slot, TaskState.CANCELLED, "run_cancelled" if cancelling else "fail_fast")
            continue
        if block.live >= most or block.lined + block.entering >= WINDOW:
            break
        block.cursor += 1
        block.live += 1
        block.entering += 1
        block.mark[slot] |= RELEASED
        board.candidates.append((block, slot))
    if stopping and not block.stopped:
        block.stopped = True
        cancel_unstarted(board, block)
    if block.ended == block.n:
        end(board, block)


def cancel_unstarted(board: Board, block: Block) -> None:
    """fail_fast: items that were let go but have not started are cancelled too."""
    for item in range(block.cursor):
        spots = list(within(board, block, item))
        if all(unstarted(board, at, slot) for at, slot in spots):
            for at, slot in spots:
                if at.state[slot] in (TaskState.PENDING, TaskState.QUEUED):
                    attempts.release_slots(board, at.key(slot))
                    board.finish(at, slot, TaskState.CANCELLED, "fail_fast")


def within(board: Board, block: Block, item: int) -> Iterator[tuple[Block, int]]:
    """Every slot of an item, those of the maps in it included."""
    for slot in range(item * block.k, (item + 1) * block.k):
        yield block, slot
        below = block.children.get(slot)
        if below is not None:
            for inner in range(below.n):
                yield from within(board, below, inner)


def unstarted(board: Board, block: Block, slot: int) -> bool:
    """Whether nothing has been run here yet: it is pending, waits in the line or for a pool, or only encloses others."""
    match block.state[slot]:
        case TaskState.PENDING:
            return True
        case TaskState.QUEUED:
            return board.live[block.key(slot)].attempt <= 1
        case TaskState.WAITING:
            return slot in block.children or bool(board.static.is_group[block.node(slot)])
    return False


def end(board: Board, block: Block) -> None:
    """All items have ended: the head gets its state."""
    parent = block.parent
    assert parent is not None
    head = block.head
    board.tolerated(block)
    block.values = None
    row = board.finish(parent, head, *outcome(board, block))
    row.items = block.n  # a row of a later generation stands for all of it


def outcome(board: Board, block: Block) -> tuple[TaskState, str | None]:
    """What a map whose items have all ended has come to."""
    if block.cancelled == block.failed and block.cancelled and board.status.state is RunState.CANCELLING:
        return TaskState.CANCELLED, "run_cancelled"
    if block.exceeded:
        return TaskState.FAILED, "items_failed"
    if block.skipped == block.n:
        return TaskState.SKIPPED, "items_skipped"
    return TaskState.SUCCEEDED, None
