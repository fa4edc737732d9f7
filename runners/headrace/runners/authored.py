"""Where an embedded engine finds child workflows, and how it completes parameters: the store first, then the files
that lie beside the parent's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.engine.core.canonical import canonical_json, to_document
from headrace.engine.core.plan import Plan
from headrace.engine.core.workflow import Json
from headrace.engine.ports.store import Store, VersionRow
from headrace.engine.shell.children import CheckParams, Resolver

if TYPE_CHECKING:
    from headrace.engine.core.evaluation import Evaluator

SUFFIXES = (".yaml", ".yml", ".json", ".py")


def version_row(plan: Plan, project: str, at: float) -> VersionRow:
    """What registering a plan stores. `at`: seconds since the epoch."""
    workflow = plan.workflow
    document = canonical_json(to_document(workflow))
    return VersionRow(project, workflow.name, 0, plan.hash, document, workflow.description, workflow.tags, at)


def resolver(store: Store) -> Resolver:
    """Child workflows by name: registered ones, then those in the files of the parent's folder, which are registered
    when they are first used."""

    async def resolve(
        project: str, name: str, version: str | int, folder: str | None
    ) -> tuple[VersionRow, Plan]:
        row = await store.version(project, name, version if isinstance(version, int) else None)
        if folder is not None and not isinstance(version, int):
            plan = await asyncio.to_thread(find, name, folder)
            if plan is not None and (row is None or row.plan != plan.hash):
                row = await store.register(version_row(plan, project, time.time()))
            if plan is not None and row is not None:
                return row, plan
        if row is None:
            where = f" and no file in {folder} defines it" if folder else ""
            raise LookupError(f'Workflow "{name}" is not registered in project "{project}"{where}.')
        from headrace.engine.shell.plans import build

        return row, build(row.document)

    return resolve


def find(name: str, folder: str) -> Plan | None:
    """The workflow of that name in a folder's files. A file that cannot be read is passed over: it may be no workflow
    at all. Raises InvalidWorkflow when the one that is meant is invalid."""
    from headrace.dsl import source
    from headrace.engine.core.problems import InvalidWorkflow

    for path in sorted(Path(folder).iterdir()):
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if name not in text:  # cheap, and keeps unrelated Python files from being run
            continue
        try:
            found = source.load(str(path))
        except InvalidWorkflow:
            continue
        for each in found:
            if each.workflow.name == name:
                return source.plan(each).plan
    return None


def checker(evaluator: Evaluator) -> CheckParams:
    """Completes and checks a child's parameters by its schemas."""

    def check(plan: Plan, given: Mapping[str, Json], scope: Mapping[str, Json]) -> dict[str, Json]:
        from headrace.dsl.parameters import complete

        return complete(plan.workflow, given, scope=scope, evaluator=evaluator)

    return check
