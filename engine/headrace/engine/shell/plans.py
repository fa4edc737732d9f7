"""Plans in use: loaded from the store once, shared by all runs of a version, with what the shell derives from them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Protocol
from weakref import WeakValueDictionary

import msgspec

from headrace.engine.core.plan import Plan
from headrace.engine.ports.messages import Job
from headrace.engine.shell.line import Lane

KEPT = 64
"""Plans that stay in memory though no live run uses them."""
LARGE = 20_000
"""From so many bytes of document on, a plan is built on another thread, so leases and timers go on meanwhile."""


class PlanMissing(Exception):
    """A run's plan cannot be had: it is not stored, or this release cannot read it."""


class PlanStore(Protocol):
    """Where plans are stored."""

    async def plan(self, plan: str) -> bytes | None: ...


class PlanInUse:
    """A plan and what is derived from it: each task's lane, the job that all its attempts share, and whose values
    some expression reads."""

    __slots__ = ("__weakref__", "jobs", "lanes", "plan", "read")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.lanes: dict[int, Lane] = {}
        self.jobs: dict[tuple[int, str | None], Job] = {}
        self.read = frozenset(plan.section_names.values()).union(
            *(names.values() for names in plan.names.values())
        )


class Plans:
    """Plans by hash."""

    def __init__(self, store: PlanStore) -> None:
        self._store = store
        self._used: WeakValueDictionary[str, PlanInUse] = WeakValueDictionary()
        self._kept: OrderedDict[str, PlanInUse] = OrderedDict()

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
        self._used[plan_hash] = found
        self._kept[plan_hash] = found
        self._kept.move_to_end(plan_hash)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found


def build(document: bytes) -> Plan:
    """The plan of a canonical document. Raises InvalidWorkflow, ValueError, KeyError for one that is none."""
    from headrace.engine.core.canonical import from_document
    from headrace.engine.core.planning import build_plan

    plan, _ = build_plan(from_document(msgspec.json.decode(document)))
    return plan
