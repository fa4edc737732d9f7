"""What sort of value an expression gives: only where the text makes it certain."""

from __future__ import annotations

import pytest

from headrace.engine.core.evaluation import EvaluationError
from headrace.engine.core.expressions import parse_expression, tree_of
from headrace.engine.core.expressions.sorts import certain_sort
from headrace.engine.expressions import CelEvaluator


@pytest.mark.parametrize(
    ("text", "sort"),
    [
        ("1 + 1", "a number"),
        ("-params.x", None),
        ("-1", "a number"),
        ("params.x * 2", "a number"),
        ("params.x + 1", "a number"),
        ("params.x + params.y", None),
        ("params.x + 'a'", "text"),
        ("timestamp('2030-01-01T00:00:00Z') + duration('1s')", None),
        ("'a'", "text"),
        ("null", "null"),
        ("[1]", "a list"),
        ("{'a': 1}", "a map"),
        ("size(params.x)", "a number"),
        ("params.x.getHours()", "a number"),
        ("math.abs(params.x)", "a number"),
        ("get(params.x, 'a', 1)", None),
        ("default(params.x, 1)", None),
        ("parse_json(params.x)", None),
        ("params.x ? 1 : 2", "a number"),
        ("params.x ? 1 : params.y", None),
        ("params.x.filter(y, true)", "a list"),
        ("params.x", None),
        ("params.x > 1", "true or false"),
        ("1 + 1 == 2", "true or false"),
        ("!params.x", "true or false"),
        ("params.x && params.y", "true or false"),
        ("has(params.x)", "true or false"),
        ("params.x.exists(y, y)", "true or false"),
        ("'a' in params.x", "true or false"),
        ("params.x.startsWith('a')", "true or false"),
        ("bool(params.x)", "true or false"),
        ("true", "true or false"),
    ],
)
def test_the_sort(text: str, sort: str | None) -> None:
    assert certain_sort(tree_of(text)) == sort


@pytest.mark.parametrize(
    "text", ["1 + 1", "'a' + 'b'", "[1, 2]", "{'a': 1}", "size('ab')", "null", "1 < 2 ? 1 : 2"]
)
def test_what_is_certainly_no_condition_fails_as_one(text: str) -> None:
    assert certain_sort(tree_of(text)) not in (None, "true or false")
    with pytest.raises(EvaluationError):
        CelEvaluator().condition(parse_expression(text), {})
