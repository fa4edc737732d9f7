"""A run as it is asked for: its parameters completed and checked, its identity and its part drawn."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headrace.engine.core.evaluation import Evaluator
from headrace.engine.core.plan import Plan
from headrace.engine.core.workflow import Json
from headrace.engine.ports.store import NewRun, VersionRow
from headrace.engine.shell.children import part_of, run_id
from headrace.engine.shell.times import day_of, rfc3339


def new_run(
    plan: Plan,
    version: VersionRow,
    params: Mapping[str, Json],
    *,
    now: float,
    parts: int,
    trigger: Mapping[str, Json],
    evaluator: Evaluator,
    folder: str | None = None,
    file: str | None = None,
    priority: str | None = None,
    key: str | None = None,
) -> NewRun:
    """The run to create. `now`: seconds since the epoch; `parts`: how many the database has.

    Raises InvalidWorkflow (invalid_parameter) with all that is wrong.
    """
    from headrace.dsl.parameters import complete

    identity = run_id(now)
    scope = {
        "run": {
            "id": identity,
            "workflow": plan.workflow.name,
            "version": version.version,
            "trigger": str(trigger["kind"]),
            "scheduled_at": rfc3339(now),
            "date": day_of(now),
            "started_at": None,
        },
        "event": None,
    }
    return NewRun(
        id=identity,
        project=version.project,
        workflow=plan.workflow.name,
        version=version.version,
        plan=plan.hash,
        part=part_of(identity, parts),
        params=msgspec.json.encode(complete(plan.workflow, params, scope=scope, evaluator=evaluator)),
        trigger=msgspec.json.encode(dict(trigger)),
        created_at=now,
        scheduled_at=now,
        priority=priority or plan.workflow.priority.value,
        key=key,
        folder=folder,
        file=file,
        tags=plan.workflow.tags,
    )
