"""The parameters of a run: completed with defaults, and everything that is wrong with them at once (faults 11)."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.dsl.parameters import complete
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.expressions import CelEvaluator
from tests.unit.dsl.reading import workflow

SCOPE = {
    "run": {
        "id": "r1",
        "workflow": "w",
        "version": 1,
        "trigger": "manual",
        "date": "2030-01-31",
        "started_at": None,
    },
    "event": {"day": "2030-02-01"},
}


def completed(params: dict[str, Any], **given: Any) -> dict[str, Any]:
    return complete(workflow(params=params), given, scope=SCOPE, evaluator=CelEvaluator())


def said(params: dict[str, Any], **given: Any) -> list[str]:
    with pytest.raises(InvalidWorkflow) as refused:
        completed(params, **given)
    assert {problem.code for problem in refused.value.problems} == {"invalid_parameter"}
    return [str(problem) for problem in refused.value.problems]


def test_defaults_fill_in_what_is_not_given() -> None:
    params = {"a": {"type": "integer", "default": 1}, "b": {"default": None}, "c": {"type": "string"}}
    assert completed(params, c="x") == {"a": 1, "b": None, "c": "x"}
    assert completed(params, c="x", a=2) == {"a": 2, "b": None, "c": "x"}


def test_templates_are_judged_over_run_and_event() -> None:
    params = {
        "day": {"type": "string", "format": "date", "default": "${{ run.date }}"},
        "next": {"default": {"days": ["${{ event.day }}"], "text": "for ${{ run.id }}"}},
    }
    assert completed(params) == {"day": "2030-01-31", "next": {"days": ["2030-02-01"], "text": "for r1"}}


def test_what_a_template_gives_is_checked_too() -> None:
    assert said({"n": {"type": "integer", "default": "${{ run.date }}"}}) == [
        'n: it takes an integer, not the text "2030-01-31".'
    ]


def test_a_template_that_cannot_be_judged_is_told() -> None:
    [message] = said({"n": {"default": "${{ event.nothing }}"}})
    assert message.startswith("the default of n cannot be judged: `event.nothing`")
    assert message.endswith("Give n a value.")


def test_everything_wrong_is_told_at_once() -> None:
    params = {
        "day": {"type": "string", "format": "date"},
        "regions": {"type": "array", "items": {"type": "string"}},
        "rate": {"type": "number", "description": "How fast"},
    }
    assert said(params, day="yesterday", regions=["eu", 5], regoins=[]) == [
        'workflow "w" has no parameter "regoins". Did you mean "regions"?',
        'day: it takes a date such as 2030-01-31, not the text "yesterday".',
        "regions[1]: it takes text, not the number 5.",
        "the parameter rate is missing. It is: How fast",
    ]


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"type": "string"}, 5, "it takes text, not the number 5."),
        ({"type": "string"}, None, "it takes text, not nothing (null)."),
        ({"type": "integer"}, 1.0, "it takes an integer, not the number 1.0."),
        ({"type": "integer"}, True, "it takes an integer, not true."),
        ({"type": "integer"}, 2**63, "an integer beyond 64 bits."),
        ({"type": "number"}, float("inf"), "NaN and infinity are no JSON values."),
        ({"type": "string"}, "\ud800", '"\\ud800" holds half a surrogate pair.'),
        ({"type": ["string", "null"]}, 5, "it takes text or null, not the number 5."),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 5, "the number 5 fits none of what it takes."),
        ({"type": "boolean"}, "true", 'it takes true or false, not the text "true".'),
        ({"enum": ["eu", "us"]}, "eux", 'it takes eu or us, not the text "eux". Did you mean "eu"?'),
        ({"enum": [1]}, True, "it takes 1, not true."),
        ({"const": 3}, 4, "it takes 3 alone, not the number 4."),
        ({"type": "integer", "minimum": 3}, 2, "it must be at least 3, not 2."),
        ({"type": "integer", "exclusiveMaximum": 3}, 3, "it must be less than 3, not 3."),
        ({"type": "string", "maxLength": 2}, "abc", "it must have at most 2 characters, not 3."),
        ({"type": "array", "minItems": 1}, [], "it must have at least 1 items, not 0."),
        ({"type": "string", "pattern": "^v"}, "x", 'the text "x" does not match "^v".'),
        ({"type": "object", "required": ["a"]}, {}, '"a" is missing.'),
        (
            {"type": "object", "properties": {"count": {}}, "additionalProperties": False},
            {"cuont": 1},
            'it has no key "cuont". Did you mean "count"?',
        ),
        ({"format": "date-time"}, "2030-01-31", 'it takes a time such as 2030-01-31T06:00:00Z, not the text "2030-01-31".'),
        ({"format": "email"}, "a@", 'it takes an e-mail address, not the text "a@".'),
        ({"format": "uri"}, "a b", 'it takes a URI, not the text "a b".'),
        ({"format": "uuid"}, "1", 'it takes a UUID, not the text "1".'),
        ({"$ref": "#"}, 1, "the schema refers to itself without end."),
    ],
)  # fmt: skip
def test_what_is_said_of_a_wrong_value(schema: dict[str, Any], value: Any, message: str) -> None:
    assert said({"x": schema}, x=value) == [f"x: {message}"]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, None),
        ({"type": "null"}, None),
        ({"type": ["string", "null"]}, None),
        ({"type": "number"}, 1),
        ({"type": "integer"}, -(2**63)),
        ({"type": "string"}, "x" * 1_000_000),
        ({"type": "string", "format": "date"}, "2028-02-29"),
        ({"format": "date-time"}, "2030-01-31T06:00:00.5+01:00"),
        ({"format": "email"}, "a.b+c@example.org"),
        ({"format": "uri"}, "https://example.org/a?b=c#d"),
        ({"format": "uuid"}, "123e4567-e89b-12d3-a456-426614174000"),
        ({"format": "date"}, 5),
        ({"format": "color"}, "any"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, 3),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}),
    ],
)
def test_what_fits_comes_back_as_it_was(schema: dict[str, Any], value: Any) -> None:
    assert completed({"x": schema}, x=value) == {"x": value}


def test_a_huge_wrong_value_gives_a_short_message() -> None:
    [message] = said({"x": {"type": "integer"}}, x="y" * 1_000_000)
    assert len(message) < 200
