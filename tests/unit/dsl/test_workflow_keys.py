"""The keys of a workflow and its triggers: what they give, and what is said where they are wrong (language, 2 and 3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headrace.dsl.document import examine
from headrace.engine.core.workflow import Concurrency, Limits, Noop, Priority, Task
from tests.unit.dsl.reading import document, line, workflow

DAY = {"day": {"type": "string"}}
TIMED = {
    "enabled": True,
    "timezone": "UTC",
    "jitter": "0s",
    "overlap": "skip",
    "catchup": "last",
    "dst": {"gap": "after", "overlap": "first"},
}

GOOD: list[tuple[dict[str, Any], str, Any]] = [
    ({"description": "Load"}, "description", "Load"),
    ({"tags": ["a", "a", "b"]}, "tags", ("a", "b")),
    ({"params": {}}, "params", {}),
    ({"params": {"a": {"type": "integer", "default": 1}}}, "params", {"a": {"type": "integer", "default": 1}}),
    ({"params": {"a": {"default": "${{ run.date  }}"}}}, "params", {"a": {"default": "${{ run.date }}"}}),
    ({"params": {"a": {"$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}, "default": "y"}}}, "params", {"a": {"$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}, "default": "y"}}),
    ({"limits": {"active_runs": 1, "active_tasks": 50}}, "limits", Limits(1, 50)),
    ({"limits": {"active_runs": None}}, "limits", Limits()),
    ({"concurrency": [{"key": "params.x"}]}, "concurrency", (Concurrency("params.x"),)),
    ({"priority": "low"}, "priority", Priority.LOW),
    ({"deadline": "8h"}, "deadline", timedelta(hours=8)),
    ({"deadline": None}, "deadline", None),
    ({"on_failure": {"b": {"noop": {}}, "a": {"noop": {}}}}, "on_failure", (Task("a", Noop()), Task("b", Noop()))),
    ({"finally": {"a": {"noop": {}}}}, "finally_", (Task("a", Noop()),)),
    ({"output": {"x": ["${{tasks.t.state}}", None]}}, "output", {"x": ["${{ tasks.t.state }}", None]}),
    ({"retention": {"success": "90m", "keep_last": 5}}, "retention", {"success": "1h30m", "keep_last": 5}),
    ({"notify": [{"on": "failed", "slack": "#ops"}]}, "notify", ({"on": ["failed"], "slack": "#ops"},)),
    ({"x-anything": [{"noop": 5}]}, "name", "w"),
    ({"triggers": [{"cron": "@daily"}]}, "triggers", ({"id": "cron_1", **TIMED, "cron": "@daily"},)),
    ({"triggers": [{"cron": " 0  6 * * 1-5 ", "timezone": "Europe/Berlin", "id": "n", "dst": {"gap": "skip"}}]}, "triggers", ({**TIMED, "id": "n", "cron": "0 6 * * 1-5", "timezone": "Europe/Berlin", "dst": {"gap": "skip", "overlap": "first"}},)),
    ({"triggers": [{"cron": "*/10 0 6 * * *"}]}, "triggers", ({"id": "cron_1", **TIMED, "cron": "*/10 0 6 * * *"},)),
    ({"triggers": [{"cron": "0 0 29 2 *"}]}, "triggers", ({"id": "cron_1", **TIMED, "cron": "0 0 29 2 *"},)),
    ({"triggers": [{"every": "90s", "jitter": "1s"}, {"cron": "@hourly"}, {"every": "1h"}]}, "triggers", ({"id": "every_1", **TIMED, "every": "1m30s", "jitter": "1s"}, {"id": "cron_1", **TIMED, "cron": "@hourly"}, {"id": "every_2", **TIMED, "every": "1h"})),
    ({"triggers": [{"at": "2030-01-01T07:00:00+01:00", "enabled": False}]}, "triggers", ({"id": "at_1", **TIMED, "at": "2030-01-01T06:00:00Z", "enabled": False},)),
    ({"triggers": [{"kafka": {"topic": "orders"}, "key": "event.id", "when": "event.kind  == 'x'", "params": {"day": "${{event.day}}"}, "priority": "high"}], "params": DAY}, "triggers", ({"id": "kafka_1", "enabled": True, "kafka": {"topic": "orders"}, "key": "event.id", "when": 'event.kind=="x"', "params": {"day": "${{ event.day }}"}, "priority": "high"},)),
    ({"triggers": [{"webhook": {"secret": "hook", "preset": "github"}}]}, "triggers", ({"id": "webhook_1", "enabled": True, "webhook": {"secret": "hook", "preset": "github"}},)),
    ({"triggers": [{"after": {"workflow": "x"}}]}, "triggers", ({"id": "after_1", "enabled": True, "after": {"workflow": "x", "states": ["succeeded"]}},)),
    ({"triggers": [{"assets": {"any": ["a", "b"]}}]}, "triggers", ({"id": "assets_1", "enabled": True, "assets": {"any": ["a", "b"]}},)),
]  # fmt: skip

BAD: list[tuple[dict[str, Any], str]] = [
    ({'workflow': 'a b'}, 'schema at workflow: "a b" cannot be the name of a workflow. Begin with a letter or _, then use letters, digits, _ and -, at most 100.'),
    ({'workflow': 5}, 'schema at workflow: workflow takes the name of a workflow, not the number 5. Quote it: "5".'),
    ({'description': 1}, 'schema at description: description takes text, not the number 1. Quote it: "1".'),
    ({'tags': 'x'}, 'schema at tags: tags takes a list of tags, not the text "x".'),
    ({'params': []}, 'schema at params: params takes a map of names and JSON Schemas, not a list.'),
    ({'params': {'a-b': {}}}, 'invalid_parameter at params.a-b: "a-b" cannot be the name of a parameter. Begin with a letter or _, then use letters, digits and _, at most 100.'),
    ({'params': {'a': 'string'}}, 'invalid_parameter at params.a: a parameter takes a JSON Schema (a map), not the text "string". Write {type: string}.'),
    ({'params': {'a': {'type': 'strng'}}}, 'invalid_parameter at params.a.type: a: "strng" is no type. Did you mean "string"?'),
    ({'params': {'a': {'type': 'integer', 'default': 'x'}}}, 'invalid_parameter at params.a.default: the default does not fit the schema: it takes an integer, not the text "x".'),
    ({'params': {'a': {'type': 'string', 'format': 'date', 'default': '2024-02-30'}}}, 'invalid_parameter at params.a.default: the default does not fit the schema: it takes a date such as 2030-01-31, not the text "2024-02-30".'),
    ({'params': {'a': {'$ref': 'https://x/y'}}}, 'invalid_parameter at params.a.$ref: a: "https://x/y" leads outside of this schema; write what it says here, or under $defs.'),
    ({'params': {'a': {'$ref': '#/$defs/x'}}}, 'invalid_parameter at params.a.$ref: a: "#/$defs/x" leads nowhere.'),
    ({'params': {'a': {'pattern': '('}}}, 'invalid_parameter at params.a.pattern: a: the pattern cannot be read: missing ), unterminated subpattern at position 0.'),
    ({'params': {'a': {'enum': 3}}}, 'invalid_parameter at params.a.enum: a: this is no JSON Schema: it takes a list, not the number 3.'),
    ({'params': {'a': {'description': '${{ x }}'}}}, 'invalid_expression at params.a: of a parameter, only `default` may be a template.'),
    ({'params': {'a': {'default': '${{ 1 + }}'}}}, 'invalid_expression at params.a.default: the expression ends where a value is expected.'),
    ({'params': {'a': {'type': 'string', 'default': None}}}, 'invalid_parameter at params.a.default: the default does not fit the schema: it takes text, not nothing (null).'),
    ({'params': {'a': {'$schema': 'http://json-schema.org/draft-07/schema#'}}}, 'invalid_parameter at params.a.$schema: a: parameters are JSON Schema 2020-12.'),
    ({'params': {'a': {'type': 'integer', 'default': 1.0}}}, 'invalid_parameter at params.a.default: the default does not fit the schema: it takes an integer, not the number 1.0.'),
    ({'limits': {'active_runs': 0}}, 'schema at limits.active_runs: limits.active_runs must be at least 1, not 0.'),
    ({'limits': {'x': 1}}, 'schema at limits.x: limits has no key "x". It has active_runs, active_tasks.'),
    ({'limits': 3}, 'schema at limits: limits takes a map, not the number 3.'),
    ({'concurrency': [{}]}, 'schema at concurrency.0: a concurrency limit needs key: what is the same has one limit.'),
    ({'priority': 'hgh'}, 'schema at priority: priority takes high, normal or low, not the text "hgh". Did you mean "high"?'),
    ({'deadline': '8'}, 'schema at deadline: deadline: "8" has no unit: write 8s, 8m or 8h.'),
    ({'deadline': '0s'}, 'schema at deadline: deadline must be at least 1ms, not 0s.'),
    ({'defaults': []}, 'schema at defaults: defaults takes a map, not a list.'),
    ({'on_failure': {'a': {'pyton': 'x'}}}, 'schema at on_failure.a.pyton: a task has no key "pyton". Did you mean "python"?'),
    ({'finally': []}, 'schema at finally: finally takes a map of ids and tasks, not a list. Write each task as a key: `load: {python: …}`.'),
    ({'output': '${{ 1 + }}'}, 'invalid_expression at output: the expression ends where a value is expected.'),
    ({'retention': {'success': 'x'}}, 'schema at retention.success: retention.success: "x" is no duration: write a number with ms, s, m, h or d, such as 30s or 1h30m.'),
    ({'retention': {'sucess': '1d'}}, 'schema at retention.sucess: retention has no key "sucess". Did you mean "success"?'),
    ({'notify': [{'on': 'failed'}]}, 'schema at notify.0: a notification takes exactly one of webhook, slack or email; here is none of them.'),
    ({'notify': [{'on': 'fail', 'slack': '#x'}]}, 'schema at notify.0.on: notify[0].on takes succeeded, failed or cancelled, not the text "fail". Did you mean "failed"?'),
    ({'triggers': {}}, 'schema at triggers: triggers takes a list of triggers, not a map. Begin each trigger with `- `.'),
    ({'triggers': [5]}, 'schema at triggers.0: triggers[0] takes a trigger (a map), not the number 5.'),
    ({'triggers': [{}]}, 'schema at triggers.0: a trigger has exactly one of cron, every, at, kafka, webhook, after or assets; this one has none.'),
    ({'triggers': [{'crn': '@daily'}]}, 'schema at triggers.0.crn: a trigger has no key "crn". Did you mean "cron"?'),
    ({'triggers': [{'cron': '@daily', 'every': '1m'}]}, 'schema at triggers.0: a trigger has exactly one of cron, every, at, kafka, webhook, after or assets; this one has cron and every.'),
    ({'triggers': [{'cron': '@dayly'}]}, 'invalid_schedule at triggers.0.cron: "@dayly" is no schedule. Did you mean "@daily"?'),
    ({'triggers': [{'cron': '* * *'}]}, 'invalid_schedule at triggers.0.cron: "* * *" is no cron line. It has 5 fields: minute hour day month weekday; a 6th before them is seconds.'),
    ({'triggers': [{'cron': '0 0 30 2 *'}]}, 'invalid_schedule at triggers.0.cron: "0 0 30 2 *": bad day-of-month.'),
    ({'triggers': [{'cron': '99 * * * *'}]}, 'invalid_schedule at triggers.0.cron: "99 * * * *": bad minute.'),
    ({'triggers': [{'cron': 5}]}, 'schema at triggers.0.cron: triggers[0].cron takes a cron line such as 0 6 * * *, not the number 5.'),
    ({'triggers': [{'cron': '@daily', 'timezone': 'Europe/Berln'}]}, 'invalid_schedule at triggers.0.timezone: "Europe/Berln" is no time zone. Did you mean "Europe/Berlin"?'),
    ({'triggers': [{'cron': '@daily', 'timezone': '../../etc/passwd'}]}, 'invalid_schedule at triggers.0.timezone: "../../etc/passwd" is no time zone. Use a name such as Europe/Berlin.'),
    ({'triggers': [{'cron': '@daily', 'overlap': 'skp'}]}, 'schema at triggers.0.overlap: triggers[0].overlap takes skip, queue_one, queue_all, cancel_running or allow, not the text "skp". Did you mean "skip"?'),
    ({'triggers': [{'cron': '@daily', 'pause_after': 0}]}, 'schema at triggers.0.pause_after: triggers[0].pause_after must be at least 1, not 0.'),
    ({'triggers': [{'cron': '@daily', 'catchup': 'x'}]}, 'schema at triggers.0.catchup: triggers[0].catchup takes none, last or all, not the text "x".'),
    ({'triggers': [{'cron': '@daily', 'dst': {'gap': 'before'}}]}, 'schema at triggers.0.dst.gap: triggers[0].dst.gap takes after or skip, not the text "before".'),
    ({'triggers': [{'cron': '@daily', 'start': 'monday'}]}, 'schema at triggers.0.start: triggers[0].start takes a time, not the text "monday". Write RFC 3339 with Z or an offset, in quotes: 2030-01-31T06:00:00Z.'),
    ({'triggers': [{'cron': '@daily', 'jitter': 5}]}, 'schema at triggers.0.jitter: triggers[0].jitter takes a duration, not the number 5. A number needs its unit: write 5s, 5m or 5h.'),
    ({'triggers': [{'cron': '@daily', 'when': 'true'}]}, 'schema at triggers.0.when: a cron trigger has no when. It has cron, timezone, start, end, jitter, overlap, catchup, dst, pause_after, id, enabled, params, priority.'),
    ({'triggers': [{'cron': '@daily', 'id': 'a b'}]}, 'schema at triggers.0.id: "a b" cannot be the id of a trigger. Begin with a letter or _, then use letters, digits, _ and -, at most 100.'),
    ({'triggers': [{'cron': '@daily', 'id': 'a'}, {'every': '1m', 'id': 'a'}]}, 'schema at triggers.1: there are two triggers "a". Give one of them another id.'),
    ({'triggers': [{'every': '1ms'}]}, 'schema at triggers.0.every: triggers[0].every must be at least 1s, not 1ms.'),
    ({'triggers': [{'at': 'x'}]}, 'schema at triggers.0.at: triggers[0].at takes a time, not the text "x". Write RFC 3339 with Z or an offset, in quotes: 2030-01-31T06:00:00Z.'),
    ({'triggers': [{'cron': '@daily', 'enabled': 'no'}]}, 'schema at triggers.0.enabled: triggers[0].enabled takes true or false, not the text "no". YAML 1.2 has only true and false.'),
    ({'triggers': [{'kafka': {'topic': 't'}}]}, 'schema at triggers.0: a kafka trigger needs key: messages come at least once, and the key removes duplicates.'),
    ({'triggers': [{'kafka': {}, 'key': 'event.id'}]}, 'schema at triggers.0.kafka: a kafka trigger needs topic: the topic.'),
    ({'triggers': [{'kafka': {'topic': 'a b'}, 'key': 'event.id'}]}, 'schema at triggers.0.kafka.topic: "a b" cannot be a topic. Use letters, digits, dots, _ and -.'),
    ({'triggers': [{'kafka': {'topic': 't'}, 'key': 'evnt.id'}]}, 'invalid_expression at triggers.0.key: there is no name `evnt` here. Did you mean "event"?'),
    ({'triggers': [{'kafka': {'topic': 't'}, 'key': 'event.id', 'timezone': 'UTC'}]}, 'schema at triggers.0.timezone: a kafka trigger has no timezone. It has kafka, when, key, id, enabled, params, priority.'),
    ({'triggers': [{'webhook': {'secret': 'a b'}}]}, 'schema at triggers.0.webhook.secret: "a b" cannot be the name of a secret. Use letters, digits and _.'),
    ({'triggers': [{'after': {'workflow': 'x', 'states': ['done']}}]}, 'schema at triggers.0.after.states.0: triggers[0].after.states[0] takes succeeded, failed or cancelled, not the text "done".'),
    ({'triggers': [{'after': {}}]}, 'schema at triggers.0.after: an after trigger needs workflow: the workflow.'),
    ({'triggers': [{'after': {'workflow': 'w'}}]}, 'cycle at triggers.0.after.workflow: w → w is a cycle: the end of each run would start the next one, for ever. Name another workflow, or use `every`.'),
    ({'triggers': [{'assets': {}}]}, 'schema at triggers.0.assets: assets takes exactly one of any or all; here is neither.'),
    ({'triggers': [{'assets': {'any': ['a'], 'all': ['b']}}]}, 'schema at triggers.0.assets: assets takes exactly one of any or all; here is both any and all.'),
    ({'triggers': [{'cron': '@daily'}], 'params': {'day': {'type': 'string'}}}, 'invalid_parameter at triggers.0: the trigger "cron_1" leaves the required parameter day without a value. Give it under the trigger\'s params, or a default.'),
    ({'triggers': [{'cron': '@daily', 'params': {'dya': 'x', 'day': 'x'}}], 'params': {'day': {'type': 'string'}}}, 'invalid_parameter at triggers.0.params.dya: the workflow has no parameter "dya". Did you mean "day"?'),
    ({'triggers': [{'cron': '@daily', 'params': {'day': 5}}], 'params': {'day': {'type': 'string'}}}, 'invalid_parameter at triggers.0.params.day: day: it takes text, not the number 5.'),
    ({'triggers': [{'cron': '@daily', 'params': {'day': '${{ params.day }}'}}], 'params': {'day': {'type': 'string'}}}, 'invalid_expression at triggers.0.params.day: there is no name `params` here. Known here: event, message.'),
    ({'triggers': [{'cron': '@daily', 'params': {'day': '${{ 1 + }}'}}], 'params': {'day': {'type': 'string'}}}, 'invalid_expression at triggers.0.params.day: the expression ends where a value is expected.'),
    ({'tsks': 1}, 'schema at tsks: a workflow has no key "tsks". Did you mean "tasks"?'),
    ({'tasks': {}}, 'empty_workflow at tasks: the workflow has no tasks. Add one under `tasks`.'),
    ({'tasks': None}, 'empty_workflow at tasks: the workflow has no tasks. Add one under `tasks`.'),
    ({'tasks': []}, 'schema at tasks: tasks takes a map of ids and tasks, not a list. Write each task as a key: `load: {python: …}`.'),
    ({'tasks': {'t': {'noop': {}}}, 'x-a': {'anything': [1]}, 'xa': 1}, 'schema at xa: a workflow has no key "xa". It has workflow, description, tags, params, triggers, limits, concurrency, priority, deadline, defaults, tasks, on_failure, finally, output, retention, notify.'),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "field", "value"), GOOD, ids=lambda value: str(value)[:60])
def test_what_a_key_gives(keys: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(workflow(**keys), field) == value


@pytest.mark.parametrize(("keys", "said"), BAD, ids=lambda value: str(value)[:60])
def test_what_is_said_of_a_wrong_key(keys: dict[str, Any], said: str) -> None:
    assert [line(problem) for problem in examine({**document(), **keys}).problems] == [said]


@pytest.mark.parametrize("name", ["w", "_w", "a-b_C1", "x" * 100])
def test_a_name_that_can_be_one(name: str) -> None:
    assert examine({**document(), "workflow": name}).problems == ()


@pytest.mark.parametrize("name", ["", "1a", "-a", "a.b", "a b", "x" * 101, "ä", "a\n"])
def test_a_name_that_cannot_be_one(name: str) -> None:
    assert [problem.path for problem in examine({**document(), "workflow": name}).problems] == [("workflow",)]


def test_a_workflow_needs_a_name_and_a_task() -> None:
    assert [line(problem) for problem in examine({}).problems] == [
        "schema at : a workflow needs a name: workflow: name.",
        "empty_workflow at : the workflow has no tasks. Add one under `tasks`.",
    ]


@pytest.mark.parametrize("value", [None, [], "x", 5, True])
def test_a_workflow_is_a_map(value: Any) -> None:
    [problem] = examine(value).problems
    assert problem.code == "schema"
    assert "a workflow is a map that begins with `workflow: name`" in problem.message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "NaN and infinity are no JSON values. Leave it out or use null."),
        (2**63, "an integer beyond 64 bits. Write it as text, in quotes."),
        (-(2**63) - 1, "an integer beyond 64 bits. Write it as text, in quotes."),
        ("\ud800", '"\\ud800" holds half a surrogate pair. Write the whole character, or replace it.'),
    ],
)
def test_what_json_cannot_carry(value: Any, said: str) -> None:
    found = examine(document({"python": "m:f", "with": {"x": [value]}})).problems
    assert [line(problem) for problem in found] == [f"parse_error at tasks.t.with.x.0: {said}"]


def test_what_json_can_carry() -> None:
    values = {"a": 2**63 - 1, "b": -(2**63), "c": 1.5e308, "d": "\U0001f600\u202e", "e": "x" * 1_000_000}
    [found] = workflow({"python": "m:f", "with": values}).tasks
    assert found.with_ == values
