"""Every row of the page of expressions gives what it says, or fails for the reason that it says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.engine.core.evaluation import EvaluationError
from headrace.engine.core.expressions import parse_template
from headrace.engine.expressions import CelEvaluator
from tests.acceptance.docs.pages import DOCS, blocks, rows

PAGE = DOCS / "expressions.md"
SCOPE = next(json.loads(block.text) for block in blocks(PAGE) if "scope" in block.marks)
GIVES = rows(PAGE, "expression", "gives")
FAILS = rows(PAGE, "expression", "fails because")


def judged(cell: str) -> Any:
    return CelEvaluator().fill(parse_template("${{ " + cell.strip("`") + " }}"), SCOPE).value


@pytest.mark.parametrize(("expression", "gives"), GIVES, ids=[row[0].strip("`") for row in GIVES])
def test_an_expression_gives_what_its_row_says(expression: str, gives: str) -> None:
    value, expected = judged(expression), json.loads(gives.strip("`"))
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(("expression", "because"), FAILS, ids=[row[0].strip("`") for row in FAILS])
def test_an_expression_fails_as_its_row_says(expression: str, because: str) -> None:
    with pytest.raises(EvaluationError) as failed:
        judged(expression)
    assert because.strip("`") in str(failed.value)
