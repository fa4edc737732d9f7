"""What a workflow's head, children and values become, and what cannot be built."""

from __future__ import annotations

import pytest

from headrace.dsl.python import BuildError
from headrace.engine.core.problems import InvalidWorkflow

from .conftest import Written


def test_children(document: Written) -> None:
    from pathlib import Path  # noqa: F401

    tasks = document(
        """
        def child_of(day: date, full: bool = False) -> dict: ...
        refresh = workflow(name="refresh_all")(child_of)
        refresh.fn.__module__ = "elsewhere"
        @workflow
        def flow(day: date):
            done = refresh(day)
            refresh.options(id="later", wait=False, on_cancel="abandon", version=3)(day, full=True)
            refresh.partial(full=True).map([day])
            child("by_name").options(wait=False)(day=done.day)
        """
    )["tasks"]
    assert tasks["refresh_all"] == {"workflow": "refresh_all", "with": {"day": "${{ params.day }}"}}
    assert tasks["later"] == {
        "workflow": {"name": "refresh_all", "wait": False, "on_cancel": "abandon", "version": 3},
        "with": {"day": "${{ params.day }}", "full": True},
    }
    assert tasks["refresh_all_2"] == {
        "workflow": "refresh_all",
        "with": {"day": "${{ item }}", "full": True},
        "map": ["${{ params.day }}"],
    }
    assert tasks["by_name"] == {
        "workflow": {"name": "by_name", "wait": False},
        "with": {"day": "${{ tasks.refresh_all.output.day }}"},
    }


def test_the_head_of_a_workflow(document: Written) -> None:
    found = document(
        """
        @workflow(
            name="nightly", tags=["a"], priority="high", deadline=timedelta(hours=8),
            limits=Limits(active_runs=1, active_tasks=5), concurrency=[Concurrency(key="params.x")],
            defaults=Defaults(retry=Retry(attempts=3), queue="q", timeouts=Timeouts(total="1h")),
            triggers=[
                Cron("0 6 * * *", id="n", timezone="Europe/Berlin", overlap="skip", catchup="last", jitter="5m"),
                Every(timedelta(minutes=5), start=datetime(2030, 1, 1, tzinfo=UTC), enabled=False),
                At("2030-01-01T00:00:00Z", params={"x": f"{event.at}"}),
                Kafka("orders", key=event.id, when=(event.kind == "day") & (event.n > 1)),
                Webhook(secret="hook", preset="github"),
                After("other", states=["failed"]),
                Assets(any=["s3://a"]),
            ],
            notify=[{"on": "failed", "webhook": "https://e.example"}],
        )
        def flow(x: int = 1):
            '''Does
            things.

            More.'''
            noop()
        """
    )
    found.pop("tasks")
    assert found == {
        "workflow": "nightly",
        "description": "Does things.",
        "tags": ["a"],
        "priority": "high",
        "deadline": "8h",
        "limits": {"active_runs": 1, "active_tasks": 5},
        "concurrency": [{"key": "params.x"}],
        "defaults": {"retry": {"attempts": 3}, "queue": "q", "timeouts": {"total": "1h"}},
        "triggers": [
            {
                "id": "n",
                "cron": "0 6 * * *",
                "timezone": "Europe/Berlin",
                "overlap": "skip",
                "catchup": "last",
                "jitter": "5m",
            },
            {"every": "5m", "start": "2030-01-01T00:00:00Z", "enabled": False},
            {"at": "2030-01-01T00:00:00Z", "params": {"x": "${{ event.at }}"}},
            {
                "kafka": {"topic": "orders"},
                "key": "event.id",
                "when": 'event.kind == "day" && event.n > 1',
            },
            {"webhook": {"secret": "hook", "preset": "github"}},
            {"after": {"workflow": "other", "states": ["failed"]}},
            {"assets": {"any": ["s3://a"]}},
        ],
        "notify": [{"on": "failed", "webhook": "https://e.example"}],
        "params": {"x": {"type": "integer", "default": 1}},
    }


