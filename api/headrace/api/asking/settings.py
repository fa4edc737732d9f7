"""What people have set of a workflow, whatever its version. No Litestar here."""

from __future__ import annotations

from headrace.api.office import Office
from headrace.engine.ports.workflow_settings import WorkflowSettings


async def settings_of(office: Office, project: str, name: str) -> WorkflowSettings:
    """What holds for the workflow; where nothing was ever set, what holds for all."""
    found = await office.store.workflow_settings(project, [name])
    return found.get(name) or WorkflowSettings(name)
