"""Every kind of task: its short and long forms, and what is said where it is wrong (language, section 4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from headrace.dsl.document import examine
from headrace.engine.core.workflow import (
    Approval,
    Case,
    Child,
    Container,
    Gate,
    Group,
    Http,
    Noop,
    PythonCall,
    Shell,
    Signal,
    Sleep,
    Switch,
    Task,
)
from tests.unit.dsl.reading import line, task

F = {"python": "m:f"}
HOUR = timedelta(hours=1)

GOOD: list[tuple[dict[str, Any], Any]] = [
    ({"python": "shop.sales:extract"}, PythonCall("shop.sales:extract")),
    ({"shell": "echo $X"}, Shell("echo $X")),
    ({"shell": {"run": "x", "interpreter": ["sh", "-c"], "cwd": "work"}}, Shell("x", None, ("sh", "-c"), "work")),
    ({"shell": {"argv": ["a", "${{ params.x }}"]}}, Shell(None, ("a", "${{ params.x }}"))),
    ({"http": "https://x/${{ params.y }}"}, Http("https://x/${{ params.y }}")),
    ({"http": "${{ params.url }}"}, Http("${{ params.url }}")),
    (
        {"http": {"url": "http://x", "method": "POST", "headers": {"A-B": "c"}, "query": {"q": 1}, "json": None}},
        Http("http://x", "POST", {"A-B": "c"}, {"q": 1}, None, has_json=True),
    ),
    ({"http": {"url": "http://x", "form": {"a": "b"}}}, Http("http://x", form={"a": "b"})),
    ({"http": {"url": "http://x", "body": "${{ params.b }}"}}, Http("http://x", body="${{ params.b }}")),
    ({"http": {"url": "http://x", "query": "${{ params.q }}"}}, Http("http://x", query="${{ params.q }}")),
    (
        {"http": {"url": "http://x", "expect": [200, "300-399"], "redirects": 5}},
        Http("http://x", expect=((200, 200), (300, 399)), redirects=5),
    ),
    ({"container": "alpine"}, Container("alpine")),
    (
        {"container": {"image": "i", "argv": ["a"], "cpu": 0.5, "memory": "1GiB", "pull": "missing"}},
        Container("i", ("a",), "0.5", "1GiB", "missing"),
    ),
    ({"workflow": "other"}, Child("other")),
    (
        {"workflow": {"name": "other", "wait": False, "on_cancel": "abandon", "version": 3}},
        Child("other", False, "abandon", 3),
    ),
    ({"sleep": "1h"}, Sleep(HOUR)),
    ({"sleep": "0s"}, Sleep(timedelta(0))),
    ({"sleep": {"until": "2030-01-01T07:00:00+01:00"}}, Sleep(None, "2030-01-01T06:00:00Z")),
    ({"sleep": {"until": "${{ params.at }}"}}, Sleep(None, "${{ params.at }}")),
    ({"signal": "paid"}, Signal("paid")),
    (
        {"signal": {"name": "paid", "key": "params.id", "match": "event.x > 1", "lookback": "1h", "expires": "1h"}},
        Signal("paid", "params.id", "event.x>1", HOUR, HOUR),
    ),
    ({"signal": {"any": ["a", {"name": "b"}], "on_expiry": "skip"}}, Signal(any=(Signal("a"), Signal("b")), on_expiry="skip")),
    ({"signal": {"all": ["a", {"name": "b", "key": "run.id"}]}}, Signal(all=(Signal("a"), Signal("b", "run.id")))),
    ({"approval": "Go?"}, Approval("Go?")),
    (
        {"approval": {"form": {"note": {"type": "string"}}, "roles": ["operator"], "approvers": 2, "self": True,
                      "expires": "1h", "on_expiry": "continue", "on_reject": "skip"}},
        Approval(None, {"note": {"type": "string"}}, ("operator",), 2, True, HOUR, "continue", "skip"),
    ),
    (
        {"switch": {"cases": [{"when": "params.x  > 1", "then": ["a", "b"]}, {"when": "true", "then": "c"}], "default": []}},
        Switch((Case("params.x>1", ("a", "b")), Case("true", ("c",))), ()),
    ),
    ({"switch": {"default": ["a"]}}, Switch((), ("a",))),
    ({"switch": {"python": "m:f"}, "with": {"x": 1}}, Switch(python="m:f")),
    ({"gate": "params.x"}, Gate("params.x")),
    ({"gate": {"when": "params.x", "respect_trigger_rules": True}}, Gate("params.x", True)),
    ({"noop": {}}, Noop()),
    ({"noop": None}, Noop()),
    ({"tasks": {"b": {"noop": {}}, "a": {"noop": {}}}}, Group((Task("a", Noop()), Task("b", Noop())))),
]  # fmt: skip

BAD: list[tuple[Any, str]] = [
    ({'python': 'm.f'}, 'schema at tasks.t.python: "m.f" names no function. Write m:f, as in shop.sales:extract.'),
    ({'python': 'f'}, 'schema at tasks.t.python: "f" names no function. Write module:function, as in shop.sales:extract.'),
    ({'python': 'm:${{ x }}'}, 'invalid_expression at tasks.t.python: python cannot hold a template (${{ … }}). Which function runs is fixed; let a switch choose between tasks.'),
    ({'python': 3}, 'schema at tasks.t.python: python takes module:function, not the number 3.'),
    ({'shell': ''}, 'schema at tasks.t.shell: shell is empty.'),
    ({'shell': 'a ${{ x }}'}, 'invalid_expression at tasks.t.shell: shell cannot hold a template (${{ … }}). Hand values over by env: {X: …}, and write "$X" in the program.'),
    ({'shell': {}}, 'schema at tasks.t.shell: shell takes exactly one of run or argv; here is neither.'),
    ({'shell': {'run': 'a', 'argv': ['b']}}, 'schema at tasks.t.shell: shell takes exactly one of run or argv; here is both run and argv.'),
    ({'shell': {'argv': []}}, 'schema at tasks.t.shell.argv: shell.argv is empty. It takes a list of arguments.'),
    ({'shell': {'argv': ['a', 1]}}, 'schema at tasks.t.shell.argv.1: shell.argv[1] takes text, not the number 1. Quote it: "1".'),
    ({'shell': {'argv': ['a'], 'interpreter': ['sh']}}, 'schema at tasks.t.shell.interpreter: an interpreter runs program text; argv is run as it is. Leave it out.'),
    ({'shell': {'run': 'a', 'cwd': ''}}, 'schema at tasks.t.shell.cwd: shell.cwd is empty.'),
    ({'shell': ['a']}, 'schema at tasks.t.shell: shell takes text, not a list.'),
    ({'http': 'ftp://x'}, 'schema at tasks.t.http: "ftp://x" is no URL. It begins with http:// or https://.'),
    ({'http': {}}, 'schema at tasks.t.http: an http task needs url: where to; a template.'),
    ({'http': {'url': 'http://x', 'method': 'post'}}, 'schema at tasks.t.http.method: "post" cannot be a method. Write it in capitals, such as POST.'),
    ({'http': {'url': 'http://x', 'headers': {'a b': 'c'}}}, 'schema at tasks.t.http.headers.a b: "a b" cannot be the name of a header. Use letters, digits and -.'),
    ({'http': {'url': 'http://x', 'headers': {'a': 1}}}, 'schema at tasks.t.http.headers.a: http.headers.a takes text, not the number 1. Quote it: "1".'),
    ({'http': {'url': 'http://x', 'headers': {'a': 'b\nc'}}}, 'schema at tasks.t.http.headers.a: a header is one line. Leave out the line ends.'),
    ({'http': {'url': 'http://x', 'json': 1, 'body': 'x'}}, 'schema at tasks.t.http: a request has one body; here are json and body.'),
    ({'http': {'url': 'http://x', 'query': 'a'}}, 'schema at tasks.t.http.query: http.query takes a map, or one template that gives a map, not the text "a". One template alone keeps its type: "${{ … }}".'),
    ({'http': {'url': 'http://x', 'expect': [99]}}, 'schema at tasks.t.http.expect.0: http.expect[0] takes a status such as 204, or a range such as 200-299, not the number 99.'),
    ({'http': {'url': 'http://x', 'expect': ['300-200']}}, 'schema at tasks.t.http.expect.0: the range 300-200 is empty. Write 200-300.'),
    ({'http': {'url': 'http://x', 'expect': 200}}, 'schema at tasks.t.http.expect: http.expect takes a list of statuses, not the number 200.'),
    ({'http': {'url': 'http://x', 'redirects': -1}}, 'schema at tasks.t.http.redirects: http.redirects must be at least 0 and at most 50, not -1.'),
    ({'http': {'url': 'http://x', 'body': 5}}, 'schema at tasks.t.http.body: http.body takes text, not the number 5. Quote it: "5".'),
    ({'container': {}}, 'schema at tasks.t.container: a container task needs image: the image.'),
    ({'container': {'image': 'i', 'memory': '1 pound'}}, 'schema at tasks.t.container.memory: container.memory: "1 pound" is no size: write a number with B, KB, KiB, MB, MiB, GB, GiB, such as 32KiB.'),
    ({'container': {'image': 'i', 'cpu': True}}, 'schema at tasks.t.container.cpu: container.cpu takes a number of processors such as 2, 0.5 or 500m, not true.'),
    ({'container': {'image': 'i', 'pull': 'often'}}, 'schema at tasks.t.container.pull: container.pull takes always, missing or never, not the text "often".'),
    ({'workflow': 'a b'}, 'schema at tasks.t.workflow: "a b" cannot be the name of a workflow. Begin with a letter or _, then use letters, digits, _ and -, at most 100.'),
    ({'workflow': {'name': 'a', 'version': 0}}, 'schema at tasks.t.workflow.version: workflow.version takes latest, or the number of a version, not the number 0.'),
    ({'workflow': {'name': 'a', 'on_cancel': 'kill'}}, 'schema at tasks.t.workflow.on_cancel: workflow.on_cancel takes cancel or abandon, not the text "kill".'),
    ({'workflow': {'name': 'a', 'wait': 1}}, 'schema at tasks.t.workflow.wait: workflow.wait takes true or false, not the number 1.'),
    ({'sleep': 5}, 'schema at tasks.t.sleep: sleep takes a duration, not the number 5. A number needs its unit: write 5s, 5m or 5h.'),
    ({'sleep': 'x'}, 'schema at tasks.t.sleep: sleep: "x" is no duration: write a number with ms, s, m, h or d, such as 30s or 1h30m.'),
    ({'sleep': {}}, 'schema at tasks.t.sleep: a sleep needs until: the moment to wait for; a template.'),
    ({'sleep': {'until': 'tomorrow'}}, 'schema at tasks.t.sleep.until: sleep.until takes a time, not the text "tomorrow". Write RFC 3339 with Z or an offset, in quotes: 2030-01-31T06:00:00Z.'),
    ({'signal': {}}, 'schema at tasks.t.signal: signal takes exactly one of name, any or all; here is none of them.'),
    ({'signal': {'name': 'a', 'any': [{'name': 'b'}]}}, 'schema at tasks.t.signal: signal takes exactly one of name, any or all; here is both name and any.'),
    ({'signal': {'any': []}}, 'schema at tasks.t.signal.any: signal.any is empty. It takes a list of signals.'),
    ({'signal': {'any': [{'name': 'a'}], 'key': '1'}}, 'schema at tasks.t.signal.key: key belongs to one signal. Write it beside the name.'),
    ({'signal': {'all': [{'any': ['a']}]}}, 'schema at tasks.t.signal.all.0: signals of a list are not lists themselves. Write all of them in one list.'),
    ({'signal': {'any': [{'name': 'a', 'expires': '1h'}]}}, 'schema at tasks.t.signal.any.0: expires and on_expiry belong to the whole wait. Write them beside any or all.'),
    ({'signal': {'name': 'a', 'lookback': '8d'}}, 'schema at tasks.t.signal.lookback: lookback is at most 7d: signals are not kept longer.'),
    ({'signal': {'name': 'a', 'on_expiry': 'stop'}}, 'schema at tasks.t.signal.on_expiry: signal.on_expiry takes fail, skip or continue, not the text "stop".'),
    ({'approval': {'roles': 'x'}}, 'schema at tasks.t.approval.roles: approval.roles takes a list of roles, not the text "x".'),
    ({'approval': {'approvers': 0}}, 'schema at tasks.t.approval.approvers: approval.approvers must be at least 1 and at most 100, not 0.'),
    ({'approval': {'form': {'a': {'type': 'strin'}}}}, 'invalid_parameter at tasks.t.approval.form.a.type: a: "strin" is no type. Did you mean "string"?'),
    ({'approval': {'form': {'a': {'type': 'string', 'default': '${{ run.id }}'}}}}, 'invalid_expression at tasks.t.approval.form.a: of a parameter, only `default` may be a template.'),
    ({'switch': {}}, 'schema at tasks.t.switch: a switch takes cases, or python.'),
    ({'switch': {'cases': [{'then': ['a']}]}}, 'schema at tasks.t.switch.cases.0: a case needs when: the condition.'),
    ({'switch': {'cases': [], 'python': 'm:f'}}, 'schema at tasks.t.switch: a switch has cases or a function, not both.'),
    ({'switch': 'x'}, 'schema at tasks.t.switch: switch takes a map, not the text "x".'),
    ({'switch': {'cases': [{'when': 'true', 'then': [1]}]}}, 'schema at tasks.t.switch.cases.0.then.0: switch.cases[0].then[0] takes the id of a task, not the number 1. Quote it: "1".'),
    ({'gate': 5}, 'schema at tasks.t.gate: gate takes an expression, not the number 5. Quote it: "5".'),
    ({'gate': {}}, 'schema at tasks.t.gate: a gate needs when: the condition; false skips what is downstream.'),
    ({'gate': '1 +'}, 'invalid_expression at tasks.t.gate: the expression ends where a value is expected.'),
    ({'noop': 1}, 'schema at tasks.t.noop: noop takes nothing: {}, not the number 1.'),
    ({'noop': {'a': 1}}, 'schema at tasks.t.noop: noop takes nothing: {}, not a map.'),
    ({'tasks': {}}, 'empty_workflow at tasks.t.tasks: the group "t" has no tasks. Add one.'),
    ({'tasks': []}, 'schema at tasks.t.tasks: tasks takes a map of ids and tasks, not a list. Write each task as a key: `load: {python: …}`.'),
    ({'tasks': {'a': {'noop': {}}}, 'retry': 3}, 'schema at tasks.t.retry: a group has no retry. It is tried once; retry the python, shell, http and container tasks.'),
    ({'tasks': {'a': {'noop': {}}}, 'loop': {'until': 'true'}}, 'schema at tasks.t.loop: a loop needs max: how often at most; then it fails with not_converged.'),
    ({'tasks': {'a': {'pyton': 'x'}}}, 'schema at tasks.t.tasks.a.pyton: a task has no key "pyton". Did you mean "python"?'),
    (5, 'schema at tasks.t: a task is a map with one of python, shell, http, container, workflow, sleep, signal, approval, switch, gate, noop or tasks, not the number 5.'),
    (None, 'schema at tasks.t: a task is a map with one of python, shell, http, container, workflow, sleep, signal, approval, switch, gate, noop or tasks, not nothing (null).'),
    ('m:f', 'schema at tasks.t: a task is a map with one of python, shell, http, container, workflow, sleep, signal, approval, switch, gate, noop or tasks, not the text "m:f". Write t: {python: m:f}.'),]  # fmt: skip


@pytest.mark.parametrize(("keys", "work"), GOOD, ids=lambda value: str(value)[:60])
def test_what_a_kind_gives(keys: dict[str, Any], work: Any) -> None:
    assert task(**keys).work == work


@pytest.mark.parametrize(("spec", "said"), BAD, ids=lambda value: str(value)[:60])
def test_what_is_said_of_a_wrong_one(spec: Any, said: str) -> None:
    assert [line(problem) for problem in examine({"workflow": "w", "tasks": {"t": spec}}).problems] == [said]


def test_a_switch_by_a_function_is_executed_by_workers() -> None:
    spec = {
        "switch": {"python": "m:f"},
        "with": {"x": 1},
        "queue": "io",
        "labels": {"a": "b"},
        "on_lost": "fail",
    }
    assert task(**spec).queue == "io"
    cases = {**spec, "switch": {"default": ["a"]}}
    assert [str(problem) for problem in examine({"workflow": "w", "tasks": {"t": cases}}).problems] == [
        "a switch task has no queue.",
        "a switch task has no labels.",
        "a switch task has no on_lost.",
    ]
