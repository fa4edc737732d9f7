"""What the JSON reader takes and refuses, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.dsl.json_loader import read_json

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=10,
)


@given(_VALUES, st.booleans())
def test_json_is_read_as_written(value: Any, ascii_only: bool) -> None:
    read = read_json(json.dumps(value, ensure_ascii=ascii_only))
    assert read == (value, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,}', "f.json:1:9: this is not JSON: "),
        ('{\n  "a": 1,\n  "a": 2\n}', 'f.json:3:3: the key "a" stands here twice. Keep one of the two.'),
        (
            '{"tasks": {"load": {}, "load": {}}}',
            'f.json:1:24: the task "load" is defined twice. Rename one.',
        ),
        ("[" * 100_000, "f.json: maps and lists nest more than 100 deep."),
        ("", "f.json:1:1: this is not JSON: expecting value."),
    ],
)
def test_what_is_no_strict_json_is_refused_with_its_place(text: str, message: str) -> None:
    """Faults 7 and 8."""
    [problem] = read_json(text, "f.json").problems
    assert str(problem).startswith(message)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_refused(constant: str) -> None:
    """Faults 11."""
    [problem] = read_json(f'{{"a":\n  {constant}}}', "f.json").problems
    assert f"{constant} is no JSON value" in problem.message
    assert problem.code == "parse_error"


@pytest.mark.parametrize("digits", [30, 5_000])
def test_integers_beyond_64_bits_are_refused(digits: int) -> None:
    """Faults 11: also where Python itself refuses to convert the text."""
    [problem] = read_json(f'{{"a": {"9" * digits}}}', "f.json").problems
    assert "an integer beyond 64 bits" in problem.message


def test_a_duplicate_beside_escaped_pairs_is_still_told() -> None:
    """JSON writes an emoji as two escapes, which the reader that knows places does not."""
    [problem] = read_json('{"e": "\\ud83d\\ude00", "a": 1, "a": 2}', "f.json").problems
    assert problem.code == "duplicate_key"
    assert problem.place is not None
