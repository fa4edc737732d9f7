"""What planning finds that is never reached, with its place; and that it says nothing of what may be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headrace.engine.core.planning import build_plan
from headrace.engine.core.planning.conditions import certain
from headrace.engine.core.problems import Path, Problem
from headrace.engine.core.workflow import (
    Case,
    Group,
    Http,
    Map,
    Noop,
    PythonCall,
    Retry,
    RetryRule,
    Sleep,
    Switch,
    Task,
    Timeouts,
    Workflow,
)
from tests.support.flows import gate, group, noop, py, switch


def found(*tasks: Task, **keys: Any) -> list[Problem]:
    ordered = tuple(sorted(tasks, key=lambda task: task.id))
    warnings = build_plan(Workflow("w", ordered, **keys))[1]
    return [w for w in warnings if w.code in ("never_runs", "never_reached", "unknown_state")]


def places(*tasks: Task, **keys: Any) -> list[tuple[str, Path]]:
    return [(w.code, w.path) for w in found(*tasks, **keys)]


# -- conditions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "comes_to"),
    [
        ("true", True),
        ("false", False),
        ("!true", False),
        ("1 == 1", True),
        ("1 != 1", False),
        ("2 < 1", False),
        ("1 <= 1", True),
        ("2 > 1", True),
        ("1 >= 2", False),
        ("'a' == 'b'", False),
        ("'a' < 'b'", None),  # not worth knowing
        ("1 == 1.0", None),
        ("1 == 'a'", None),
        ("'a' in ['a', 'b']", True),
        ("'c' in ['a', 'b']", False),
        ("1 in ['a']", None),
        ("'a' in params.x", None),
        ("'a' in ['a', params.x]", None),
        ("params.x", None),
        ("!params.x", None),
        ("params.x && false", False),
        ("params.x || true", True),
        ("params.x && true", None),
        ("true && true", True),
        ("false || false", False),
        ("true ? false : params.x", False),
        ("params.x ? false : false", None),
        ("1 < 2 && 2 < 1", False),
        ("1 + 1 == 2", None),
        ("size('a') == 1", None),
        ("tasks.a.state == 'red'", None),
        ("tasks.a.state == 'blue'", False),
        ("tasks.a.state != 'blue'", True),
        ("'blue' == tasks.a.state", False),
        ("tasks.a.state in ['blue', 'black']", False),
        ("tasks.a.state in ['red', 'green']", True),
        ("tasks.a.state == 'red' || tasks.a.state == 'green'", True),
        ("tasks.a.state == 'red' && tasks.a.state == 'green'", False),
        ("tasks.a.state == 'red' && tasks.b.state == 'red'", None),
        ("tasks.a.state == tasks.a.state", True),
        ("tasks.c.state == 'red'", None),
        ("tasks.a.output == 'blue'", None),
        ("run.state == 'red'", False),
        ("[1].exists(run, run == 2) || run.state == 'red'", None),
        ("((", None),
    ],
)
def test_what_a_condition_surely_comes_to(text: str, comes_to: bool | None) -> None:
    states = {("tasks", "a"): ("red", "green"), ("tasks", "b"): ("red", "green"), ("run",): ("green",)}
    assert certain(text, states.get) is comes_to


def test_too_many_combinations_are_left_open() -> None:
    text = " || ".join(f"tasks.t{n}.state == 'x'" for n in range(12))
    assert certain(text, lambda subject: ("a", "b")) is None
    assert certain(text, lambda subject: ("a",)) is False


@pytest.mark.parametrize(
    ("rule", "text", "never"),
    [
        ("all_success", "tasks.a.state == 'failed'", True),
        ("all_success", "tasks.a.state == 'succeeded'", False),
        ("all_failed", "tasks.a.state == 'succeeded'", True),
        ("all_failed", "tasks.a.state in ['failed', 'cancelled']", False),
        ("all_skipped", "tasks.a.state != 'skipped'", True),
        ("none_failed", "tasks.a.state == 'failed' || tasks.a.state == 'upstream_failed'", True),
        ("none_failed", "tasks.a.state == 'skipped'", False),
        ("none_failed_min_one_success", "tasks.a.state == 'cancelled'", True),
        ("none_skipped", "tasks.a.state == 'skipped'", True),
        ("all_done_min_one_success", "tasks.a.state == 'skipped'", True),
        ("all_done", "tasks.a.state == 'running'", True),
        ("all_done", "tasks.a.state == 'upstream_failed'", True),  # it waits for nothing
        ("all_done", "tasks.a.state == 'failed'", False),
        ("one_success", "tasks.a.state == 'running'", False),
        ("always", "tasks.a.state == 'pending'", False),
        ("success(a) || failed(a)", "tasks.a.state == 'skipped'", False),
        ("all_success", "tasks.a.state == 'failed' && tasks.a.output.x", True),
        ("all_success", "tasks.a.state == 'failed' || tasks.a.output.x", False),
    ],
)
def test_a_condition_that_contradicts_the_rule(rule: str, text: str, never: bool) -> None:
    expected = [("never_runs", ("tasks", "z", "when"))] if never else []
    assert places(py("a"), py("z", "a", trigger_rule=rule, when=text)) == expected


def test_the_place_and_the_condition_are_told() -> None:
    (told,) = found(py("a"), py("z", "a", when="tasks.a.state == 'failed'"))
    assert told.message == "task \"z\" never runs: its `when` can never hold: tasks.a.state == 'failed'"
    assert told.task == "z"
    assert "trigger_rule" in str(told.hint)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("success", 'Did you mean "succeeded"?'),
        ("error", 'Did you mean "failed"?'),
        ("canceled", 'Did you mean "cancelled"?'),
        ("faild", 'Did you mean "failed"?'),
        ("blue", "States are cancelled, "),
    ],
)
def test_a_word_that_is_no_state_is_told_with_the_one_that_was_meant(word: str, hint: str) -> None:
    tasks = (py("a"), py("z", "a", trigger_rule="all_done", when=f"tasks.a.state == '{word}'"))
    (told,) = found(*tasks)
    assert (told.code, told.path) == ("unknown_state", ("tasks", "z", "when"))
    assert str(told.hint).startswith(hint)
    assert word in told.message


def test_words_are_looked_at_in_gates_switches_and_lists() -> None:
    tasks = (
        py("a"),
        gate("g", "tasks.a.state != 'ok'", "a", trigger_rule="all_done"),
        switch("s", cases=(Case("tasks.a.state in ['failed', 'oops']", ("x",)),), trigger_rule="all_done"),
        py("x"),
        py("y", "g"),
    )
    assert places(*tasks) == [
        ("unknown_state", ("tasks", "g", "gate")),
        ("unknown_state", ("tasks", "s", "switch", "cases", 0, "when")),
    ]


def test_handlers_know_how_the_run_ended() -> None:
    tasks = (py("a"), noop("n"))
    for text, never in (
        ("run.state == 'succeeded'", True),
        ("run.state == 'failed'", False),
        ("tasks.a.state == 'failed'", False),
        ("tasks.a.state == 'running'", True),
        ("tasks.n.state == 'failed'", True),
    ):
        expected = [("never_runs", ("on_failure", "h", "when"))] if never else []
        assert places(*tasks, on_failure=(py("h", when=text),)) == expected, text
    assert places(*tasks, finally_=(py("h", when="run.state == 'succeeded'"),)) == []
    assert places(*tasks, finally_=(py("h", when="run.state == 'running'"),)) == [
        ("never_runs", ("finally", "h", "when"))
    ]


def test_the_state_of_a_run_has_its_own_words() -> None:
    (told,) = found(py("a"), finally_=(py("h", when="run.state == 'skipped'"),))
    assert told.code == "unknown_state"
    assert told.message == 'no run is ever in a state "skipped".'


# -- switches, gates, retry rules ------------------------------------------------------------------------------------------


def cases(*whens: str, default: tuple[str, ...] = ("z",)) -> list[tuple[str, Path]]:
    ids = "abcd"
    made = tuple(Case(when, (ids[at],)) for at, when in enumerate(whens))
    return places(switch("s", cases=made, default=default), *(py(name) for name in (*ids[: len(whens)], "z")))


def test_cases_behind_one_that_always_holds() -> None:
    here = ("tasks", "s", "switch")
    assert cases("run.trigger == 'x'", "run.trigger == 'y'") == []
    assert cases("run.trigger == 'x'", "true") == [("never_reached", (*here, "default"))]
    assert cases("true", "run.trigger == 'x'") == [("never_reached", (*here, "cases", 1))]
    assert cases("run.trigger == 'x'", "run.trigger == 'x'") == [
        ("never_reached", (*here, "cases", 1, "when"))
    ]
    assert cases("1 > 2", "run.trigger == 'x'") == [("never_reached", (*here, "cases", 0, "when"))]
    assert cases("run.trigger == 'x'", "true", default=()) == []


def test_a_gate_that_never_opens_is_told_once() -> None:
    for text in ("false", "1 > 2", "tasks.a.state == 'failed'"):
        tasks = (py("a"), gate("g", text, "a"), py("b", "g"), py("c", "b", trigger_rule="one_failed"))
        assert places(*tasks) == [("never_runs", ("tasks", "g", "gate"))]


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ((RetryRule("error.kind == 'x'"), RetryRule(None)), None),
        ((RetryRule(None), RetryRule("error.kind == 'x'")), ("retry", "rules", 1)),
        ((RetryRule("true"), RetryRule("error.kind == 'x'"), RetryRule(None)), ("retry", "rules", 1)),
        (
            (RetryRule("error.kind == 'x'"), RetryRule("error.kind == 'x'", "fail")),
            ("retry", "rules", 1, "on"),
        ),
        ((RetryRule("error.kind == 'x'"), RetryRule(None), RetryRule(None)), ("retry", "rules", 2)),
    ],
)
def test_retry_rules_behind_one_that_matches_everything(
    rules: tuple[RetryRule, ...], place: Path | None
) -> None:
    expected = [] if place is None else [("never_reached", ("tasks", "a", *place))]
    assert places(py("a", retry=Retry(3, rules=rules))) == expected


# -- rules that never hold -------------------------------------------------------------------------------------------------

TEN = Timeouts(total=timedelta(seconds=10))


@pytest.mark.parametrize(
    ("tasks", "who"),
    [
        ((noop("a"), py("z", "a", trigger_rule="one_failed")), ["z"]),
        ((noop("a"), py("z", "a", trigger_rule="all_failed")), ["z"]),
        ((noop("a"), py("z", "a", trigger_rule="all_skipped")), ["z"]),
        ((py("a"), py("z", "a", trigger_rule="one_failed")), []),
        ((py("a"), noop("b", "a"), py("z", "b", trigger_rule="one_failed")), []),  # upstream_failed counts
        ((noop("a"), noop("b", "a"), py("z", "b", trigger_rule="one_failed")), ["z"]),
        ((noop("a", when="run.trigger == 'x'"), py("z", "a", trigger_rule="one_failed")), []),
        ((noop("a", map=Map(over=[1])), py("z", "a", trigger_rule="one_failed")), []),
        ((Task("a", Sleep(timedelta(1))), py("z", "a", trigger_rule="one_failed")), ["z"]),
        ((Task("a", Sleep(timedelta(1)), timeouts=TEN), py("z", "a", trigger_rule="one_failed")), []),
        ((Task("a", Sleep(until="${{ run.date }}")), py("z", "a", trigger_rule="one_failed")), []),
        ((Task("a", Http("x")), py("z", "a", trigger_rule="all_skipped")), ["z"]),
        (
            (
                Task("a", Http("x"), retry=Retry(2, rules=(RetryRule(None, "skip"),))),
                py("z", "a", trigger_rule="all_skipped"),
            ),
            [],
        ),
        ((noop("a"), py("b"), py("z", "a", "b", trigger_rule="all_failed")), ["z"]),
        ((noop("a"), py("b"), py("z", "a", "b", trigger_rule="one_failed")), []),
        (
            (noop("a"), py("z", "a", trigger_rule="one_failed"), py("zz", "z", trigger_rule="all_failed")),
            ["z"],
        ),
        ((gate("a", "true"), py("z", "a", trigger_rule="one_failed")), ["z"]),
        ((gate("a", "run.trigger == 'x'"), noop("b", "a"), py("z", "b", trigger_rule="all_skipped")), []),
        (
            (switch("s", default=("a", "b")), noop("a"), noop("b"), py("z", "a", trigger_rule="all_skipped")),
            [],
        ),
        ((group("g", noop("a"), py("z", "a", trigger_rule="one_failed")),), ["g.z"]),
        ((py("u"), group("g", noop("a"), py("z", "a", trigger_rule="one_failed"), after=("u",))), []),
        ((group("g", noop("a")), py("z", "g", trigger_rule="one_failed")), ["z"]),
        ((noop("up"), py("down", "up", teardown_of=("up",)), py("z", "down", trigger_rule="one_failed")), []),
    ],
)
def test_a_rule_that_can_never_hold(tasks: tuple[Task, ...], who: list[str]) -> None:
    told = found(*tasks)
    assert [w.task for w in told] == who
    assert all(w.code == "never_runs" and w.path[-1] == "trigger_rule" for w in told)


@pytest.mark.parametrize(
    ("rule", "never"),
    [
        ("success(a)", False),
        ("success(a) && failed(a)", True),
        ("success(a) && (failed(b) || skipped(b))", False),
        ("failed(n)", True),
        ("skipped(n) || failed(n)", True),
        ("!success(n)", True),
        ("done(a) && !done(b)", True),
        ("failed(n) || success(m)", False),
        ("failed(m) && failed(n)", True),
        ("rate(m) > 1", True),
        ("rate(m) >= 1", False),
        ("rate(m) < 0", True),
        ("rate(m) == 0.5", False),
        ('count(m, "failed") > 100', False),
        ('count(m, "failed") < 0', True),
        ('count(a, "failed") > 1', True),
        ('count(a, "failed") == 1', False),
        ('count(a, "cancelled") == 1', False),
        ('count(n, "skipped") >= 1', True),
        ("rate(a) == 0.5", True),
        ("rate(a) != 0.5", False),
        ("rate(n) <= 0", True),
        ('count(a, "failed") >= 0 && failed(a)', False),
    ],
)
def test_a_rule_expression_that_can_never_hold(rule: str, never: bool) -> None:
    tasks = (py("a"), py("b"), noop("n"), py("m", map=Map(over=[1, 2])), py("z", trigger_rule=rule))
    told = found(*tasks)
    assert [(w.code, w.task) for w in told] == ([("never_runs", "z")] if never else [])


def test_the_rule_and_what_it_waits_for_are_told() -> None:
    (told,) = found(*(noop(name) for name in "abcd"), py("z", *"abcd", trigger_rule="one_failed"))
    assert told.message == (
        'task "z" never runs: one_failed can never hold, whatever "a", "b", "c", … may come to.'
    )


# -- handlers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "keys", "told"),
    [
        ((py("a"), noop("end", "a")), {}, False),
        ((py("a"), noop("end", "a", trigger_rule="all_done")), {}, True),
        ((py("a"), py("end", "a", trigger_rule="all_done")), {}, False),
        ((py("a"), noop("end", "a", trigger_rule="all_done"), py("b")), {}, False),
        ((py("a"), noop("end", "a", trigger_rule="all_done")), {"deadline": timedelta(1)}, False),
        ((noop("a"), py("down", teardown_of=("a",))), {}, True),
        ((noop("a"), py("down", teardown_of=("a",), fails_run=True)), {}, False),
        ((Task("g", Group((noop("x"),))),), {}, True),
        ((Task("g", Group((noop("x"),), "${{ tasks.x.output.rows }}")),), {}, False),
        ((noop("m", map=Map(over=[1])),), {}, False),
    ],
)
def test_handlers_of_failures_in_a_run_that_cannot_fail(
    tasks: tuple[Task, ...], keys: dict[str, Any], told: bool
) -> None:
    on_failure = (py("alarm"), py("more", "alarm"))
    expected = [("never_runs", ("on_failure", "alarm"))] if told else []
    assert places(*tasks, on_failure=on_failure, **keys) == expected


def test_it_says_who_decides() -> None:
    (told,) = found(py("a"), noop("end", "a", trigger_rule="all_done"), on_failure=(py("alarm"),))
    assert told.message == (
        'nothing in `on_failure` ever runs: the run is decided by "end", which cannot fail.'
    )


def test_ordinary_workflows_are_left_in_peace() -> None:
    tasks = (
        py("extract"),
        py("price", "extract", map=Map(over="${{ tasks.extract.output }}"), when="params.on"),
        Task("check", Switch((Case("tasks.price.output.size() > 3", ("big",)),), ("small",)), ("price",)),
        py("big"),
        py("small"),
        py("join", "big", "small", trigger_rule="none_failed_min_one_success"),
        py("alarm", "join", trigger_rule="one_failed"),
        Task("wait", Sleep(timedelta(1)), ("join",)),
        py("rescue", trigger_rule="failed(price) && rate(price) < 0.5"),
        Task("noted", Noop(), ("alarm",), trigger_rule="all_done"),
        Task("close", PythonCall("m:f"), teardown_of=("extract",)),
    )
    assert found(*tasks, params={"on": {}}, on_failure=(py("page"),), finally_=(py("end"),)) == []
