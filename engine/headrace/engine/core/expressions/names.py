"""Names: whether what an expression refers to is there, with the nearest name when it is not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from headrace.engine.core.evaluation import Expression, PathParts, Reference, Template
from headrace.engine.core.expressions.problems import ExpressionProblem
from headrace.engine.core.expressions.references import path_text
from headrace.engine.core.problems import did_you_mean

RUN_FIELDS = frozenset({"id", "workflow", "version", "trigger", "scheduled_at", "date", "started_at"})
ENDED_RUN_FIELDS = RUN_FIELDS | {"state", "failed"}
"""What `run` also holds in `on_failure` and `finally`."""

TASK_FIELDS = frozenset({"output", "state", "reason", "error", "run", "counts"})
ERROR_FIELDS = frozenset({"kind", "kinds", "message", "exit_code", "status", "attempt"})
LOOP_FIELDS = frozenset({"index", "previous"})

_SPELLINGS = {"None": "null", "True": "true", "False": "false", "nil": "null", "undefined": "null"}


def check_names(
    target: Expression | Template,
    roots: Collection[str],
    params: Collection[str] | None = None,
    tasks: Collection[str] | Callable[[str], bool] | None = None,
    run_fields: Collection[str] = RUN_FIELDS,
) -> list[ExpressionProblem]:
    """Every reference to something that is not there, each once.

    `roots`: the names that may be used here. `params`, `tasks`: the declared ones, None when the caller checks them;
    `tasks` may be a predicate over the id as written.
    """
    problems: list[ExpressionProblem] = []
    for path, references in _places(target):
        found = dict.fromkeys(
            problem
            for reference in references
            for problem in _check(reference, roots, params, tasks, run_fields)
        )
        problems += [ExpressionProblem(message, hint, 0, path) for message, hint in found]
    return problems


Found = tuple[str, str | None]


def _places(target: Expression | Template) -> Iterator[tuple[PathParts, Iterable[Reference]]]:
    if isinstance(target, Expression):
        yield (), target.references
        return
    for path, parts in target.pieces:
        yield (
            path,
            [reference for part in parts if not isinstance(part, str) for reference in part.references],
        )


def _check(
    reference: Reference,
    roots: Collection[str],
    params: Collection[str] | None,
    tasks: Collection[str] | Callable[[str], bool] | None,
    run_fields: Collection[str],
) -> Iterator[Found]:
    root, name, path, _ = reference
    if root not in roots:
        yield _unknown_root(root, roots, params)
    elif root == "params" and params is not None:
        yield from _field(root, name, params, "parameter")
    elif root == "run":
        yield from _field(root, name, run_fields, "field")
    elif root == "tasks" and name is not None:
        yield from _task(name, path, tasks)
    elif root == "error":
        yield from _field(root, path[0] if path else None, ERROR_FIELDS, "field")
    elif root == "loop":
        yield from _field(root, path[0] if path else None, LOOP_FIELDS, "field")


def _unknown_root(root: str, roots: Collection[str], params: Collection[str] | None) -> Found:
    if root in _SPELLINGS:
        return f"there is no name `{root}` in an expression.", f"Write {_SPELLINGS[root]}."
    if params is not None and root in params and "params" in roots:
        return f"there is no name `{root}` here.", f"A parameter is written params.{root}."
    known = ", ".join(sorted(roots))
    return f"there is no name `{root}` here.", did_you_mean(root, roots) or f"Known here: {known}."


def _field(root: str, name: str | int | None, known: Collection[str], what: str) -> Iterator[Found]:
    if isinstance(name, str) and name not in known:
        listed = ", ".join(sorted(known)) or "none"
        hint = did_you_mean(name, known) or (f"Known: {listed}." if len(known) <= 20 else None)
        yield f"`{root}` has no {what} `{name}`.", hint


def _task(
    name: str, path: PathParts, tasks: Collection[str] | Callable[[str], bool] | None
) -> Iterator[Found]:
    known = _known(tasks)
    field = path[0] if path else None
    if not known(name):
        hint = None if callable(tasks) or tasks is None else did_you_mean(name, tasks)
        yield f'there is no task "{name}" here.', hint
    elif isinstance(field, int) or (field is not None and field not in TASK_FIELDS):
        hint = did_you_mean(str(field), TASK_FIELDS)
        if tasks is not None and isinstance(field, str) and known(f"{name}.{field}"):
            inner = path_text("tasks", (f"{name}.{field}", *path[1:]))
            hint = f"The task in the group is written {inner}."
        hint = hint or f"What it returned is {path_text('tasks', (name, 'output', *path))}."
        yield f'a task has no field `{field}` (task "{name}").', hint


def _known(tasks: Collection[str] | Callable[[str], bool] | None) -> Callable[[str], bool]:
    if tasks is None:
        return lambda _: True
    return tasks if callable(tasks) else tasks.__contains__