def test_values_travel_as_json(document: Written) -> None:
    tasks = document(
        """
        from dataclasses import dataclass
        from decimal import Decimal
        from enum import Enum
        from pathlib import PurePosixPath
        from uuid import UUID
        from pydantic import BaseModel
        class Colour(str, Enum):
            RED = "red"
        @dataclass
        class Size:
            width: int
            of: object
        class Model(BaseModel):
            day: date
        @task
        def take(**values: object) -> None: ...
        @workflow
        def flow():
            x = extract()
            take(a=date(2030, 1, 2), b=Colour.RED, c=Size(3, x[0]), d=Model(day=date(2030, 1, 2)), e={1.5, 0.5},
                 f=PurePosixPath("a/b"), g=Decimal("1.10"), h=UUID(int=1), i=(1, None, True), j={"k": [x]},
                 k=datetime(2030, 1, 2, 3, tzinfo=UTC))
        """
    )["tasks"]
    assert tasks["take"]["with"] == {
        "a": "2030-01-02",
        "b": "red",
        "c": {"width": 3, "of": "${{ tasks.extract.output[0] }}"},
        "d": {"day": "2030-01-02"},
        "e": [0.5, 1.5],
        "f": "a/b",
        "g": "1.10",
        "h": "00000000-0000-0000-0000-000000000001",
        "i": [1, None, True],
        "j": {"k": ["${{ tasks.extract.output }}"]},
        "k": "2030-01-02T03:00:00Z",
    }


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("check([object()])", "an object has no JSON form"),
        ("check([float('inf')])", "inf is no JSON number"),
        ("check({1: 2})", "a key of a map is text, not 1"),
        ("check(extract)", "extract is given itself, not its result. Call it: extract(…)."),
        ("check(len)", "len has no JSON form"),
        ("check({'a', 1})", "a set has no order"),
    ],
)
def test_values_that_cannot_travel(body: Written, call: str, says: str) -> None:
    with pytest.raises(BuildError) as caught:
        body(call)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("price()", "price() misses file."),
        ("pair()", "pair() misses a, b."),
        ("price('a', 1, 2)", "price() takes 2 arguments by position, not 3"),
        ("price('a', file='b')", 'price() gets "file" twice'),
        ("price('a', tx=1)", 'price() has no parameter "tx". Did you mean "tax"?'),
        ("price.partial(fil=1)", 'Did you mean "file"?'),
        ("price.map(fil=[1])", 'Did you mean "file"?'),
    ],
)
def test_arguments_are_bound_to_the_signature(body: Written, call: str, says: str) -> None:
    with pytest.raises(BuildError) as caught:
        body(call)
    assert says in str(caught.value)
    assert caught.value.problems[0].place is not None


def test_a_function_with_nameless_parameters_is_refused(document: Written) -> None:
    with pytest.raises(BuildError, match="a worker passes arguments by name"):
        document("@task\ndef f(*xs): ...\n@workflow\ndef flow(): f(1)")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "def make():\n    def inner(): ...\n    return task(inner)\nmade = make()\n@workflow\ndef flow(): made()",
            "inner (line",
        ),
        ("made = task(lambda: 1)\n@workflow\ndef flow(): made()", "a lambda"),
        ("class A:\n    @task\n    def m(self): ...\n@workflow\ndef flow(): A.m(1)", "A.m (line"),
        (
            "@task\ndef f(): ...\ng = f\n@task\ndef f(): ...\n@workflow\ndef flow(): g()",
            "flows:f is not this function",
        ),
    ],
)
def test_functions_that_no_worker_can_import(document: Written, text: str, says: str) -> None:
    with pytest.raises(BuildError) as caught:
        document(text)
    assert says in str(caught.value)
    assert caught.value.problems[0].code == "not_importable"


def test_two_builds_must_agree(document: Written) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        document(
            """
            from itertools import count
            ticks = count()
            @workflow
            def flow():
                price("a")
                price.options(id="b", queue=f"q{next(ticks)}")("b")
            """
        )
    [problem] = caught.value.problems
    assert 'differ at tasks.b.queue: "q0", then "q1"' in problem.message
    assert problem.place is not None
    assert problem.place.line is not None


def test_outside_of_a_workflow_a_task_is_its_function(document: Written) -> None:
    document(
        """
        import asyncio
        @task(retry=3)
        def double(x: int, y: int = 1) -> int:
            return 2 * x + y
        @task
        async def later(x: int) -> int:
            return x
        @group
        def both(x: int) -> int:
            return double(x) + double(x)
        assert double(2) == 5
        assert double.fn(2) == 5
        assert double.partial(x=4)(2) == 10
        assert both(1) == 6
        assert asyncio.run(later.fn(3)) == 3
        assert double.__headrace_fn__ is double.fn
        @workflow
        def flow():
            double(1)
        """
    )


def test_outside_of_a_workflow_the_rest_says_where_it_belongs(document: Written) -> None:
    for text, says in (
        ("shell('x')", "shell() belongs inside a function marked with @workflow"),
        ("price.map([1])", "price.map() belongs inside"),
        ("on_failure().__enter__()", "on_failure() belongs inside"),
        ("switch(id='s')", "switch() belongs inside"),
        ("@workflow\ndef flow(): ...\nflow()", "Run it here with flow.run(…)"),
    ):
        with pytest.raises(BuildError) as caught:
            document(text)
        assert says in str(caught.value)
