"""The parsed expressions of a node, as the machine asks for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.planning.templates import compiled
from headrace.engine.core.workflow import (
    Cache,
    Case,
    Gate,
    Group,
    Http,
    Json,
    Map,
    PythonCall,
    Retry,
    RetryRule,
    Sleep,
    Switch,
    Task,
    Workflow,
)


def task(id: str, *depends_on: str, **keys: object) -> Task:
    return replace(Task(id, PythonCall("m:f"), depends_on), **keys)  # type: ignore[arg-type]


def group(
    id: str, *tasks: Task, depends_on: tuple[str, ...] = (), output: Json = None, **keys: object
) -> Task:
    return replace(Task(id, Group(tasks, output), depends_on), **keys)  # type: ignore[arg-type]


def plan_of(*tasks: Task, **keys: object) -> Plan:
    return build_plan(replace(Workflow("w", tasks), **keys))[0]  # type: ignore[arg-type]


def test_inputs_by_language_key() -> None:
    http = Http("u", "POST", {"A": "b"}, {"q": "${{ params.x }}"}, None, None, "text", False)
    plan = plan_of(Task("a", http, with_={"k": 1}, env={"E": "e"}), params={"x": {}})
    templates = compiled(plan, 0)
    assert templates.inputs.value == {
        "with": {"k": 1},
        "env": {"E": "e"},
        "url": "u",
        "headers": {"A": "b"},
        "query": {"q": "${{ params.x }}"},
        "body": "text",
    }
    assert compiled(plan, 0) is templates


def test_a_json_body_of_null_is_there() -> None:
    assert compiled(plan_of(Task("a", Http("u", has_json=True))), 0).inputs.value == {
        "url": "u",
        "json": None,
    }


def test_tasks_without_expressions_share_one() -> None:
    plan = plan_of(task("a"), task("b"))
    assert compiled(plan, 0) is compiled(plan, 1)
    assert compiled(plan, 0).inputs.constant


def test_all_the_rest() -> None:
    plan = plan_of(
        task(
            "a",
            when="params.x",
            map=Map(product={"b": [1], "a": "${{ params.x }}"}, label="${{ item.a }}"),
            retry=Retry(2, rules=(RetryRule("error.kind=='x'"), RetryRule(None))),
            cache=Cache(timedelta(1), key=["${{ params.x }}"]),
        ),
        Task("g", Gate("params.x")),
        Task("s", Switch((Case("params.x", ("a",)),))),
        Task("w", Sleep(until="${{ params.x }}")),
        group("q", task("m"), output={"o": "${{ tasks.m.output.deep }}"}),
        params={"x": {}},
    )
    a, gate, output, _, switch, sleep = (compiled(plan, node) for node in range(6))
    assert a.when is not None
    assert a.when.text == "params.x"
    assert a.map is not None
    assert list(a.map.value["product"]) == ["b", "a"]
    assert a.label is not None
    assert a.cache_key is not None
    assert [rule and rule.text for rule in a.retry] == ['error.kind=="x"', None]
    assert gate.gate is not None
    assert switch.cases[0][1] == ("a",)
    assert sleep.sleep_until is not None
    assert output.output is not None
    assert [r.name for r in output.output.references] == ["m"]
