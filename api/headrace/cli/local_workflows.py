"""Workflows that are registered in this machine's database."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.cli.failure import Stop
from headrace.cli.refusals import no_version, no_workflow

if TYPE_CHECKING:
    from headrace.api.shapes.workflows import VersionDetail, VersionDiff, VersionEntry, WorkflowEntry
    from headrace.cli.settings import Settings
    from headrace.engine.core.plan import Plan
    from headrace.engine.ports.store import Store, VersionNote, VersionRow


class LocalWorkflows:
    """Those of one project."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store, self._project = settings, store, settings.project

    async def list(self) -> Sequence[WorkflowEntry]:
        from headrace.api.shapes.workflows import workflow_entry

        newest = {note.name: note for note in await self._store.versions(self._project)}  # the oldest first
        settings = await self._store.workflow_settings(self._project)
        return [workflow_entry(newest[name], settings.get(name)) for name in sorted(newest)]

    async def versions(self, name: str) -> Sequence[VersionEntry]:
        from headrace.api.shapes.workflows import version_entry

        return [version_entry(row) for row in reversed(await self._versions(name))]

    async def version(self, name: str, number: int | None) -> VersionDetail:
        from headrace.api.shapes.workflows import version_detail

        return version_detail(await self._version(name, number))

    async def diff(self, name: str, from_: int | None, to: int | None) -> VersionDiff:
        from headrace.api.asking.comparing import NoSuchVersion, chosen, compare
        from headrace.api.shapes.workflows import VersionDiff

        try:
            meant = chosen(await self._versions(name), from_, to)
        except NoSuchVersion as unknown:
            raise Stop(str(unknown), hint=f"It has {', '.join(map(str, unknown.known))}.") from None
        found = compare(*[await self._version(name, number) for number in meant])
        return VersionDiff(workflow=name, from_=found.before, to=found.after, diff=found.lines)

    async def set_paused(self, name: str, paused: bool) -> WorkflowEntry:
        from headrace.api.shapes.workflows import workflow_entry
        from headrace.cli.acts import act

        newest = (await self._versions(name))[-1]
        line = act(self._settings, "workflow.set", f"workflow {name}", {"paused": paused})
        settings = await self._store.set_workflow(self._project, name, time.time(), paused=paused, act=line)
        return workflow_entry(newest, settings)

    async def register(self, plan: Plan) -> VersionEntry:
        from headrace.api.shapes.workflows import version_entry
        from headrace.cli.acts import act
        from headrace.engine.shell.schedules.reading import by_time
        from headrace.runners.authored import version_row

        row = version_row(plan, self._project, time.time())
        line = act(self._settings, "workflow.register", f"workflow {row.name}", {"plan": plan.hash})
        schedules = by_time(row.name, plan.workflow.triggers)
        return version_entry(await self._store.register(row, schedules=schedules, act=line))

    async def _version(self, name: str, number: int | None) -> VersionRow:
        """That version, or the newest. Raises Stop."""
        found = await self._store.version(self._project, name, number)
        if found is None:
            raise no_version(name, number or 0, [one.version for one in await self._versions(name)])
        return found

    async def _versions(self, name: str) -> Sequence[VersionNote]:
        """All versions, oldest first. Raises Stop when there is no such workflow, with the nearest name."""
        found = await self._store.versions(self._project, name)
        if not found:
            raise no_workflow(name, {one.name for one in await self._store.versions(self._project)})
        return found
