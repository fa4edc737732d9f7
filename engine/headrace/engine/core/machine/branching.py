"""Switches and gates: tasks whose value decides which downstream tasks go on.

What they decide holds for the item that they lie in, and for whatever is nested deeper in it. Outside it is shared by
all items: a gate in a mapped group closes off nothing there.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Generator, Iterable, Iterator

from headrace.engine.core.decision import Need, Row
from headrace.engine.core.events import Error
from headrace.engine.core.keys import prefix
from headrace.engine.core.machine.block import Block
from headrace.engine.core.machine.board import Board
from headrace.engine.core.plan import Plan
from headrace.engine.core.run import Answers
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Gate, Kind


def gate(board: Board, block: Block, slot: int, opened: bool) -> None:
    """False: every pending task downstream is skipped whatever its rule, teardowns apart; with
    `respect_trigger_rules` only the direct ones."""
    if not opened:
        bar(board, block, slot, closed_off(board, block.node(slot)), "gate")
    board.finish(
        block, slot, TaskState.SUCCEEDED, None if opened else "closed", output=b"true" if opened else b"false"
    )


def switch(board: Board, block: Block, slot: int, chosen: list[str]) -> Row:
    """Direct downstream tasks that are not chosen, and that no chosen one leads to, are skipped. A chosen id that is
    no direct downstream fails the task. The switch's row."""
    node = block.node(slot)
    targets = set(board.plan.downstream(node))
    picked: set[int] = set()
    for name in chosen:
        target = chosen_node(board, node, name)
        if target in board.plan.left_out:
            continue
        if target is None or target not in targets:
            known = ", ".join(sorted(board.plan.ids[t] for t in targets)) or "none"
            message = (
                f'The switch chose "{name}", which is no direct downstream task. Direct downstream: {known}.'
            )
            error = Error("switch", message, reason="invalid_choice", retryable=False)
            return board.finish(block, slot, TaskState.FAILED, "invalid_choice", error=error)
        picked.add(target)
    bar(board, block, slot, passed_over(board, node, picked), "not_chosen")
    output = json.dumps(chosen, separators=(",", ":")).encode()
    return board.finish(block, slot, TaskState.SUCCEEDED, output=output)


def chosen_node(board: Board, node: int, name: str) -> int | None:
    """What an id that a switch chose means there."""
    return board.plan.names.get(node, {}).get(name, board.plan.index.get(name))


def chosen_of(output: bytes | None) -> list[str] | None:
    """The ids that a Python switch returned: one, a list, or None for none at all. None when it is neither."""
    value = json.loads(output) if output is not None else []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return None


def closure(board: Board, start: set[int]) -> set[int]:
    """The nodes and everything downstream of them; a group leads to its members, and so to what follows them."""
    found = set(start)
    queue = deque(start)
    while queue:
        node = queue.popleft()
        for target in (*board.plan.downstream(node), *board.plan.members.get(node, ())):
            if target not in found:
                found.add(target)
                queue.append(target)
    return found


# -- what they keep from running -----------------------------------------------------------------------------------


def closed_off(board: Board, node: int) -> list[int]:
    """The nodes downstream of a gate, nearest first, teardowns apart; a group stands for its members."""
    plan = board.plan
    work = plan.tasks[node].work
    assert isinstance(work, Gate)
    found: list[int] = []
    seen = {node}
    queue = deque([node])
    while queue:
        at = queue.popleft()
        targets = list(plan.downstream(at))
        if board.static.is_group[at]:
            targets += plan.members[at]
        for target in targets:
            if target in seen:
                continue
            seen.add(target)
            if target not in plan.teardowns:
                found.append(target)
            if not work.respect_trigger_rules or board.static.is_group[target]:
                queue.append(target)
    return found


def passed_over(board: Board, node: int, picked: set[int]) -> list[int]:
    """The direct downstreams of a switch that it did not choose and no chosen one leads to, teardowns apart."""
    spared = closure(board, picked)
    return [at for at in board.plan.downstream(node) if at not in spared and at not in board.plan.teardowns]


