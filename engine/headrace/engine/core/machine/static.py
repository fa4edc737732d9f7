"""What the machine works out once per plan and shares among all its runs: flags by node, initial counts by region."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from headrace.engine.core.evaluation import Filled
from headrace.engine.core.plan import Plan, Rule, Section
from headrace.engine.core.planning.templates import NodeTemplates, compiled
from headrace.engine.core.workflow import WORKER_KINDS, Group, Kind, Priority, Switch

_CLASS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2, None: -1}


@dataclass(frozen=True, slots=True)
class Static:
    """By node: `simple` — an unmapped worker task without conditions; `early` — its rule may settle before all upstreams
    are final on any sight; `read` — some expression reads its output; `timed` — it has a queue or total timeout."""

    simple: bytes
    early: bytes
    read: bytes
    timed: bytes
    is_group: bytes
    has_setups: bytes
    unmet: tuple[array[int], ...]  # by region: initial number of open sources by local
    leaves: tuple[frozenset[int], ...]  # by region: locals
    direct: bytes  # by node: all its downstream tasks are plain ones of its own region, with a rule from the table
    plain: bytes  # by node: `direct`, and itself in no group, no group and without a map, in region 0
    joint: array[
        int
    ]  # by node: the set of tasks that it belongs to, all of which the same tasks wait for; -1: none
    joints: array[int]  # by such set: how many tasks are in it
    switch: bytes  # by node: a function whose output chooses among its downstream tasks
    lone: bytes  # by node: it has no pool, no cache and no poll and is no switch, so its success concerns nobody but who waits for it
    inputs: dict[int, Filled | None]  # by node, as far as they were asked for: see `given`
    loud: tuple[int, ...]  # the handlers with `fails_run`, those inside groups and maps too
    open: tuple[int, int, int]  # slots of region 0 by section
    counted: bytes  # by node: a rule expression downstream reads it
    cross: frozenset[int]  # nodes with a downstream in a deeper region
    active_tasks: int | None

    @staticmethod
    def of(plan: Plan) -> Static:
        """The plan's, made at first use."""
        known = plan.memo.get(Static)
        if not isinstance(known, Static):
            known = plan.memo[Static] = _make(plan)
        return known


def _make(plan: Plan) -> Static:
    count = len(plan.ids)
    simple, early, timed = bytearray(count), bytearray(count), bytearray(count)
    is_group, has_setups, read = bytearray(count), bytearray(count), bytearray(count)
    eager = {Rule.ALL_SUCCESS: 0, Rule.ALL_DONE: 0, Rule.ALL_DONE_SETUP_SUCCESS: 0}
    for node, task in enumerate(plan.tasks):
        kind = plan.kinds[node]
        executed = kind in WORKER_KINDS or (isinstance(task.work, Switch) and task.work.python is not None)
        simple[node] = executed and task.when is None and task.map is None and task.pool is None
        simple[node] &= node not in plan.left_out
        early[node] = eager.get(Rule(plan.rules[node]), 1)
        timeouts = task.timeouts
        timed[node] = timeouts.queue is not None or timeouts.total is not None
        is_group[node] = isinstance(task.work, Group)
        if kind is Kind.WORKFLOW:
            read[node] = 1
    for node in plan.setups:
        has_setups[node] = 1
    for names in plan.names.values():
        for target in names.values():
            read[target] = 1
    for target in plan.section_names.values():
        read[target] = 1
    unmet = []
    for region in plan.regions:
        counts = array("i", bytes(4 * len(region.nodes)))
        for local, node in enumerate(region.nodes):
            if not (region.owner >= 0 and local == 0):
                counts[local] = plan.up_start[node + 1] - plan.up_start[node]
        unmet.append(counts)
    cross = frozenset(
        node
        for node in range(count)
        if len(plan.regions) > 1 and any(plan.home[d] != plan.home[node] for d in plan.downstream(node))
    )
    plain = bytearray(
        not (is_group[node] or has_setups[node] or plan.rules[node] == Rule.EXPRESSION)
        for node in range(count)
    )
    direct = bytearray(
        all(plain[target] and plan.home[target] == plan.home[node] for target in plan.downstream(node))
        for node in range(count)
    )
    plain = bytearray(
        direct[node]
        and not (plan.home[node] or node in plan.items or is_group[node] or plan.group[node] >= 0)
        for node in range(count)
    )
    joint, joints = _joints(plan, plain, early)
    counted = bytearray(
        any(plan.rules[target] == Rule.EXPRESSION for target in plan.downstream(node))
        for node in range(count)
    )
    slots = plan.sections[: len(plan.regions[0].nodes)]
    return Static(
        bytes(simple),
        bytes(early),
        bytes(read),
        bytes(timed),
        bytes(is_group),
        bytes(has_setups),
        tuple(unmet),
        tuple(frozenset(region.leaves) for region in plan.regions),
        bytes(direct),
        bytes(plain),
        joint,
        joints,
        bytes(kind is Kind.SWITCH for kind in plan.kinds),
        bytes(
            kind is not Kind.SWITCH and task.pool is None and task.cache is None and task.poll is None
            for kind, task in zip(plan.kinds, plan.tasks, strict=True)
        ),
        {},
        tuple(
            node
            for node, task in enumerate(plan.tasks)
            if task.fails_run and plan.sections[node] > Section.MAIN
        ),
        (slots.count(Section.MAIN), slots.count(Section.ON_FAILURE), slots.count(Section.FINALLY)),
        bytes(counted),
        cross,
        plan.workflow.limits.active_tasks,
    )


def _joints(plan: Plan, plain: bytearray, early: bytearray) -> tuple[array[int], array[int]]:
    """Tasks A and tasks B such that each of B waits for exactly A, and each of A is waited for by exactly B: one count serves
    all of B. Rules that may settle before all of A have ended look at each end, so there it does not."""
    joint, joints = array("i", [-1]) * len(plan.ids), array("i")
    tried = bytearray(len(plan.ids))
    for node in range(len(plan.ids)):
        below = plan.downstream(node)
        if tried[node] or not plain[node] or len(below) < 2:
            continue
        above = plan.upstream(below[0])
        alike = [source for source in above if plain[source] and plan.downstream(source) == below]
        for source in alike:  # so that each edge is looked at once, and not once for each of A
            tried[source] = 1
        if len(alike) == len(above) > 1 and not any(
            early[target] or plan.upstream(target) != above for target in below
        ):
            for source in above:
                joint[source] = len(joints)
            joints.append(len(above))
    return joint, joints


def templates_of(plan: Plan, node: int) -> NodeTemplates:
    """The node's compiled templates (memoised by the plan)."""
    return compiled(plan, node)


def priority_class(plan: Plan, node: int, run: Priority) -> int:
    """0 high, 1 normal, 2 low: the task's own priority, else the run's."""
    own = plan.tasks[node].priority
    return _CLASS[own if own is not None else run]
