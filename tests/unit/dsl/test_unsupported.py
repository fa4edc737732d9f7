"""What is checked but not run yet is told, wherever it stands."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.dsl.unsupported import not_supported
from tests.unit.dsl.reading import workflow

F = {"python": "m:f"}


@pytest.mark.parametrize(
    ("task", "top", "path"),
    [
        ({"container": "i"}, {}, "tasks.t.container"),
        ({**F, "compensate": F}, {}, "tasks.t.compensate"),
        ({**F, "concurrency": [{"key": "1"}]}, {}, "tasks.t.concurrency"),
        ({"tasks": {"a": F}, "loop": {"until": "true", "max": 2}}, {}, "tasks.t.loop"),
        ({"tasks": {"a": {"tasks": {"b": {"container": "i"}}}}}, {}, "tasks.t.tasks.a.tasks.b.container"),
        (F, {"on_failure": {"x": {"container": "i"}}}, "on_failure.x.container"),
        (F, {"finally": {"x": {"container": "i"}}}, "finally.x.container"),
        (F, {"retention": {"logs": "1d"}}, "retention"),
        (F, {"notify": [{"on": "failed", "slack": "#x"}]}, "notify"),
        (F, {"triggers": [{"every": "1h"}, {"kafka": {"topic": "t"}, "key": "event"}]}, "triggers.1.kafka"),
        (F, {"triggers": [{"webhook": {}}]}, "triggers.0.webhook"),
        (F, {"triggers": [{"after": {"workflow": "x"}}]}, "triggers.0.after"),
        (F, {"triggers": [{"assets": {"any": ["a"]}}]}, "triggers.0.assets"),
    ],
)
def test_each_use_is_told(task: dict[str, Any], top: dict[str, Any], path: str) -> None:
    [problem] = not_supported(workflow(task, **top))
    assert problem.code == "not_supported_yet"
    assert ".".join(map(str, problem.path)) == path
    assert problem.message.endswith(("is checked, but not run yet.", "are checked, but not run yet.")) or (
        problem.task is not None and f'(task "{problem.task}")' in problem.message
    )


def test_what_runs_is_not_told() -> None:
    spec = {
        **F,
        "poll": {"every": "1s", "until": "true"},
        "pool": "db",
        "map": [1],
        "retry": 5,
        "cache": {"ttl": "1d"},
        "timeouts": {"total": "1h"},
    }
    for waiting in ({"signal": "s"}, {"approval": "?"}):
        assert not_supported(workflow(waiting)) == []
    assert not_supported(workflow(spec, triggers=[{"cron": "@daily"}, {"every": "1h"}], deadline="1h")) == []


def test_a_pool_that_nobody_defined_is_told_where_it_is_named() -> None:
    from headrace.dsl import source

    text = "workflow: w\ntasks:\n  a: {shell: ls, pool: warehouse}\n  g: {tasks: {b: {shell: ls, pool: {name: p, cost: 2}}}}\n"
    planned = source.plan(source.read_text(text, "w.yaml"))
    assert [(str(w.place), w.code) for w in planned.warnings] == [
        ("w.yaml:3:18", "unknown_pool"),
        ("w.yaml:4:30", "unknown_pool"),
    ]


def test_a_pool_that_has_a_size_is_not_told() -> None:
    from headrace.dsl import source

    text = "workflow: w\ntasks:\n  a: {shell: ls, pool: warehouse}\n  b: {shell: ls, pool: other}\n"
    planned = source.plan(source.read_text(text, "w.yaml"), {"warehouse": 2})
    assert [str(warning.place) for warning in planned.warnings] == ["w.yaml:4:18"]
