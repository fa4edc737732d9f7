"""Parameters as typed: what becomes text, what becomes JSON, and what is said about the missing ones."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from headrace.cli.failure import Stop
from headrace.cli.parameters import ask_for, gather, missing, type_of
from headrace.engine.core.workflow import Noop, Task, Workflow


def workflow(**params: dict[str, Any]) -> Workflow:
    return Workflow(name="w", tasks=(Task(id="a", work=Noop()),), params=params)


@pytest.mark.parametrize(
    ("schema", "typed", "value"),
    [
        ({"type": "string"}, "12", "12"),
        ({"type": "string"}, "null", "null"),
        ({"type": "string"}, "", ""),
        ({"type": "string"}, "a=b", "a=b"),
        ({"type": "string", "format": "date"}, "2026-03-01", "2026-03-01"),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "null"]}, "x", "x"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "12", "12"),
        ({"enum": ["eu", "us"]}, "eu", "eu"),
        ({"enum": [1, 2]}, "1", 1),
        ({"type": "integer"}, "12", 12),
        ({"type": "number"}, "1.5", 1.5),
        ({"type": "boolean"}, "true", True),
        ({"type": "array", "items": {"type": "string"}}, '["eu"]', ["eu"]),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({}, "12", 12),
        ({}, "plain", "plain"),
    ],
)
def test_a_value_is_text_where_the_schema_says_string_else_json(
    schema: dict[str, Any], typed: str, value: object
) -> None:
    assert gather(workflow(p=schema), [f"p={typed}"], None) == {"p": value}


def test_an_undeclared_parameter_is_passed_on_for_the_check_to_refuse() -> None:
    assert gather(workflow(), ["q=1"], None) == {"q": "1"}


def test_what_is_no_json_says_which_type_is_wanted() -> None:
    with pytest.raises(Stop, match='-p p: "eu" is not JSON, and p takes list of string') as stopped:
        gather(workflow(p={"type": "array", "items": {"type": "string"}}), ["p=eu"], None)
    assert stopped.value.hint == """Write it as JSON, e.g. -p p='["a", "b"]'"""
    with pytest.raises(Stop) as stopped:
        gather(workflow(p={"type": "integer"}), ["p=some"], None)
    assert stopped.value.hint == "Write it as JSON, e.g. -p p=42"


@pytest.mark.parametrize("pair", ["p", "=1", ""])
def test_a_pair_needs_a_name_and_an_equals_sign(pair: str) -> None:
    with pytest.raises(Stop, match="-p takes key=value"):
        gather(workflow(), [pair], None)


def test_files_hold_a_value_or_all_of_them_and_p_wins(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone / "note.txt").write_text("two\nlines\n")
    (alone / "all.yaml").write_text("day: '2026-03-01'\ncount: 3\nnote: short\n")
    given = gather(
        workflow(day={"type": "string"}, count={"type": "integer"}, note={"type": "string"}),
        ["note=@note.txt", "count=4"],
        "all.yaml",
    )
    assert given == {"day": "2026-03-01", "count": 4, "note": "two\nlines\n"}
    monkeypatch.setattr("sys.stdin", io.StringIO('{"count": 9}'))
    assert gather(workflow(count={"type": "integer"}), [], "-") == {"count": 9}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("gone.json", None, "cannot be read"),
        ("bad.json", "{", "--params bad.json"),
        ("bad.yaml", "a: [", "--params bad.yaml"),
        ("list.json", "[1]", "must hold an object"),
    ],
)
def test_a_file_that_cannot_be_used_is_said(alone: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (alone / name).write_text(text)
    with pytest.raises(Stop, match=said):
        gather(workflow(), [], name)


def test_missing_parameters_are_listed_at_once_with_the_command_to_type() -> None:
    flow = workflow(
        day={"type": "string", "format": "date", "description": "the day to load"},
        regions={"type": "array", "items": {"type": "string"}},
        tax={"type": "number", "default": 0.2},
        zone={"enum": ["eu", "us"]},
    )
    given = gather(flow, ["zone=eu"], None)
    lacking = missing(flow, given)
    assert lacking == ["day", "regions"]
    stop = ask_for(flow, lacking, ("headrace", "run", "my flow.yaml"), ["zone=eu"])
    assert stop.message.splitlines() == [
        'workflow "w" needs 2 more parameters:',
        "  day      date  the day to load",
        "  regions  list of string",
    ]
    assert stop.hint == "Say: headrace run 'my flow.yaml' -p zone=eu -p day=… -p regions='[…]'"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "any"),
        ({"type": ["integer", "null"]}, "integer or null"),
        ({"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}, "date or null"),
        ({"const": 3}, "exactly 3"),
        ({"enum": ["a", 1]}, "one of a, 1"),
    ],
)
def test_a_schema_in_a_few_words(schema: dict[str, Any], words: str) -> None:
    assert type_of(schema) == words
