"""What the language has and the engine does not run yet: told while a file is checked, refused when it is to run."""

from __future__ import annotations

from collections.abc import Container, Iterator

from headrace.engine.core.problems import Path, Problem
from headrace.engine.core.workflow import Group, Kind, Task, Workflow

_KINDS = {
    Kind.CONTAINER: "container tasks",
}
_TRIGGERS = ("kafka", "webhook", "after", "assets")


def not_supported(workflow: Workflow) -> list[Problem]:
    """One problem (code `not_supported_yet`) for each use of a feature that is parsed, checked and hashed but not run."""
    return list(_of_workflow(workflow))


def _of_workflow(workflow: Workflow) -> Iterator[Problem]:
    if workflow.retention is not None:
        yield _problem("retention", ("retention",))
    if workflow.notify:
        yield _problem("notify", ("notify",))
    for place, trigger in enumerate(workflow.triggers):
        for kind in _TRIGGERS:
            if kind in trigger:
                yield _problem(f"{kind} triggers", ("triggers", place, kind))
    for section, tasks in (
        ("tasks", workflow.tasks),
        ("on_failure", workflow.on_failure),
        ("finally", workflow.finally_),
    ):
        yield from _of_tasks(tasks, (section,), "")


def _of_tasks(tasks: tuple[Task, ...], path: Path, prefix: str) -> Iterator[Problem]:
    for task in tasks:
        here, name = (*path, task.id), prefix + task.id
        if task.kind in _KINDS:
            yield _problem(_KINDS[task.kind], (*here, task.kind.value), name)
        if task.compensate is not None:
            yield _problem("compensate", (*here, "compensate"), name)
        if task.concurrency:
            yield _problem("concurrency of a task", (*here, "concurrency"), name)
        if isinstance(task.work, Group):
            if task.work.loop is not None:
                yield _problem("loop", (*here, "loop"), name)
            yield from _of_tasks(task.work.tasks, (*here, "tasks"), f"{name}.")


def unknown_pools(workflow: Workflow, known: Container[str] = ()) -> list[Problem]:
    """One problem (code `unknown_pool`) for each task that names a pool which is not `known`: it does not limit."""
    found: list[Problem] = []
    open_: list[tuple[Task, Path, str]] = [
        (task, (section, task.id), task.id)
        for section, tasks in (
            ("tasks", workflow.tasks),
            ("on_failure", workflow.on_failure),
            ("finally", workflow.finally_),
        )
        for task in tasks
    ]
    while open_:
        task, path, name = open_.pop()
        if task.pool is not None and task.pool.name not in known:
            message = f'task "{name}" takes slots of pool "{task.pool.name}", which is not defined.'
            hint = f"It limits once it has slots: headrace pools set {task.pool.name} 4."
            found.append(Problem("unknown_pool", message, hint, (*path, "pool"), name))
        if isinstance(task.work, Group):
            open_ += [(each, (*path, "tasks", each.id), f"{name}.{each.id}") for each in task.work.tasks]
    return found


def _problem(what: str, path: Path, task: str | None = None) -> Problem:
    verb = "are" if what.endswith("s") and what != "compensate" else "is"
    of = f' (task "{task}")' if task else ""
    return Problem("not_supported_yet", f"{what} {verb} checked, but not run yet{of}.", None, path, task)
