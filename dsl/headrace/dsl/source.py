"""Workflow files: read from disk or stdin, planned, and every problem and warning with its place in the file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from headrace.dsl.document import examine
from headrace.dsl.reading import MAX_BYTES, decode, too_large
from headrace.dsl.unsupported import not_supported, unknown_pools
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.problems import InvalidWorkflow, Locator, Path, Place, Problem
from headrace.engine.core.workflow import Workflow

STDIN = "-"
SUFFIXES = (".yaml", ".yml", ".json", ".py")


@dataclass(frozen=True, slots=True)
class Source:
    """A checked workflow and where it came from. `folder` is where its `python:` modules and children are looked up."""

    workflow: Workflow
    locate: Locator
    file: str
    folder: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A source with its plan, and warnings with their places."""

    plan: Plan
    warnings: tuple[Problem, ...]
    source: Source


def load(path: str, name: str | None = None) -> list[Source]:
    """The workflows of a file: one of YAML or JSON, any number of Python. `-` reads YAML or JSON from stdin.

    `name` chooses one. A Python file is executed; others never are. Raises InvalidWorkflow with every problem and its
    place, OSError when the file cannot be read.
    """
    if path.endswith(".py"):
        from headrace.dsl.python.loading import load_python

        return [
            Source(each.workflow, each.locate, each.file, each.folder) for each in load_python(path, name)
        ]
    source = read_text(_stdin() if path == STDIN else _content(path), path, json=path.endswith(".json"))
    if name is not None and source.workflow.name != name:
        raise InvalidWorkflow(
            [
                Problem(
                    "empty_workflow",
                    f'{path} has no workflow "{name}".',
                    f"It has: {source.workflow.name}.",
                    place=Place(path),
                )
            ]
        )
    return [source]


def read_text(data: bytes | str, file: str | None = None, *, json: bool | None = None) -> Source:
    """The workflow that a YAML or JSON text says. `file` names it in places; `json` None: what it looks like.

    Raises InvalidWorkflow with every problem and its place.
    """
    from headrace.dsl.places import TextPlaces

    text = decode(data, file)
    if json is None:
        json = text.lstrip()[:1] == "{"
    if json:
        from headrace.dsl.json_loader import read_json

        read = read_json(text, file)
    else:
        from headrace.dsl.yaml_loader import read_yaml

        read = read_yaml(text, file)
    places = TextPlaces(text, file, json=json)
    workflow, problems = examine(read.value) if read.value is not None or not read.problems else (None, ())
    if not read.problems and not problems and workflow is not None:
        return Source(workflow, places, file or "<input>", _folder(file))
    if read.problems:
        problems = tuple(_not_caused_by(read.problems, problems))
    told = _placed(problems, places)
    told = [_explained(problem, places) for problem in told]
    # What is read of a text with twice the same key or a tag is no longer what was written: its other problems can be
    # told all the same, those of its graph would mislead.
    if not read.problems and workflow is not None:
        told += _placed(_of_graph(workflow, problems), places)
    raise InvalidWorkflow(sorted((*read.problems, *told), key=_position))


def plan(source: Source, pools: Container[str] = ()) -> Planned:
    """The plan of a source; `pools`: those that have a size. Raises InvalidWorkflow with all problems of the graph and of
    its expressions, with places."""
    try:
        made, warnings = build_plan(source.workflow, check=_checker())
    except InvalidWorkflow as refused:
        raise InvalidWorkflow(
            sorted(_placed(refused.problems, source.locate), key=_position),
            sorted(_placed(refused.warnings, source.locate), key=_position),
        ) from None
    warnings = (*warnings, *unknown_pools(source.workflow, pools))
    return Planned(made, tuple(sorted(_placed(warnings, source.locate), key=_position)), source)


def _checker() -> Callable[[Any], str | None]:
    """What judges the literals of expressions; loaded when the first expression asks."""

    def check(expression: Any) -> str | None:
        from headrace.engine.expressions import check_expression

        return check_expression(expression)

    return check


# -- reading ---------------------------------------------------------------------------------------------------------


def _content(path: str) -> bytes:
    """The bytes of a file; its size is looked at first."""
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > MAX_BYTES:
            raise too_large(size, path)
        data = stream.read(MAX_BYTES + 1)  # what is no regular file has no size
    if len(data) > MAX_BYTES:
        raise too_large(None, path)
    return data


def _stdin() -> bytes:
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise too_large(None, STDIN)
    return data


def _folder(file: str | None) -> str:
    if file is None or file == STDIN:
        return os.getcwd()
    return str(FilePath(os.path.abspath(file)).parent)


# -- problems --------------------------------------------------------------------------------------------------------


def _placed(problems: Iterable[Problem], locate: Locator) -> list[Problem]:
    """Each problem with its place, looked up in one pass where the locator can."""
    found = list(problems)
    look_up = getattr(locate, "look_up", None)
    if look_up is not None:
        look_up([problem.path for problem in found if problem.place is None])
    return [problem if problem.place else problem.at(locate(problem.path, problem.task)) for problem in found]


def _not_caused_by(written: Iterable[Problem], found: Iterable[Problem]) -> Iterator[Problem]:
    """The problems of a document that its misspelt parts do not explain: what could not be read is missing there, and
    was written all the same."""
    spoilt = [problem.path for problem in written if problem.path]
    for problem in found:
        around = len(problem.path) >= 2
        if problem.code != "empty_workflow" and not any(
            problem.path[: len(path)] == path or (around and path[: len(problem.path)] == problem.path)
            for path in spoilt
        ):
            yield problem


def _position(problem: Problem) -> tuple[str, int, int]:
    place = problem.place or Place()
    return place.file or "", place.line or 0, place.column or 0


def _explained(problem: Problem, places: Any) -> Problem:
    """An expression that ends too early may have been cut by a comment sign in its line."""
    if problem.code != "invalid_expression" or problem.hint or problem.place is None:
        return problem
    from headrace.dsl.quoting import comment_hint

    return replace(problem, hint=comment_hint(places.line(problem.place)))


_OF_GRAPH = frozenset(("unknown_dependency", "self_dependency", "cycle", "not_visible", "duplicate_task"))


def _of_graph(workflow: Workflow, known: Iterable[Problem]) -> list[Problem]:
    """What is wrong between the tasks of a workflow that has other problems too: all problems come at once.

    Left out is whatever stands in a spot that could not be read.
    """
    spoilt: set[Path] = {problem.path for problem in known}
    if any(path == () or (path[-1] == "tasks") for path in spoilt):
        return []
    try:
        build_plan(workflow)
    except InvalidWorkflow as refused:
        return [
            problem
            for problem in refused.problems
            if problem.code in _OF_GRAPH
            and not any(problem.path[: length + 1] in spoilt for length in range(len(problem.path)))
        ]
    return []


__all__ = ["STDIN", "SUFFIXES", "Planned", "Source", "load", "not_supported", "plan", "read_text"]
