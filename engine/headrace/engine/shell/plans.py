"""Plans in use: loaded from the store once, shared by all runs of a version, with what the shell derives from them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

import msgspec

from headrace.engine.core.plan import Plan
from headrace.engine.core.workflow import Kind, Priority, Task
from headrace.engine.ports.messages import Job, Limits
from headrace.engine.shell.line import Lane, Line

KEPT = 64
KEPT_TASKS = 1_000_000
"""How many plans, and of how many tasks together, stay in memory though no live run uses them."""
LARGE = 20_000
"""From so many bytes of document on, a plan is built on another thread, so leases and timers go on meanwhile."""


class PlanMissing(Exception):
    """A run's plan cannot be had: it is not stored, or this release cannot read it."""


class PlanStore(Protocol):
    """Where plans are stored."""

    async def plan(self, plan: str) -> bytes | None: ...


class Profile(NamedTuple):
    """What dispatching needs to know of a task, shared by all tasks that say the same."""

    lane: Lane
    lease: float  # seconds that a running attempt lives without proof of life
    priority: Priority | None  # the task's own
    limits: Limits


class PlanInUse:
    """A plan and what is derived from it: each task's profile and job, and whose values some expression reads."""

    __slots__ = ("__weakref__", "_shared", "jobs", "plan", "profiles", "read")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.profiles: dict[int, Profile] = {}
        self.jobs: dict[str | None, dict[int, Job]] = {}  # by folder, by task
        self.read = frozenset(plan.section_names.values()).union(
            *(names.values() for names in plan.names.values())
        )
        self._shared: dict[tuple[str, int, int, Priority | None, Kind], Profile] = {}

    def profile(self, node: int, line: Line) -> Profile:
        """The task's profile, made at first use."""
        known = self.profiles.get(node)
        if known is None:
            task = self.plan.tasks[node]
            # By identity: tasks of one plan mostly share their labels and timeouts, which the plan keeps alive.
            kind = self.plan.kinds[node]
            says = task.queue, id(task.labels), id(task.timeouts), task.priority, kind
            known = self._shared.get(says)
            if known is None:
                known = self._shared[says] = _profile(task, kind, line)
            self.profiles[node] = known
        return known


def _profile(task: Task, kind: Kind, line: Line) -> Profile:
    timeouts = task.timeouts
    lease = timeouts.heartbeat.total_seconds()
    attempt = None if timeouts.attempt is None else timeouts.attempt.total_seconds()
    return Profile(
        line.lane(task.queue, task.labels, kind.value),
        lease,
        task.priority,
        Limits(attempt, lease, timeouts.grace.total_seconds()),
    )


class Plans:
    """Plans by hash."""

    def __init__(self, store: PlanStore) -> None:
        self._store = store
        self._used: WeakValueDictionary[str, PlanInUse] = WeakValueDictionary()
        self._kept: OrderedDict[str, PlanInUse] = OrderedDict()
        self._tasks = 0

    def offer(self, plan: Plan) -> PlanInUse:
        """Take a plan that the caller has built already."""
        return self._keep(self._used.get(plan.hash) or PlanInUse(plan))

    async def get(self, plan_hash: str) -> PlanInUse:
        """The plan of that hash. Raises PlanMissing."""
        found = self._used.get(plan_hash)
        if found is not None:
            return self._keep(found)
        document = await self._store.plan(plan_hash)
        if document is None:
            raise PlanMissing(f"plan {plan_hash} is not in the store.")
        try:
            if len(document) < LARGE:
                plan = build(document)
            else:
                plan = await asyncio.to_thread(build, document)
        except Exception as problem:
            raise PlanMissing(
                f"plan {plan_hash} cannot be read by this release: {type(problem).__name__}: {problem}"
            ) from problem
        return self.offer(plan)

    def _keep(self, found: PlanInUse) -> PlanInUse:
        plan_hash = found.plan.hash
        if self._kept.get(plan_hash) is found:
            self._kept.move_to_end(plan_hash)
            return found
        self._used[plan_hash] = found
        before = self._kept.pop(plan_hash, None)
        if before is not None:
            self._tasks -= len(before.plan.ids)
        self._kept[plan_hash] = found
        self._tasks += len(found.plan.ids)
        while len(self._kept) > KEPT or (self._tasks > KEPT_TASKS and len(self._kept) > 1):
            _, gone = self._kept.popitem(last=False)
            self._tasks -= len(gone.plan.ids)
        return found


def build(document: bytes) -> Plan:
    """The plan of a canonical document. Raises InvalidWorkflow, ValueError, KeyError for one that is none."""
    from headrace.engine.core.canonical import from_document
    from headrace.engine.core.planning import build_plan

    plan, _ = build_plan(from_document(msgspec.json.decode(document)), checked=True)
    return plan