def bar(board: Board, block: Block, slot: int, nodes: Iterable[int], reason: str) -> None:
    """Skip these nodes in the item (or run) that the slot lies in: what is pending now, and what pends only once a
    map inside has expanded, for which `board.barred` keeps (node, index of the item that holds the slot)."""
    plan, home = board.plan, block.region
    item = prefix(block.key(slot).map, home.level)
    for node in nodes:
        if plan.home[node] != home.index:
            if not visible(plan, home.index, plan.home[node]):
                continue  # outside the item: other items may reach it
            board.barred[node, item] = reason
        for at, spot in places(board, block, slot, node):
            skip_pending(board, at, spot, reason)
        if node in plan.items:
            for at, spot in within(board, block, slot, plan.items[node], 0):
                skip_pending(board, at, spot, reason)


def places(board: Board, block: Block, slot: int, node: int) -> Iterator[tuple[Block, int]]:
    """The slots of a node that a slot is upstream of: beside it in its item, or in all items of the maps in there."""
    home = board.plan.home[node]
    if home == block.region.index:
        yield block, slot - slot % block.k + block.local(node)
    else:
        local = 0 if node == board.plan.regions[home].owner else node - board.plan.regions[home].base + 1
        yield from within(board, block, slot, home, local)


def within(board: Board, block: Block, slot: int, region: int, local: int) -> Iterator[tuple[Block, int]]:
    """That local of all blocks of a region that lie in the slot's item."""
    for inner in board.blocks.get(region, ()):
        if inner.lies_in(block, slot // block.k):
            for at in range(local, len(inner.state), inner.k):
                yield inner, at


def barred(board: Board, block: Block, slot: int) -> str | None:
    """Why a pending slot is to be skipped: a gate or a switch further out has decided against it."""
    node, path = block.node(slot), block.key(slot).map
    for level in range(block.region.level):
        reason = board.barred.get((node, prefix(path, level)))
        if reason is not None:
            return reason
    return None


def visible(plan: Plan, outer: int, region: int) -> bool:
    """Whether `region` lies inside the items of region `outer`."""
    while region > outer:
        region = plan.regions[region].parent
    return region == outer


def skip_pending(board: Board, block: Block, slot: int, reason: str) -> None:
    if block.state[slot] == TaskState.PENDING:
        board.finish(block, slot, TaskState.SKIPPED, reason)


# -- what was decided before a restart or a rerun ---------------------------------------------------------------------


def remember(board: Board) -> None:
    """Have the decisions of gates and switches looked up that still keep something from running: after a restart
    where a map downstream may yet expand, after a rerun where something downstream begins again."""
    plan = board.plan
    deciders = [node for node in range(len(plan.ids)) if plan.kinds[node] in (Kind.GATE, Kind.SWITCH)]
    for node in deciders:
        if board.status.generation == 1 and not _reaches_inward(board, node):
            continue
        for block in board.blocks.get(plan.home[node], ()):
            for slot in range(block.local(node), len(block.state), block.k):
                if block.state[slot] == TaskState.SUCCEEDED:
                    board.recalls.append((block, slot))


def _reaches_inward(board: Board, node: int) -> bool:
    plan = board.plan
    after = closed_off(board, node) if plan.kinds[node] is Kind.GATE else plan.downstream(node)
    return any(plan.home[at] != plan.home[node] for at in after)


def recall(board: Board) -> Generator[Need, Answers, None]:
    """Ask for the outputs of `board.recalls` and bar again what they kept from running."""
    spots, board.recalls = board.recalls, []
    keys = frozenset(block.key(slot) for block, slot in spots)
    answers = yield Need(keys, keys, frozenset(), frozenset())
    for block, slot in spots:
        key, node = block.key(slot), block.node(slot)
        stored = answers.values.get(key)
        output = stored.output if stored is not None else None
        if board.plan.kinds[node] is Kind.GATE:
            if output is False:
                bar(board, block, slot, closed_off(board, node), "gate")
        elif isinstance(output, list):
            picked = {target for name in output if (target := chosen_node(board, node, name)) is not None}
            bar(board, block, slot, passed_over(board, node, picked), "not_chosen")
