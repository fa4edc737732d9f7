"""What people have set of a workflow, whatever its version. No Litestar here."""

from __future__ import annotations

from headrace.api.office import Office
from headrace.api.problems import Problem
from headrace.engine.ports.workflow_settings import WorkflowSettings


async def settings_of(office: Office, project: str, name: str) -> WorkflowSettings:
    """What holds for the workflow; where nothing was ever set, what holds for all."""
    found = await office.store.workflow_settings(project, [name])
    return found.get(name) or WorkflowSettings(name)


async def startable(office: Office, project: str, name: str) -> WorkflowSettings:
    """The same. Raises Problem (409) when it is paused: whoever paused the workflow means it."""
    settings = await settings_of(office, project, name)
    if settings.paused:
        raise Problem(
            409, "workflow_paused", f"Workflow {name} is paused: nothing starts it until somebody resumes it."
        )
    return settings
