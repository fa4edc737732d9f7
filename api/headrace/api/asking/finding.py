"""What a path names, looked up within the asker's project: what belongs to another is not there. No Litestar here."""

from __future__ import annotations

import re

from headrace.api.office import Office
from headrace.api.problems import Problem, missing
from headrace.dsl.words import WORKFLOW_NAME
from headrace.engine.core.plan import Plan
from headrace.engine.core.problems import did_you_mean
from headrace.engine.ports.store import RunRow, VersionNote, VersionRow
from headrace.engine.shell.plans import PlanMissing

_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHOWN = 100
"""Characters of what somebody has asked for that an answer repeats."""
LARGEST = 2**31 - 1


async def run_of(office: Office, project: str, run: str) -> RunRow:
    """The run of that id, whole. Raises Problem (404)."""
    if _RUN.fullmatch(run):
        for row in await office.store.find_runs(project, run):
            if row.id == run:
                return row
    raise missing("run", run[:SHOWN])


async def version_of(office: Office, project: str, name: str, version: int | None = None) -> VersionRow:
    """That version of a workflow, or its newest. Raises Problem (404)."""
    if WORKFLOW_NAME.fullmatch(name) and (version is None or 1 <= version <= LARGEST):
        row = await office.store.version(project, name, version)
        if row is not None:
            return row
        if version is not None:
            await version_of(office, project, name)
            raise missing("version", f"{version} of workflow {name}")
    raise missing("workflow", name[:SHOWN])


async def versions_of(office: Office, project: str, name: str) -> list[VersionNote]:
    """Every version of a workflow, oldest first. Raises Problem (404)."""
    if WORKFLOW_NAME.fullmatch(name):
        found = await office.store.versions(project, name)
        if found:
            return found
    raise missing("workflow", name[:SHOWN])


async def plan_of(office: Office, plan: str) -> Plan:
    """The plan of a stored hash. Raises Problem (500): another release may have written it."""
    try:
        return (await office.plans.get(plan)).plan
    except PlanMissing as problem:
        raise Problem(500, "plan_missing", str(problem)) from problem


def near(name: str, known: list[str]) -> str:
    """` Did you mean …?`, or nothing."""
    hint = did_you_mean(name[:SHOWN], known)
    return f" {hint}" if hint else ""
