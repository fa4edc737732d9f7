"""The canonical document: complete, deterministic, its own inverse, and the ground of the plan hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from headrace.engine.core.canonical import (
    canonical_json,
    from_document,
    language_document,
    plan_hash,
    to_document,
)
from headrace.engine.core.workflow import (
    OUTSIDE_HASH,
    Approval,
    Cache,
    Case,
    Child,
    Concurrency,
    Container,
    Gate,
    Group,
    Http,
    Limits,
    Loop,
    Map,
    Noop,
    Poll,
    Pool,
    Priority,
    PythonCall,
    Retry,
    RetryRule,
    Shell,
    Signal,
    Sleep,
    Switch,
    Task,
    Timeouts,
    Work,
    Workflow,
)

MINUTE = timedelta(minutes=1)
FULL_TASK = Task(
    "full",
    PythonCall("m:f"),
    depends_on=("z", "a"),
    trigger_rule="none_failed",
    when="params.x>1",
    with_={"b": [1, {"k": None}], "a": "${{ params.x }}"},
    env={"E": True},
    map=Map(product={"z": [1], "a": "${{ tasks.a.output }}"}, as_="pair", label="x", max_items=5),
    max_parallel=3,
    tolerate=1.0,
    fail_fast=True,
    on_empty="succeed",
    retry=Retry(
        3, MINUTE, 3.0, 5 * MINUTE, "none", (RetryRule("error.kind=='X'", "fail", MINUTE), RetryRule(None))
    ),
    timeouts=Timeouts(MINUTE, MINUTE, MINUTE, MINUTE, MINUTE),
    queue="gpu",
    labels={"zone": "eu"},
    pool=Pool("db", 2),
    cache=Cache(MINUTE, {"k": 1}, "2"),
    poll=Poll(MINUTE, "output.done"),
    teardown_of=("a",),
    fails_run=True,
    compensate=Task("undo", Shell(run="x"), description="undoes"),
    priority=Priority.LOW,
    concurrency=(Concurrency("params.x", 2, "keep_newest"),),
    on_lost="fail",
    isolation="process",
    tags=("t",),
    description="outside the hash",
)
WORKS: list[Work] = [
    PythonCall("m:f"),
    Shell(run="echo"),
    Shell(argv=("a", "${{ params.x }}"), interpreter=("sh",), cwd="d"),
    Http("u"),
    Http("u", "POST", {"A": "b"}, {"q": 1}, None, {"f": 1}, None, False, ((200, 204), (404, 404)), 2),
    Http("u", json=None, has_json=True),
    Http("u", json={"a": [None]}, has_json=True, body=None),
    Container("i", ("a",), "1", "1GiB", "always"),
    Child("w"),
    Child("w", False, "abandon", 7),
    Sleep(MINUTE),
    Sleep(until="${{ params.x }}"),
    Signal("s", "k", "m", MINUTE, MINUTE, "skip"),
    Signal(any=(Signal("a", expires=MINUTE), Signal("b"))),
    Signal(all=(Signal("a"),)),
    Approval("t", {"n": {"type": "string"}}, ("op",), 2, True, MINUTE, "skip", "continue"),
    Switch((Case("true", ("a", "b")), Case("false")), ("c",)),
    Switch(python="m:f"),
    Gate("true", True),
    Noop(),
    Group((Task("a", Noop()), Task("b", Group((Task("c", Noop()),)))), {"o": 1}, Loop("true", 3, MINUTE)),
]
FULL = Workflow(
    "full",
    tuple(
        sorted((FULL_TASK, *(Task(f"w{n}", work) for n, work in enumerate(WORKS))), key=lambda task: task.id)
    ),
    params={"x": {"type": "integer", "default": 1}},
    limits=Limits(1, 2),
    concurrency=(Concurrency("params.x"),),
    priority=Priority.HIGH,
    deadline=8 * MINUTE,
    on_failure=(Task("alarm", Noop()),),
    finally_=(Task("close", Noop()),),
    output="${{ tasks.full.output }}",
    description="d",
    tags=("a",),
    triggers=({"id": "t", "cron": "@daily"},),
    retention={"success": "1d"},
    notify=({"on": ["failed"]},),
)


def stored(workflow: Workflow) -> Any:
    return json.loads(canonical_json(to_document(workflow)))


def test_every_field_is_told_apart_from_its_default() -> None:
    """Or the round trip below would prove less than it seems to."""
    for value in (FULL, FULL_TASK):
        for field in fields(value):
            assert getattr(value, field.name) != field.default, field.name


def test_a_workflow_survives_the_store() -> None:
    assert from_document(stored(FULL)) == FULL


@pytest.mark.parametrize("work", WORKS, ids=lambda work: type(work).__name__)
def test_each_kind_of_work_survives_the_store(work: Work) -> None:
    workflow = Workflow("w", (Task("a", work),))
    assert from_document(stored(workflow)) == workflow
    assert len(to_document(workflow)["tasks"]["a"]) <= 3  # what equals its default is left out


def test_an_int_and_a_share_of_the_same_size_stay_apart() -> None:
    several, all_of_them = (Workflow("w", (replace(FULL_TASK, tolerate=tolerate),)) for tolerate in (1, 1.0))
    assert plan_hash(several) != plan_hash(all_of_them)
    assert type(from_document(stored(several)).tasks[0].tolerate) is int
    assert type(from_document(stored(all_of_them)).tasks[0].tolerate) is float


def test_the_order_of_a_product_has_a_meaning() -> None:
    products = ({"a": [1], "b": [2]}, {"b": [2], "a": [1]})
    workflows = [Workflow("w", (Task("t", Noop(), map=Map(product=product)),)) for product in products]
    assert plan_hash(workflows[0]) != plan_hash(workflows[1])
    for workflow, product in zip(workflows, products, strict=True):
        read = from_document(stored(workflow)).tasks[0].map
        assert read is not None
        assert list(read.product or ()) == list(product)


def test_the_language_reads_a_product_as_a_map() -> None:
    inner = Task("i", Noop(), map=Map(product={"z": [1], "a": [2]}))
    document = language_document(Workflow("w", (Task("g", Group((inner,))),)))
    assert document["tasks"]["g"]["tasks"]["i"]["map"]["product"] == {"z": [1], "a": [2]}


def test_the_hash_is_that_of_the_canonical_document() -> None:
    plain = replace(FULL, tasks=tuple(task for task in FULL.tasks if task.id != "full"))
    document = {key: value for key, value in to_document(plain).items() if key not in OUTSIDE_HASH}
    assert plan_hash(plain) == f"sha256:{hashlib.sha256(canonical_json(document)).hexdigest()}"


def test_the_hash_of_many_tasks_is_that_of_the_whole() -> None:
    many = Workflow("w", tuple(Task(f"t{n}", Noop()) for n in range(2_500)))
    digest = hashlib.sha256(canonical_json(to_document(many))).hexdigest()
    assert plan_hash(many) == f"sha256:{digest}"


def test_the_order_of_writing_has_no_meaning() -> None:
    assert plan_hash(replace(FULL, tasks=FULL.tasks[::-1])) == plan_hash(FULL)


@pytest.mark.parametrize("key", sorted(OUTSIDE_HASH))
def test_what_is_outside_the_hash_does_not_change_it(key: str) -> None:
    empty = Workflow("w", ())
    assert plan_hash(replace(FULL, **{key: getattr(empty, key)})) == plan_hash(FULL)


def test_descriptions_of_tasks_are_outside_the_hash_at_any_depth() -> None:
    def described(text: str | None) -> Workflow:
        undo = Task("u", Noop(), description=text)
        inner = Task("i", Noop(), description=text, compensate=undo)
        return Workflow("w", (Task("g", Group((inner,)), description=text),))

    assert plan_hash(described("some words")) == plan_hash(described(None))


@pytest.mark.parametrize(
    "name", [f.name for f in fields(Task) if f.name not in ("id", "work", "description")]
)
def test_every_other_key_of_a_task_changes_the_hash(name: str) -> None:
    plain = Task("full", PythonCall("m:f"))
    changed = replace(plain, **{name: getattr(FULL_TASK, name)})
    assert plan_hash(Workflow("w", (changed,))) != plan_hash(Workflow("w", (plain,)))


def test_a_retry_says_its_attempts_because_the_language_has_another_default() -> None:
    workflow = Workflow("w", (Task("a", PythonCall("m:f"), retry=Retry(factor=3.0)),))
    assert to_document(workflow)["tasks"]["a"]["retry"] == {"factor": 3.0, "attempts": 1}


def test_canonical_json_refuses_what_json_does_not_know() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})


def test_canonical_json_is_compact_sorted_utf8() -> None:
    assert canonical_json({"b": "é", "a": [1, None]}) == '{"a":[1,null],"b":"é"}'.encode()
