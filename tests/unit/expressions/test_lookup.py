"""Paths that lead nowhere: never empty, always named, with the nearest key."""

from __future__ import annotations

import pytest

from tests.unit.expressions.judging import holds, judge, why

SCOPE = {
    "tasks": {"check": {"output": {"rows": 5, "files": ["a"]}, "state": "succeeded"}, "n": {"output": None}},
    "params": {"day": "2024-01-31", "flag": True},
    "item": 3,
}


@pytest.mark.parametrize("form", ["{}", "[{}]"])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("tasks.check.output.row", 'tasks.check.output has no key "row". Did you mean "rows"?'),
        ("tasks.check.output.zzz", 'write get(tasks.check.output, "zzz", default)'),
        ("tasks.n.output.rows", 'tasks.n.output is null and has no "rows"'),
        ("tasks.gone.output", 'tasks has no key "gone"'),
        ("tasks.check.output.files[1]", "tasks.check.output.files has 1 elements; there is none at [1]"),
        ("tasks.check.output.files.x", "tasks.check.output.files is a list, which has positions"),
        ("params.day.x", 'params.day is string and has no "x"'),
        ("params.day[0]", "params.day is string and has no [0]"),
        ("params[0]", "params is a map, whose keys are strings"),
        ("item.x", 'item is int and has no "x"'),
        ("nothing.x", "`nothing` has no value here"),
    ],
)
def test_a_path_that_leads_nowhere(form: str, path: str, message: str) -> None:
    """The same whether the path stands alone (looked up) or within an expression (judged)."""
    assert message in why(form.format(path), **SCOPE)


def test_an_error_names_the_expression() -> None:
    assert why("params.dya", **SCOPE).startswith('`params.dya`: params has no key "dya"')


def test_a_lone_path_may_be_a_condition() -> None:
    assert holds("params.flag", **SCOPE)


def test_computed_keys() -> None:
    assert judge("tasks.check.output[params.k]", **(SCOPE | {"params": {"k": "rows"}})) == 5
    assert judge("[10, 20][item - 2]", **SCOPE) == 20
    assert "has no key" in why("params['d' + 'x']", **SCOPE)
    assert "none at [-1]" in why("[1][0 - 1]")
    assert "double key" in why("[1][1.0]")


def test_nearness_is_sought_among_a_bounded_number_of_keys() -> None:
    many = {f"key_{number}": number for number in range(100_000)}
    assert 'has no key "kye_7"' in why("event.kye_7", event=many)
    assert "…" in why("event['" + "x" * 3000 + "']", event=many)
