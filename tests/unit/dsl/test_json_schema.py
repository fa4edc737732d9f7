"""JSON Schema as parameters use it: schemas that are wrong, values that do not fit, formats that are enforced."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from headrace.dsl.json_schema import schema_problems, violations


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        ({"type": "strng"}, ("type",), '"strng" is no type. Did you mean "string"?'),
        ({"typ": "string"}, ("typ",), 'a JSON Schema has no keyword "typ". Did you mean "type"?'),
        (
            {"type": "integer", "defualt": 1},
            ("defualt",),
            'has no keyword "defualt". Did you mean "default"?',
        ),
        (
            {"type": "object", "properties": {"a": {"minimun": 1}}},
            ("properties", "a", "minimun"),
            'has no keyword "minimun". Did you mean "minimum"?',
        ),
        ({"$ref": "https://example.com/s"}, ("$ref",), "leads outside of this schema"),
        ({"$ref": "file:///etc/passwd"}, ("$ref",), "leads outside of this schema"),
        ({"items": {"$ref": "#/$defs/x"}}, ("items", "$ref"), '"#/$defs/x" leads nowhere.'),
        ({"type": "string", "pattern": "("}, ("pattern",), "the pattern cannot be read"),
        ({"patternProperties": {"[": {}}}, ("patternProperties", "["), "the pattern cannot be read"),
        ({"minLength": -1}, ("minLength",), "this is no JSON Schema"),
        ({"required": "a"}, ("required",), "this is no JSON Schema"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, ("$schema",), "2020-12"),
        ("string", (), 'a parameter takes a JSON Schema (a map), not the text "string".'),
    ],
)
def test_a_wrong_schema_is_told_with_its_spot(schema: Any, path: tuple[str, ...], message: str) -> None:
    [(at, said)] = schema_problems(schema)
    assert at == path
    assert message in said


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"x-typ": {"typ": 1}},
        {"label": "a note to people", "type": "string"},
        {"const": {"typ": 1}},
        {"properties": {"typ": {}, "defualt": {"type": "string"}}},
        {"dependentRequired": {"typ": ["a"]}},
        {"$defs": {"x": {"type": "integer"}}, "items": {"$ref": "#/$defs/x"}},
        {"type": ["string", "null"], "format": "hostname"},
    ],
)
def test_a_right_schema_is_left_alone(schema: Any) -> None:
    assert schema_problems(schema) == []


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"type": "integer"}, 1.0, "it takes an integer, not the number 1.0."),
        ({"type": "integer"}, True, "it takes an integer, not true."),
        ({"type": "string"}, None, "it takes text, not nothing (null)."),
        ({"type": ["string", "null"]}, 1, "it takes text or null, not the number 1."),
        (
            {"enum": ["east", "west"]},
            "eats",
            'it takes east or west, not the text "eats". Did you mean "east"?',
        ),
        ({"minimum": 3}, 2, "it must be at least 3, not 2."),
        ({"maxItems": 1}, [1, 2], "it must have at most 1 items, not 2."),
        ({"required": ["a"]}, {}, '"a" is missing.'),
        ({"pattern": "^a"}, "b", 'the text "b" does not match "^a".'),
    ],
)
def test_what_does_not_fit_is_told_in_plain_words(schema: dict[str, Any], value: Any, message: str) -> None:
    [(at, said)] = violations(schema, value)
    assert at == ()
    assert said == message


def test_every_violation_is_told_with_its_spot() -> None:
    schema = {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    found = violations(schema, [{"n": 1}, {"n": "x"}, 3])
    assert [at for at, _ in found] == [(1, "n"), (2,)]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", ["2024-02-29"], ["2023-02-29", "2024-2-9", "20240229", "2024-02-29T00:00:00Z", ""]),
        (
            "date-time",
            ["2024-02-29T06:00:00Z", "2024-02-29T06:00:00.25+02:00"],
            ["2024-02-29", "2024-02-29T06:00:00", "2024-02-30T06:00:00Z", "2024-02-29T25:00:00Z"],
        ),
        ("email", ["a.b+c@example.org"], ["a", "@b", "a@", "a b@c.d", "a@b@c"]),
        (
            "uri",
            ["https://example.org/a?b=c#d", "urn:isbn:1"],
            ["/relative", "https://a b", "https://a/%zz", ":x"],
        ),
        (
            "uuid",
            ["123e4567-e89b-12d3-a456-426614174000"],
            ["123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g"],
        ),
    ],
)
def test_the_five_formats_are_enforced(name: str, good: list[str], bad: list[str]) -> None:
    schema = {"type": "string", "format": name}
    assert [value for value in good if violations(schema, value)] == []
    assert [value for value in bad if not violations(schema, value)] == []


def test_a_schema_that_refers_to_itself_without_end_is_told() -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    [(_, said)] = violations(schema, 1)
    assert said == "the schema refers to itself without end."


_SCHEMAS = st.recursive(
    st.sampled_from(
        [{"type": t} for t in ("string", "integer", "boolean", "null", "object")]
        + [{"enum": ["a", 1, None]}, {"minimum": 2}, {"type": "number", "maximum": 4}, {"format": "date"}]
    ),
    lambda below: (
        st.builds(lambda s: {"type": "array", "items": s}, below)
        | st.builds(lambda s, t: {"anyOf": [s, t]}, below, below)
    ),
    max_leaves=4,
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 6) | st.sampled_from(["a", "b", "2024-01-01"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("ab"), below, max_size=2),
    max_leaves=5,
)


@given(_SCHEMAS, _VALUES)
def test_the_short_way_answers_as_the_library_does(schema: dict[str, Any], value: Any) -> None:
    """Plain schemas are judged without the library; formats apart, it must give the same answer."""
    bare = json.loads(json.dumps(schema).replace('"format": "date"', '"description": ""'))
    assert (violations(bare, value) == []) == Draft202012Validator(bare).is_valid(value)
