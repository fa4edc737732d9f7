"""A workflow's signature as `params`."""

from __future__ import annotations

import pytest

from headrace.dsl.python import BuildError

from .conftest import Written


def test_types_become_json_schemas_without_titles(document: Written) -> None:
    params = document(
        """
        from typing import Annotated, Any, Literal
        from pydantic import BaseModel, Field
        class Window(BaseModel):
            title: str
            start: date
        @workflow
        def flow(
            a: str, b: int, c: float, d: bool, e: Any, f,
            g: date, h: datetime, i: list[int], j: dict[str, float], k: str | None, l: Literal["x", "y"],
            m: Window, n: Annotated[int, Field(ge=1)],
            o: Annotated[date, Param("The day to load", examples=["2030-01-02"])] = run.date,
            p: Annotated[str, Param(pattern="^a")] = "a",
            q: Window = Window(title="t", start=date(2030, 1, 2)),
            r: str = f"{run.date}-x",
            s: str | None = None,
        ):
            noop()
        """
    )["params"]
    window = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "start": {"type": "string", "format": "date"}},
        "required": ["title", "start"],
    }
    assert params == {
        "a": {"type": "string"},
        "b": {"type": "integer"},
        "c": {"type": "number"},
        "d": {"type": "boolean"},
        "e": {},
        "f": {},
        "g": {"type": "string", "format": "date"},
        "h": {"type": "string", "format": "date-time"},
        "i": {"type": "array", "items": {"type": "integer"}},
        "j": {"type": "object", "additionalProperties": {"type": "number"}},
        "k": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "l": {"type": "string", "enum": ["x", "y"]},
        "m": window,
        "n": {"type": "integer", "minimum": 1},
        "o": {
            "type": "string",
            "format": "date",
            "description": "The day to load",
            "examples": ["2030-01-02"],
            "default": "${{ run.date }}",
        },
        "p": {"type": "string", "pattern": "^a", "default": "a"},
        "q": {**window, "default": {"title": "t", "start": "2030-01-02"}},
        "r": {"type": "string", "default": "${{ run.date }}-x"},
        "s": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    }


def test_inside_parameters_are_references(body: Written) -> None:
    tasks = body("price(day.year)", "day: dict")["tasks"]
    assert tasks["price"]["with"] == {"file": "${{ params.day.year }}"}
    with pytest.raises(BuildError, match="`if` on a reference"):
        body("if full: noop()", "full: bool = True")


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ("*days: date", '"days" has no name'),
        ("**days: date", '"days" has no name'),
        ("day: date, /", '"day" has no name'),
        ("day: Elsewhere", "'Elsewhere' is not defined"),
        ("day: __import__('threading').Lock", 'the parameter "day" has a type without JSON Schema'),
    ],
)
def test_signatures_that_are_refused(body: Written, params: str, says: str) -> None:
    with pytest.raises(BuildError) as caught:
        body("noop()", params)
    assert says in str(caught.value)
    assert caught.value.problems[0].code == "invalid_parameter"
    assert caught.value.problems[0].place is not None
