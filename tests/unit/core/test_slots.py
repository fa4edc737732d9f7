"""Wherever a task may hold an expression, a name that is not there is found, with its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.engine.core.planning import build_plan
from headrace.engine.core.planning.findings import Findings
from headrace.engine.core.problems import InvalidWorkflow, Path, Place, Problem
from headrace.engine.core.workflow import (
    Approval,
    Cache,
    Case,
    Concurrency,
    Container,
    Gate,
    Group,
    Http,
    Loop,
    Map,
    Noop,
    Poll,
    PythonCall,
    Retry,
    RetryRule,
    Shell,
    Signal,
    Sleep,
    Switch,
    Task,
    Workflow,
)

BARE, PIECE = "nobody.x", "${{ nobody.x }}"
CALL = PythonCall("m:f")
ONE = (Task("x", Noop()),)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("task", "place"),
    [
        (Task("a", CALL, when=BARE), ("when",)),
        (Task("a", CALL, with_={"n": [PIECE]}), ("with", "n", 0)),
        (Task("a", CALL, env={"N": PIECE}), ("env", "N")),
        (Task("a", CALL, map=Map(over=PIECE)), ("map", "over")),
        (Task("a", CALL, map=Map(product={"p": PIECE})), ("map", "product", "p")),
        (Task("a", CALL, map=Map(zip={"p": PIECE})), ("map", "zip", "p")),
        (Task("a", CALL, map=Map(over=[1], label=PIECE)), ("map", "label")),
        (Task("a", CALL, retry=Retry(rules=(RetryRule(BARE),))), ("retry", "rules", 0, "on")),
        (Task("a", CALL, cache=Cache(HOUR, key=PIECE)), ("cache", "key")),
        (Task("a", CALL, poll=Poll(HOUR, BARE)), ("poll", "until")),
        (Task("a", CALL, concurrency=(Concurrency(BARE),)), ("concurrency", 0, "key")),
        (Task("a", CALL, compensate=Task("undo", CALL, with_={"n": PIECE})), ("compensate", "with", "n")),
        (Task("a", Shell(argv=("x", PIECE))), ("shell", "argv", 1)),
        (Task("a", Container("img", argv=(PIECE,))), ("container", "argv", 0)),
        (Task("a", Http(PIECE)), ("http", "url")),
        (Task("a", Http("u", headers={"h": PIECE})), ("http", "headers", "h")),
        (Task("a", Http("u", query={"q": PIECE})), ("http", "query", "q")),
        (Task("a", Http("u", json=PIECE, has_json=True)), ("http", "json")),
        (Task("a", Http("u", form={"f": PIECE})), ("http", "form", "f")),
        (Task("a", Http("u", body=PIECE)), ("http", "body")),
        (Task("a", Sleep(until=PIECE)), ("sleep", "until")),
        (Task("a", Signal("s", key=BARE)), ("signal", "key")),
        (Task("a", Signal("s", match=BARE)), ("signal", "match")),
        (Task("a", Signal(any=(Signal("s", key=BARE),))), ("signal", "any", 0, "key")),
        (Task("a", Signal(all=(Signal("s", match=BARE),))), ("signal", "all", 0, "match")),
        (Task("a", Approval(title=PIECE)), ("approval", "title")),
        (Task("a", Switch((Case("true"), Case(BARE)))), ("switch", "cases", 1, "when")),
        (Task("a", Gate(BARE)), ("gate", "when")),
        (Task("a", Group(ONE, output=PIECE)), ("output",)),
        (Task("a", Group(ONE, loop=Loop(BARE, 3))), ("loop", "until")),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_name_that_is_not_there_is_found(task: Task, place: Path) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        build_plan(Workflow("w", (task,)))
    (problem,) = caught.value.problems
    assert (problem.code, problem.path, problem.task) == ("invalid_expression", ("tasks", "a", *place), "a")
    assert "nobody" in problem.message


def test_what_only_a_spot_knows_is_known_there() -> None:
    tasks = (
        Task("a", CALL, poll=Poll(HOUR, "output.done")),
        Task("b", CALL, compensate=Task("undo", CALL, with_={"n": "${{ output.id }}"})),
        Task("c", Signal("s", match="payload.n == 1")),
        Task("d", Group(ONE, loop=Loop("loop.index > 2 && output.ok", 3), output="${{ tasks.x.output }}")),
        Task("e", CALL, map=Map(over=[1]), with_={"n": "${{ item + item_index }}"}),
        Task("f", CALL, retry=Retry(3, rules=(RetryRule("error.kind == 'x'"),))),
    )
    assert len(build_plan(Workflow("w", tasks))[0].ids) == 7


# -- findings ------------------------------------------------------------------------------------------------------------


def test_the_nearest_name_is_looked_for_in_bounded_time() -> None:
    findings = Findings()
    many = [f"task_{n:05}" for n in range(5_000)]
    assert findings.nearest("task_00042x", lambda: many) is not None
    assert findings.nearest("completely different", lambda: many) is None
    for _ in range(60):
        last = findings.nearest("task_00042", lambda: many)
    assert last is None, "after so many there is another trouble with the file"


def test_a_task_inside_a_group_is_offered_the_names_around_it() -> None:
    inner = Task("g", Group((Task("load", Noop()), Task("check", Noop(), depends_on=("laod",)))))
    with pytest.raises(InvalidWorkflow) as caught:
        build_plan(Workflow("w", (inner, Task("top", Noop()))))
    assert caught.value.problems[0].hint == 'Did you mean "load"?'


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Place("f.yaml", 3, 7), "f.yaml:3:7"),
        (Place("f.yaml", 3), "f.yaml:3"),
        (Place("f.yaml"), "f.yaml"),
        (Place(), "<input>"),
    ],
)
def test_a_place_is_written_as_editors_read_it(place: Place, text: str) -> None:
    assert str(place) == text
    problem = Problem("schema", "it is wrong.", None, ("tasks",), None)
    assert str(replace(problem, place=place)).startswith(text)
