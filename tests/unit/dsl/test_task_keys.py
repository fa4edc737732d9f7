"""Every key of a task: what it gives, and what is said where it is wrong (language, sections 5, 7, 8 and 9)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headrace.dsl.document import examine
from headrace.engine.core.workflow import (
    Cache,
    Concurrency,
    Group,
    Loop,
    Map,
    Noop,
    Poll,
    Pool,
    Priority,
    PythonCall,
    Retry,
    RetryRule,
    Task,
    Timeouts,
)
from tests.unit.dsl.reading import line, task, workflow

F = {"python": "m:f"}
MIN, SEC, HOUR = timedelta(minutes=1), timedelta(seconds=1), timedelta(hours=1)

GOOD: list[tuple[dict[str, Any], str, Any]] = [
    ({"depends_on": "a"}, "depends_on", ("a",)),
    ({"depends_on": ["b", "a", "b"]}, "depends_on", ("b", "a")),
    ({"depends_on": "group.task"}, "depends_on", ("group.task",)),
    ({"trigger_rule": "one_failed"}, "trigger_rule", "one_failed"),
    ({"trigger_rule": "success(a)&&rate( b )>=0.9"}, "trigger_rule", "success(a) && rate(b) >= 0.9"),
    ({"when": "tasks.a.output.rows  >  0"}, "when", "tasks.a.output.rows>0"),
    ({"when": "${{ params.x }}"}, "when", "params.x"),
    ({"when": False}, "when", "false"),
    ({**F, "with": {"x": "a ${{  params['y']  }}", "z": [1, 2.5, None]}}, "with_", {"x": "a ${{ params.y }}", "z": [1, 2.5, None]}),
    ({"shell": "x", "env": {"A": 1, "B": "${{ params.b }}"}}, "env", {"A": 1, "B": "${{ params.b }}"}),
    ({"map": [1, 2]}, "map", Map([1, 2])),
    ({"map": "${{ params.l }}"}, "map", Map("${{ params.l }}")),
    ({"map": {"over": [1], "as": "x", "label": "no ${{ x }}", "max_items": 5}}, "map", Map([1], as_="x", label="no ${{ x }}", max_items=5)),
    ({"map": {"product": {"b": [1], "a": "${{ params.l }}"}}}, "map", Map(product={"b": [1], "a": "${{ params.l }}"})),
    ({"map": {"zip": {"a": [1, 2], "b": [3, 4]}}}, "map", Map(zip={"a": [1, 2], "b": [3, 4]})),
    ({"map": [1], "max_parallel": 3}, "max_parallel", 3),
    ({"map": [1], "max_parallel": None}, "max_parallel", None),
    ({"map": [1], "tolerate": 2}, "tolerate", 2),
    ({"map": [1], "tolerate": "5%"}, "tolerate", 0.05),
    ({"map": [1], "fail_fast": True}, "fail_fast", True),
    ({"map": [1], "on_empty": "succeed"}, "on_empty", "succeed"),
    ({**F, "retry": 5}, "retry", Retry(5)),
    ({**F, "retry": {"delay": "2s"}}, "retry", Retry(3, 2 * SEC)),
    ({**F, "retry": {"attempts": 2, "factor": 3, "max_delay": "1m", "jitter": "none"}}, "retry", Retry(2, SEC, 3.0, MIN, "none")),
    ({**F, "retry": {"rules": [{"on": "error.kind == 'x'", "then": "fail"}, {"delay": "1m"}]}}, "retry", Retry(3, rules=(RetryRule('error.kind=="x"', "fail"), RetryRule(None, "retry", MIN)))),
    ({**F, "timeout": "10m"}, "timeouts", Timeouts(attempt=10 * MIN)),
    ({**F, "timeouts": {"queue": "1h", "total": "1h30m", "heartbeat": "5s", "grace": "0s"}}, "timeouts", Timeouts(HOUR, None, 1.5 * HOUR, 5 * SEC, 0 * SEC)),
    ({**F, "queue": "gpu.large"}, "queue", "gpu.large"),
    ({**F, "labels": {"gpu": "a100"}}, "labels", {"gpu": "a100"}),
    ({**F, "pool": "db"}, "pool", Pool("db")),
    ({**F, "pool": {"name": "db", "cost": 2}}, "pool", Pool("db", 2)),
    ({**F, "pool": None}, "pool", None),
    ({**F, "cache": {"ttl": "1d", "key": "${{ params.x }}", "version": "2"}}, "cache", Cache(24 * HOUR, "${{ params.x }}", "2")),
    ({**F, "poll": {"every": "1m", "until": "output.ready"}}, "poll", Poll(MIN, "output.ready")),
    ({"teardown_of": []}, "teardown_of", ()),
    ({"teardown_of": ["up"]}, "teardown_of", ("up",)),
    ({"teardown_of": "up", "trigger_rule": "all_done_setup_success"}, "teardown_of", ("up",)),
    ({"fails_run": True}, "fails_run", True),
    ({**F, "compensate": {"python": "m:undo", "with": {"x": "${{ output }}"}}}, "compensate", Task("t", PythonCall("m:undo"), with_={"x": "${{ output }}"}, retry=Retry(3))),
    ({"priority": "high"}, "priority", Priority.HIGH),
    ({"concurrency": [{"key": "params.x", "limit": 2, "strategy": "keep_newest"}]}, "concurrency", (Concurrency("params.x", 2, "keep_newest"),)),
    ({**F, "on_lost": "fail"}, "on_lost", "fail"),
    ({**F, "isolation": "process"}, "isolation", "process"),
    ({"tags": ["a", "b", "a"]}, "tags", ("a", "b")),
    ({"description": "What it does"}, "description", "What it does"),
    ({"tasks": {"a": {"noop": {}}}, "output": {"x": "${{ tasks.a.state }}"}}, "work", Group((Task("a", Noop()),), {"x": "${{ tasks.a.state }}"})),
    ({"tasks": {"a": {"noop": {}}}, "loop": {"until": "true", "max": 3, "delay": "1s"}}, "work", Group((Task("a", Noop()),), None, Loop("true", 3, SEC))),
]  # fmt: skip

BAD: list[tuple[Any, str]] = [
    ({**F, 'depends_on': 5}, 'schema at tasks.t.depends_on: depends_on takes an id or a list of ids, not the number 5.'),
    ({**F, 'depends_on': ['a b']}, 'invalid_task_id at tasks.t.depends_on.0: "a b" cannot be the id of a task. An id begins with a letter or _, then has up to 249 letters, digits, _ . or -.'),
    ({**F, 'depends_on': [None]}, 'schema at tasks.t.depends_on.0: depends_on[0] takes the id of a task, not nothing (null). Write a value, or leave the key out.'),
    ({**F, 'trigger_rule': 'all_sucess'}, 'invalid_trigger_rule at tasks.t.trigger_rule: "all_sucess" is no trigger rule. Did you mean "all_success"?'),
    ({**F, 'trigger_rule': 'success('}, 'invalid_trigger_rule at tasks.t.trigger_rule: the trigger rule needs the id of a task where it has the end.'),
    ({**F, 'trigger_rule': True}, 'schema at tasks.t.trigger_rule: trigger_rule takes a trigger rule, not true. Quote it: "true".'),
    ({**F, 'when': 5}, 'schema at tasks.t.when: when takes an expression, not the number 5. Quote it: "5".'),
    ({**F, 'when': '1 +'}, 'invalid_expression at tasks.t.when: the expression ends where a value is expected.'),
    ({**F, 'when': 'a ${{ b }}'}, 'invalid_expression at tasks.t.when: `$` is no part of an expression. `${{` must not stand inside a piece.'),
    ({**F, 'when': '1 + 1'}, 'invalid_expression at tasks.t.when: when is a condition, and `1+1` gives a number. Compare it with something, such as `1+1 > 0`.'),
    ({'gate': '1 + 1'}, 'invalid_expression at tasks.t.gate: gate is a condition, and `1+1` gives a number. Compare it with something, such as `1+1 > 0`.'),
    ({'gate': {'when': 'params.a.map(x, x)'}}, 'invalid_expression at tasks.t.gate.when: gate.when is a condition, and `params.a.map(x,x)` gives a list. A condition is true or false: compare it with something.'),
    ({'switch': {'cases': [{'when': '"a"', 'then': []}]}}, 'invalid_expression at tasks.t.switch.cases.0.when: switch.cases[0].when is a condition, and `"a"` gives text. A condition is true or false: compare it with something.'),
    ({**F, 'retry': {'rules': [{'on': 'size(error.kinds)', 'then': 'fail'}]}}, 'invalid_expression at tasks.t.retry.rules.0.on: retry.rules[0].on is a condition, and `size(error.kinds)` gives a number. Compare it with something, such as `size(error.kinds) > 0`.'),
    ({**F, 'poll': {'every': '1m', 'until': '{"a": 1}'}}, 'invalid_expression at tasks.t.poll.until: poll.until is a condition, and `{"a":1}` gives a map. A condition is true or false: compare it with something.'),
    ({**F, 'with': ['x']}, 'schema at tasks.t.with: with takes a map of names and values, not a list.'),
    ({**F, 'with': {'a-b': 1}}, 'schema at tasks.t.with.a-b: "a-b" cannot be the name of an input. Use letters, digits and _.'),
    ({**F, 'with': {'x': '${{ 1 + }}'}}, 'invalid_expression at tasks.t.with.x: the expression ends where a value is expected.'),
    ({**F, 'with': {'x': {'${{ a }}': 1}}}, 'invalid_expression at tasks.t.with.x.${{ a }}: a key cannot be a template. Use a template as its value.'),
    ({**F, 'env': {'A=B': 1}}, 'schema at tasks.t.env.A=B: "A=B" cannot be the name of a variable. Use letters, digits and _.'),
    ({**F, 'map': 5}, 'schema at tasks.t.map: map takes a list, or one template that gives a list, not the number 5.'),
    ({**F, 'map': 'a ${{ x }}'}, 'schema at tasks.t.map: map takes a list, or one template that gives a list, not the text "a ${{ x }}". One template alone keeps its type: "${{ … }}".'),
    ({**F, 'map': {}}, 'schema at tasks.t.map: map takes exactly one of over, product or zip; here is none of them.'),
    ({**F, 'map': {'over': [1], 'zip': {'a': [1]}}}, 'schema at tasks.t.map: map takes exactly one of over, product or zip; here is both over and zip.'),
    ({**F, 'map': {'zip': {'a': [1], 'b': [1, 2]}}}, 'schema at tasks.t.map.zip: the lists of a zip need one length: a has 1, b has 2.'),
    ({**F, 'map': {'product': {}}}, 'schema at tasks.t.map.product: map.product is empty. It takes a map of names and lists.'),
    ({**F, 'map': {'over': [1], 'as': 'tasks'}}, 'schema at tasks.t.map.as: "tasks" has a meaning in expressions already. Give the item another name.'),
    ({**F, 'map': {'over': [1], 'as': 'a-b'}}, 'schema at tasks.t.map.as: "a-b" cannot be a name in expressions. Begin with a letter or _, then use letters, digits and _, at most 100.'),
    ({**F, 'map': {'over': [1], 'max_items': 0}}, 'schema at tasks.t.map.max_items: map.max_items must be at least 1 and at most 2,097,150, not 0.'),
    ({**F, 'map': {'over': [1], 'label': 5}}, 'schema at tasks.t.map.label: map.label takes text, not the number 5. Quote it: "5".'),
    ({**F, 'map': {'ovr': [1]}}, 'schema at tasks.t.map.ovr: a map over items has no key "ovr". Did you mean "over"?'),
    ({**F, 'max_parallel': 2}, 'schema at tasks.t.max_parallel: max_parallel means nothing without map. Add map, or leave it out.'),
    ({**F, 'map': [1], 'max_parallel': 0}, 'schema at tasks.t.max_parallel: max_parallel must be at least 1, not 0.'),
    ({**F, 'map': [1], 'max_parallel': 2.0}, 'schema at tasks.t.max_parallel: max_parallel takes an integer, not the number 2.0. An integer is written without . and exponent.'),
    ({**F, 'map': [1], 'tolerate': -1}, 'schema at tasks.t.tolerate: tolerate must be at least 0, not -1.'),
    ({**F, 'map': [1], 'tolerate': '5'}, 'schema at tasks.t.tolerate: tolerate: "5" is no share: write a percentage, such as 5%.'),
    ({**F, 'map': [1], 'tolerate': '101%'}, 'schema at tasks.t.tolerate: tolerate: "101%" is more than 100%.'),
    ({**F, 'map': [1], 'tolerate': 0.5}, 'schema at tasks.t.tolerate: tolerate takes a number of items, or a share such as 5%, not the number 0.5.'),
    ({**F, 'map': [1], 'fail_fast': 'yes'}, 'schema at tasks.t.fail_fast: fail_fast takes true or false, not the text "yes". YAML 1.2 has only true and false.'),
    ({**F, 'map': [1], 'on_empty': 'fail'}, 'schema at tasks.t.on_empty: on_empty takes skip or succeed, not the text "fail".'),
    ({**F, 'retry': 0}, 'schema at tasks.t.retry: retry must be at least 1 and at most 1,000,000, not 0.'),
    ({**F, 'retry': {'attempts': True}}, 'schema at tasks.t.retry.attempts: retry.attempts takes an integer, not true.'),
    ({**F, 'retry': {'delay': 5}}, 'schema at tasks.t.retry.delay: retry.delay takes a duration, not the number 5. A number needs its unit: write 5s, 5m or 5h.'),
    ({**F, 'retry': {'factor': 0.5}}, 'schema at tasks.t.retry.factor: retry.factor must be from 1 to 1000, not 0.5.'),
    ({**F, 'retry': {'max_delay': '5'}}, 'schema at tasks.t.retry.max_delay: retry.max_delay: "5" has no unit: write 5s, 5m or 5h.'),
    ({**F, 'retry': {'jitter': 'ful'}}, 'schema at tasks.t.retry.jitter: retry.jitter takes full or none, not the text "ful". Did you mean "full"?'),
    ({**F, 'retry': {'rules': [{'then': 'stop'}]}}, 'schema at tasks.t.retry.rules.0.then: retry.rules[0].then takes retry, fail or skip, not the text "stop".'),
    ({**F, 'retry': {'rules': [{'on': 'x ='}]}}, 'invalid_expression at tasks.t.retry.rules.0.on: `=` is no operator. Did you mean `==`?'),
    ({**F, 'retry': {'rules': {}}}, 'schema at tasks.t.retry.rules: retry.rules takes a list of rules, not a map.'),
    ({'noop': {}, 'retry': 3}, 'schema at tasks.t.retry: a noop task has no retry. It is tried once; retry the python, shell, http and container tasks.'),
    ({**F, 'timeout': '10'}, 'schema at tasks.t.timeout: timeout: "10" has no unit: write 10s, 10m or 10h.'),
    ({**F, 'timeout': 10}, 'schema at tasks.t.timeout: timeout takes a duration, not the number 10. A number needs its unit: write 10s, 10m or 10h.'),
    ({**F, 'timeout': '0s'}, 'schema at tasks.t.timeout: timeout must be at least 1ms, not 0s.'),
    ({**F, 'timeout': '1m', 'timeouts': {'attempt': '1m'}}, 'schema at tasks.t.timeout: timeout and timeouts.attempt are the same. Keep one of the two.'),
    ({**F, 'timeouts': {'atempt': '1m'}}, 'schema at tasks.t.timeouts.atempt: timeouts has no key "atempt". Did you mean "attempt"?'),
    ({**F, 'timeouts': {'heartbeat': '10ms'}}, 'schema at tasks.t.timeouts.heartbeat: timeouts.heartbeat must be at least 1s, not 10ms.'),
    ({**F, 'timeouts': {'queue': 'soon'}}, 'schema at tasks.t.timeouts.queue: timeouts.queue: "soon" is no duration: write a number with ms, s, m, h or d, such as 30s or 1h30m.'),
    ({'sleep': '1h', 'timeout': '1m'}, 'schema at tasks.t.timeout: a sleep task has no tries that could take too long. Bound the whole wait: timeouts: {total: …}.'),
    ({'workflow': 'w', 'timeouts': {'attempt': '1m'}}, 'schema at tasks.t.timeouts.attempt: a workflow task has no timeouts.attempt: no worker takes it. Bound the whole wait: timeouts: {total: …}.'),
    ({'approval': {}, 'timeouts': {'queue': '1m'}}, 'schema at tasks.t.timeouts.queue: an approval task has no timeouts.queue: no worker takes it. Bound the whole wait: timeouts: {total: …}.'),
    ({**F, 'queue': 'My Queue'}, 'schema at tasks.t.queue: "My Queue" cannot be the name of a queue. Use a-z, 0-9, dots, _ and -, at most 100.'),
    ({**F, 'labels': {'a': 1}}, 'schema at tasks.t.labels.a: labels.a takes a label, not the number 1. Quote it: "1".'),
    ({**F, 'labels': {'a b': 'c'}}, 'schema at tasks.t.labels.a b: "a b" cannot be a label. Use letters, digits and . _ / -, at most 100.'),
    ({**F, 'pool': {'cost': 2}}, 'schema at tasks.t.pool: a pool needs name: the pool.'),
    ({**F, 'pool': {'name': 'p', 'cost': 0}}, 'schema at tasks.t.pool.cost: pool.cost must be at least 1 and at most 1,000,000, not 0.'),
    ({**F, 'pool': '${{ params.p }}'}, 'invalid_expression at tasks.t.pool: pool cannot hold a template (${{ … }}). It is fixed when the workflow is read.'),
    ({**F, 'cache': {}}, 'schema at tasks.t.cache: a cache needs ttl: how long an output may be used again.'),
    ({**F, 'cache': {'ttl': '1d', 'version': 2}}, 'schema at tasks.t.cache.version: cache.version takes text, not the number 2. Quote it: "2".'),
    ({**F, 'poll': {'every': '1m'}}, 'schema at tasks.t.poll: a poll needs until: the condition over `output` that ends it.'),
    ({**F, 'poll': {'every': '0s', 'until': 'true'}}, 'schema at tasks.t.poll.every: poll.every must be at least 1ms, not 0s.'),
    ({**F, 'teardown_of': 3}, 'schema at tasks.t.teardown_of: teardown_of takes an id or a list of ids, not the number 3.'),
    ({**F, 'teardown_of': [], 'trigger_rule': 'always'}, 'invalid_trigger_rule at tasks.t.trigger_rule: a teardown has the rule all_done_setup_success. Leave trigger_rule out.'),
    ({**F, 'fails_run': 1}, 'schema at tasks.t.fails_run: fails_run takes true or false, not the number 1.'),
    ({**F, 'compensate': {'noop': {}, 'depends_on': ['a']}}, 'schema at tasks.t.compensate.depends_on: a compensation has no depends_on: it runs when the run has failed.'),
    ({**F, 'compensate': {'tasks': {'a': {'noop': {}}}}}, 'schema at tasks.t.compensate.tasks: a compensation is one task, not a group. Call a workflow.'),
    ({**F, 'compensate': 5}, 'schema at tasks.t.compensate: a task is a map with one of python, shell, http, container, workflow, sleep, signal, approval, switch, gate, noop or tasks, not the number 5.'),
    ({**F, 'priority': 'urgent'}, 'schema at tasks.t.priority: priority takes high, normal or low, not the text "urgent".'),
    ({**F, 'concurrency': [{'limit': 1}]}, 'schema at tasks.t.concurrency.0: a concurrency limit needs key: what is the same has one limit.'),
    ({**F, 'concurrency': [{'key': '1', 'strategy': 'x'}]}, 'schema at tasks.t.concurrency.0.strategy: concurrency[0].strategy takes queue, round_robin, cancel_newest, cancel_in_progress or keep_newest, not the text "x".'),
    ({**F, 'concurrency': {'key': '1'}}, 'schema at tasks.t.concurrency: concurrency takes a list of concurrency limits, not a map.'),
    ({**F, 'on_lost': 'retry'}, 'schema at tasks.t.on_lost: on_lost takes rerun or fail, not the text "retry". Did you mean "rerun"?'),
    ({**F, 'isolation': 'none'}, 'schema at tasks.t.isolation: isolation takes thread or process, not the text "none".'),
    ({'shell': 'x', 'isolation': 'thread'}, 'schema at tasks.t.isolation: a shell task has no isolation.'),
    ({**F, 'tags': 'x'}, 'schema at tasks.t.tags: tags takes a list of tags, not the text "x".'),
    ({**F, 'tags': [1]}, 'schema at tasks.t.tags.0: tags[0] takes text, not the number 1. Quote it: "1".'),
    ({**F, 'description': 3}, 'schema at tasks.t.description: description takes text, not the number 3. Quote it: "3".'),
    ({**F, 'description': '${{ x }}'}, 'invalid_expression at tasks.t.description: description cannot hold a template (${{ … }}). It is fixed when the workflow is read.'),
    ({**F, 'description': 'a\x00b'}, 'schema at tasks.t.description: description holds a NUL character. Leave it out.'),
    ({**F, 'dependson': 'a'}, 'schema at tasks.t.dependson: a python task has no key "dependson". Did you mean "depends_on"?'),
    ({'pyton': 'm:f'}, 'schema at tasks.t.pyton: a task has no key "pyton". Did you mean "python"?'),
    ({}, 'schema at tasks.t: a task needs a kind: one of python, shell, http, container, workflow, sleep, signal, approval, switch, gate, noop or tasks.'),
    ({'noop': {}, 'shell': 'x'}, 'schema at tasks.t: a task has exactly one kind; this one has shell and noop. Make two tasks of it.'),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "field", "value"), GOOD, ids=lambda value: str(value)[:60])
def test_what_a_key_gives(keys: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(task(**keys), field) == value


@pytest.mark.parametrize(("spec", "said"), BAD, ids=lambda value: str(value)[:60])
def test_what_is_said_of_a_wrong_key(spec: Any, said: str) -> None:
    assert [line(problem) for problem in examine({"workflow": "w", "tasks": {"t": spec}}).problems] == [said]


# -- what differs between kinds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [F, {"shell": "x"}, {"http": "http://x"}, {"container": "i"}])
def test_work_is_tried_three_times(spec: dict[str, Any]) -> None:
    assert task(**spec).retry == Retry(attempts=3)
    assert task(**spec, retry=1).retry == Retry(attempts=1)


@pytest.mark.parametrize(
    "spec",
    [{"noop": {}}, {"gate": "true"}, {"sleep": "1s"}, {"workflow": "x"}, {"switch": {"python": "m:f"}}],
)
def test_all_else_is_tried_once(spec: dict[str, Any]) -> None:
    assert task(**spec).retry == Retry(attempts=1)


def test_a_switch_by_a_function_is_tried_again_when_it_says_so() -> None:
    assert task(switch={"python": "m:f"}, retry={"delay": "2s"}).retry == Retry(3, 2 * SEC)


def test_a_request_is_bounded_by_a_minute() -> None:
    assert task(http="http://x").timeouts.attempt == MIN
    assert task(http="http://x", timeout="5m").timeouts.attempt == 5 * MIN
    assert task(http="http://x", timeouts={"grace": "1s"}).timeouts.attempt == MIN
    assert task(http="http://x", timeouts={"attempt": None}).timeouts.attempt is None
    assert task(shell="x").timeouts.attempt is None


def test_what_the_engine_decides_takes_of_the_defaults_only_what_bounds_the_whole_wait() -> None:
    defaults = {"timeout": "10m", "timeouts": {"queue": "1h", "total": "2h", "grace": "1s"}}
    [found] = workflow({"sleep": "1h"}, defaults=defaults).tasks
    assert found.timeouts == Timeouts(total=2 * HOUR)
    [found] = workflow({"noop": {}}, defaults={"timeout": "10m"}).tasks
    assert found.timeouts == Timeouts()


# -- defaults --------------------------------------------------------------------------------------------------------


def test_defaults_merge_key_by_key() -> None:
    defaults = {
        "retry": {"attempts": 5, "delay": "2s"},
        "timeouts": {"queue": "1h", "grace": "1s"},
        "timeout": "10m",
        "labels": {"zone": "a", "gpu": "no"},
        "env": {"A": "1", "B": "2"},
    }
    spec = {
        "python": "m:f",
        "retry": {"attempts": 2},
        "timeouts": {"grace": "3s"},
        "labels": {"gpu": "a100"},
        "env": {"B": "3"},
    }
    [found] = workflow(spec, defaults=defaults).tasks
    assert found.retry == Retry(2, 2 * SEC)
    assert found.timeouts == Timeouts(queue=HOUR, attempt=10 * MIN, grace=3 * SEC)
    assert found.labels == {"zone": "a", "gpu": "a100"}
    assert found.env == {"A": "1", "B": "3"}


def test_other_defaults_are_replaced() -> None:
    defaults = {
        "queue": "io",
        "pool": {"name": "db", "cost": 3},
        "priority": "low",
        "max_parallel": 4,
        "tolerate": "10%",
    }
    [plain] = workflow(F, defaults=defaults).tasks
    assert (plain.queue, plain.pool, plain.priority) == ("io", Pool("db", 3), Priority.LOW)
    assert (plain.max_parallel, plain.tolerate) == (None, 0)
    [mapped] = workflow(
        {**F, "map": [1], "tolerate": 0, "pool": "gpu", "queue": "q"}, defaults=defaults
    ).tasks
    assert (mapped.max_parallel, mapped.tolerate, mapped.pool, mapped.queue) == (4, 0, Pool("gpu"), "q")


def test_a_default_that_a_kind_does_not_know_is_passed_over() -> None:
    defaults = {"retry": 5, "queue": "io", "env": {"A": "1"}, "labels": {"a": "b"}, "pool": "db"}
    [found] = workflow({"sleep": "1s"}, defaults=defaults).tasks
    assert found == task(sleep="1s")


def test_defaults_reach_groups_and_compensations() -> None:
    spec = {"tasks": {"a": {**F, "compensate": F}}, "map": [1]}
    [group] = workflow(spec, defaults={"queue": "io", "max_parallel": 2}).tasks
    assert isinstance(group.work, Group)
    [inner] = group.work.tasks
    assert (group.max_parallel, inner.max_parallel, inner.queue) == (2, None, "io")
    assert inner.compensate is not None
    assert inner.compensate.queue == "io"


def test_a_wrong_default_is_told_once() -> None:
    tasks = {name: dict(F) for name in "abc"}
    found = examine(
        {"workflow": "w", "defaults": {"retry": {"dely": "1s"}, "with": {}}, "tasks": tasks}
    ).problems
    assert [line(problem) for problem in found] == [
        'schema at defaults.retry.dely: a retry policy has no key "dely". Did you mean "delay"?',
        'schema at defaults.with: defaults has no key "with". It has '
        "max_parallel, tolerate, timeout, timeouts, priority, retry, queue, labels, pool, env.",
    ]


# -- all at once -----------------------------------------------------------------------------------------------------


def test_every_problem_is_told_with_the_full_id_of_its_task() -> None:
    tasks = {
        "a": {"shell": "x", "whn": "true"},
        "g": {"map": [1], "tasks": {"b": {"shell": "", "depends_on": 5}, "c d": {"noop": {}}}},
    }
    found = examine({"workflow": "w", "tasks": tasks}).problems
    assert [(problem.task, problem.code, problem.path[-1]) for problem in found] == [
        ("a", "schema", "whn"),
        ("g.b", "schema", "depends_on"),
        ("g.b", "schema", "shell"),
        ("g.c d", "invalid_task_id", "c d"),
    ]


@pytest.mark.parametrize(
    "name", ["a/b", "..", "", "a b", "1a", "-a", "a\0b", "a\nb", "a\u202eb", "ä", "x" * 251, "x" * 10_240]
)
def test_an_id_that_cannot_be_one(name: str) -> None:
    [problem] = examine({"workflow": "w", "tasks": {name: {"noop": {}}}}).problems
    assert problem.code == "invalid_task_id"
    assert problem.message.isprintable()
    assert len(problem.message) < 150


@pytest.mark.parametrize("name", ["a", "_a", "A.b-c_1", "x" * 250])
def test_an_id_that_can_be_one(name: str) -> None:
    assert examine({"workflow": "w", "tasks": {name: {"noop": {}}}}).problems == ()
