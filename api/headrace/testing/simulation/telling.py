"""A workflow in a few lines, for whoever reads of a failure."""

from __future__ import annotations

from collections.abc import Container

from headrace.engine.core.workflow import Group, Task, Workflow


def spelled(workflow: Workflow, less: Container[str] = ()) -> str:
    """Every task with what is not as usual about it, but for those left out."""
    lines: list[str] = []
    for section in ("tasks", "on_failure", "finally_"):
        for task in getattr(workflow, section):
            if task.id not in less:
                _spell(task, "  " if section == "tasks" else f"  {section}: ", lines)
    lines.append(f"  limits: {workflow.limits}, deadline: {workflow.deadline}")
    return "\n".join(lines)


def _spell(task: Task, indent: str, lines: list[str]) -> None:
    plain = Task(task.id, task.work)
    names = [name for name in Task.__dataclass_fields__ if name not in ("id", "work")]
    keys = {name: getattr(task, name) for name in names if getattr(task, name) != getattr(plain, name)}
    if isinstance(task.work, Group):
        lines.append(f"{indent}{task.id}: group {keys}")
        for member in task.work.tasks:
            _spell(member, f"{indent}| ", lines)
    else:
        lines.append(f"{indent}{task.id}: {task.work} {keys}")
