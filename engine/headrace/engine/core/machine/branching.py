"""Switches and gates: tasks whose value decides which downstream tasks go on."""

from __future__ import annotations

import json
from collections import deque

from headrace.engine.core.events import Error
from headrace.engine.core.machine.board import Block, Board
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Gate


def gate(board: Board, block: Block, slot: int, opened: bool) -> None:
    """False: every pending task downstream is skipped whatever its rule, teardowns apart; with
    `respect_trigger_rules` only the direct ones."""
    node = block.node(slot)
    work = board.plan.tasks[node].work
    assert isinstance(work, Gate)
    if not opened:
        skip = downstream(board, block, slot, far=not work.respect_trigger_rules)
        for at, spot in skip:
            skip_pending(board, at, spot, "gate")
    board.finish(
        block, slot, TaskState.SUCCEEDED, None if opened else "closed", output=b"true" if opened else b"false"
    )


def switch(board: Board, block: Block, slot: int, chosen: list[str]) -> None:
    """Direct downstream tasks that are not chosen, and that no chosen one leads to, are skipped. A chosen id that is
    no direct downstream fails the task."""
    node = block.node(slot)
    names = board.plan.names.get(node, {})
    targets = set(board.plan.downstream(node))
    picked: set[int] = set()
    for name in chosen:
        target = names.get(name, board.plan.index.get(name))
        if target is None or target not in targets:
            known = ", ".join(sorted(board.plan.ids[t] for t in targets)) or "none"
            message = (
                f'The switch chose "{name}", which is no direct downstream task. Direct downstream: {known}.'
            )
            board.finish(
                block,
                slot,
                TaskState.FAILED,
                "invalid_choice",
                error=Error("switch", message, reason="invalid_choice", retryable=False),
            )
            return
        picked.add(target)
    spared = closure(board, picked)
    offset = slot - slot % block.k
    for target in targets - spared:
        if board.plan.home[target] == block.region.index:
            skip_pending(board, block, offset + block.local(target), "not_chosen")
    board.finish(block, slot, TaskState.SUCCEEDED, output=json.dumps(chosen, separators=(",", ":")).encode())


def chosen_of(output: bytes | None) -> list[str] | None:
    """The ids that a Python switch returned: one, a list, or None for none at all. None when it is neither."""
    value = json.loads(output) if output is not None else []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return None


def closure(board: Board, start: set[int]) -> set[int]:
    """The nodes and everything downstream of them."""
    found = set(start)
    queue = deque(start)
    while queue:
        for target in board.plan.downstream(queue.popleft()):
            if target not in found:
                found.add(target)
                queue.append(target)
    return found


def downstream(board: Board, block: Block, slot: int, far: bool) -> list[tuple[Block, int]]:
    """The slots downstream of a gate, within its own item, nearest first; a group stands for its members."""
    plan = board.plan
    home = block.region.index
    offset = slot - slot % block.k
    found: list[int] = []
    seen = set()
    queue = deque([block.node(slot)])
    while queue:
        node = queue.popleft()
        targets = list(plan.downstream(node))
        if board.static.is_group[node] and node not in plan.items and node != block.node(slot):
            targets += plan.members[node]
        for target in targets:
            if target in seen or plan.home[target] != home:
                continue
            seen.add(target)
            if target not in plan.teardowns:
                found.append(target)
            if far or (board.static.is_group[target] and target not in plan.items):
                queue.append(target)
    return [(block, offset + block.local(target)) for target in found]


def skip_pending(board: Board, block: Block, slot: int, reason: str) -> None:
    if block.state[slot] == TaskState.PENDING:
        board.finish(block, slot, TaskState.SKIPPED, reason)
