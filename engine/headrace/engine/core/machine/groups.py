"""Groups whose tasks are well and whose own `output` could not be judged: the one failure that no task tells.

Rules look at a group's leaves, so nothing downstream sees such a failure. It fails the run, and is shown and counted
like that of a task.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headrace.engine.core.machine.block import Block
from headrace.engine.core.plan import Plan
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Group

_LEFT_WELL = frozenset((TaskState.SUCCEEDED, TaskState.SKIPPED))


class Giver(NamedTuple):
    """A group with an `output`, in the region where its states are (an item's: local 0)."""

    node: int
    local: int
    leaves: tuple[int, ...]  # locals of the same region


def givers(plan: Plan) -> tuple[tuple[Giver, ...], ...]:
    """By region (memoised by the plan)."""
    known = plan.memo.get(givers)
    if isinstance(known, tuple):
        return known
    found: list[list[Giver]] = [[] for _ in plan.regions]
    for node, task in enumerate(plan.tasks):
        if not isinstance(task.work, Group) or task.work.output is None:
            continue
        items = plan.items.get(node)
        region = plan.regions[plan.home[node] if items is None else items]
        if items is None:
            leaves = tuple(_local(plan, leaf) for leaf in plan.group_leaves[node])
            found[region.index].append(Giver(node, _local(plan, node), leaves))
        else:
            found[region.index].append(Giver(node, 0, region.leaves))
    made = plan.memo[givers] = tuple(map(tuple, found))
    return made


def failed_by_themselves(plan: Plan, block: Block) -> Iterator[tuple[Giver, int]]:
    """Those of a block, each with its slot."""
    for giver in givers(plan)[block.region.index]:
        for slot in range(giver.local, len(block.state), block.k):
            base = slot - giver.local
            if by_itself(block.state[slot], (block.state[base + leaf] for leaf in giver.leaves)):
                yield giver, slot


def by_itself(group: int, leaves: Iterator[int]) -> bool:
    """Whether a group in that state failed although none of its leaves did."""
    return group == TaskState.FAILED and all(leaf in _LEFT_WELL for leaf in leaves)


def _local(plan: Plan, node: int) -> int:
    region = plan.regions[plan.home[node]]
    return node if region.owner < 0 else node - region.base + 1
