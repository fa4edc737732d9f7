"""How many task runs of a run are in each state, as people are shown them: groups are not counted, their tasks are, except
one that failed by its own `output`; a map that has not expanded, is empty or was never entered counts once. Counts whole
arrays at a time."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.engine.core.machine.block import Block
from headrace.engine.core.machine.board import Board
from headrace.engine.core.machine.groups import failed_by_themselves
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Kind

_STATES = range(len(TaskState))
_WORDS = tuple(state.word for state in TaskState)


@dataclass(frozen=True, slots=True)
class _Columns:
    """A region's locals that do not count for themselves. `heads`: the mapped ones, each with the number of tasks inside its
    map where that is a group's, else 0."""

    groups: tuple[int, ...]
    heads: tuple[tuple[int, int], ...]


def counts(board: Board) -> dict[str, int]:
    """By state that occurs."""
    columns = board.plan.memo.get(_Columns)
    if not isinstance(columns, tuple):
        columns = board.plan.memo[_Columns] = tuple(_columns(board.plan))
    found = [0] * len(_STATES)
    blocks = [board.root]
    while blocks:
        block = blocks.pop()
        _count(block, columns, found, blocks)
        found[TaskState.FAILED] += sum(1 for _ in failed_by_themselves(board.plan, block))
    return {_WORDS[state]: found[state] for state in _STATES if found[state]}


def _count(block: Block, columns: tuple[_Columns, ...], found: list[int], below: list[Block]) -> None:
    states, k, children = block.state, block.k, block.children
    for state in _STATES:
        found[state] += states.count(state)
    own = columns[block.region.index]
    for local in own.groups:
        for state in states[local::k]:
            found[state] -= 1
    for local, inside in own.heads:
        for slot in range(local, len(states), k):
            state = states[slot]
            child = children.get(slot)
            if child is not None and child.n:
                found[state] -= 1
                below.append(child)
            elif inside:
                found[state] -= 1
                found[_unentered(state)] += inside


def _unentered(head: int) -> int:
    """What a task inside a map without items is: as good as its map, which it never ran for."""
    if head < TaskState.SUCCEEDED:
        return TaskState.PENDING
    if head == TaskState.SUCCEEDED:
        return TaskState.SKIPPED
    return TaskState.UPSTREAM_FAILED if head == TaskState.FAILED else head


def _columns(plan: Plan) -> list[_Columns]:
    groups: list[list[int]] = [[] for _ in plan.regions]
    heads: list[list[tuple[int, int]]] = [[] for _ in plan.regions]
    inside = _inside(plan)
    for node, kind in enumerate(plan.kinds):
        region = plan.regions[plan.home[node]]
        local = node if region.owner < 0 else node - region.base + 1
        is_group = kind is Kind.GROUP
        items = plan.items.get(node)
        if items is not None:
            heads[region.index].append((local, inside[items] if is_group else 0))
            if is_group:
                groups[items].append(0)
        elif is_group:
            groups[region.index].append(local)
    return [_Columns(tuple(a), tuple(b)) for a, b in zip(groups, heads, strict=True)]


def _inside(plan: Plan) -> list[int]:
    """By region: how many tasks lie in it and in the maps within it, each once."""
    found = [0] * len(plan.regions)
    for node, kind in enumerate(plan.kinds):
        if kind is not Kind.GROUP:
            region = plan.home[node]
            while region >= 0:
                found[region] += 1
                region = plan.regions[region].parent
    return found
