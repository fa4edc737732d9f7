"""From a document, as YAML, JSON or the Python language give it, to the checked Workflow value.

Everything wrong with it is told at once, each problem with its path in the document and the full id of its task. What a
single key says is checked here; what tasks are to each other is checked by planning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from headrace.dsl.language.spot import Spot
from headrace.dsl.language.tasks import read_defaults, read_tasks
from headrace.dsl.language.top import KEYS, TASK_SECTIONS, WHAT
from headrace.dsl.language.triggers import check_against
from headrace.dsl.reading import check_values
from headrace.dsl.words import describe
from headrace.engine.core.problems import InvalidWorkflow, Locator, Problem
from headrace.engine.core.workflow import Json, Priority, Workflow


class Reading(NamedTuple):
    """What could be read of a document. With problems the workflow is for looking at its graph only."""

    workflow: Workflow | None
    problems: tuple[Problem, ...]


def read_document(doc: Mapping[str, Json], *, locate: Locator | None = None) -> Workflow:
    """The workflow that a document says, every default filled in, every expression in its canonical text.

    `locate` gives problems their places. Raises InvalidWorkflow with all of them.
    """
    workflow, problems = examine(doc)
    if problems or workflow is None:
        raise InvalidWorkflow([p.at(locate(p.path, p.task)) for p in problems] if locate else problems)
    return workflow


def examine(doc: Json) -> Reading:
    """As `read_document`, but problems are returned, together with what could be read in spite of them."""
    problems = list(check_values(doc))
    if problems:
        return Reading(None, tuple(problems))
    at = Spot(problems)
    if not isinstance(doc, Mapping):
        wanted = "a workflow is a map that begins with `workflow: name`"
        at.wrong(f"{wanted}, not {describe(doc)}." if doc is not None else f"the file is empty: {wanted}.")
        return Reading(None, tuple(problems))
    given: dict[str, Any] = {}
    for name, value in doc.items():
        if name in KEYS:
            if name not in TASK_SECTIONS and name != "defaults":
                key = KEYS[name]
                given[key.field] = key.shape.read(value, at.below(name))
        elif not name.startswith("x-"):
            at.unknown_key(name, KEYS, WHAT)
    if "workflow" not in doc:
        at.wrong("a workflow needs a name: workflow: name.")
    defaults = read_defaults(doc["defaults"], at.below("defaults")) if "defaults" in doc else {}
    for name in TASK_SECTIONS:
        if name in doc and not (name == "tasks" and doc[name] is None):
            given[KEYS[name].field] = read_tasks(doc[name], at.below(name), defaults)
    if not doc.get("tasks"):
        spot = at.below("tasks") if "tasks" in doc else at
        if doc.get("tasks") in (None, {}):
            spot.tell("empty_workflow", "the workflow has no tasks.", "Add one under `tasks`.")
    if "triggers" in given and not problems:
        check_against(given.get("params", {}), given["triggers"], at.below("triggers"), given.get("name"))
    given.setdefault("name", None)
    given.setdefault("tasks", ())
    if not isinstance(given.get("priority"), Priority):
        given.pop("priority", None)
    return Reading(Workflow(**given), tuple(problems))
