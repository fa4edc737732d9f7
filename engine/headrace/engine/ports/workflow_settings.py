"""What people set of a workflow, whatever its version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from headrace.engine.ports.acts import Act


class WorkflowSettings(NamedTuple):
    """`paused`: no run is begun for it. `priority`: of its runs; None: as the workflow says."""

    name: str
    paused: bool = False
    priority: str | None = None
    changed_at: float = 0.0


class Settings(Protocol):
    """By project and name of the workflow, which need not be registered yet."""

    async def workflow_settings(
        self, project: str, names: Sequence[str] | None = None
    ) -> dict[str, WorkflowSettings]:
        """By name, those of all workflows or of these. One of which nothing was ever set is left out."""

    async def set_workflow(
        self,
        project: str,
        name: str,
        at: float,
        *,
        paused: bool | None = None,
        priority: str | None = None,
        act: Act | None = None,
    ) -> WorkflowSettings:
        """Change what is given and leave the rest; the priority "" gives it back to the workflow. Returns what holds now."""
