"""Templates: finding pieces, filling them, and the holes that are left for the worker."""

from __future__ import annotations

import pytest

from headrace.engine.core.evaluation import Artifact, EvaluationError, Filled, Hole, Secret
from headrace.engine.core.expressions import ExpressionProblem, has_template, parse_template
from tests.unit.expressions.judging import fill

LARGE = Artifact("local:ab", "ab", 10_000_000)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("${{a.b}}", "${{ a.b }}"),
        ("x ${{ a['b'] }} y ${{ 1 + 1 }}", "x ${{ a.b }} y ${{ 1+1 }}"),
        ("${{ '${{' }}", '${{ "${{" }}'),
        ("${{ '}}' }}", '${{ "}}" }}'),
        ("${{ {'a': {'b': 1}} }}", '${{ {"a":{"b":1}} }}'),
        ("${{ {'a': {'b': 1}}}}", '${{ {"a":{"b":1}} }}'),
        ("no $ { piece }} here", "no $ { piece }} here"),
        ("${{ a }}}}", "${{ a }}}}"),
        ("${{ r'}}' }}${{ b }}", '${{ "}}" }}${{ b }}'),
        ("$${{ a }}", "$${{ a }}"),
    ],
)
def test_canonical_source(written: str, canonical: str) -> None:
    template = parse_template(written)
    assert template.value == canonical
    assert parse_template(canonical) == template


def test_values_without_pieces_are_constant() -> None:
    value = {"a": [1, 2.5, None, True, "text"], "b": {}}
    template = parse_template(value)
    assert template.constant
    assert template.value == value
    assert fill(value).value == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${{ a }}", True),
        ("a", False),
        ({"k": ["${{"]}, True),
        ({"${{ k }}": 1}, True),
        (5, False),
        (None, False),
    ],
)
def test_has_template(value: object, expected: bool) -> None:
    assert has_template(value) is expected


def test_all_problems_of_a_template_come_at_once_with_their_places() -> None:
    with pytest.raises(ExpressionProblem) as caught:
        parse_template(
            {"a": "text ${{ 1 + }}", "b": [{"c": "${{ len(x) }}"}], "${{ d }}": 1, "e": "${{ open"}
        )
    problem = caught.value
    assert [(one.path, one.offset) for one in (problem, *problem.others)] == [
        (("${{ d }}",), 0),
        (("a",), 13),
        (("b", 0, "c"), 4),
        (("e",), 0),
    ]
    assert problem.message == "a key cannot be a template."


@pytest.mark.parametrize(
    "written", ["${{ a } }}", "${{ a", "${{ }}", "${{ 'a }}", "${{ a }", "${{ ${{ a }} }}"]
)
def test_broken_pieces(written: str) -> None:
    with pytest.raises(ExpressionProblem):
        parse_template(written)


def test_a_lone_piece_keeps_its_type_and_the_order_of_keys() -> None:
    output = {"z": 1, "a": [1.0, 2, None], "m": {"y": True, "b": "t"}}
    filled = fill("${{ tasks.t.output }}", tasks={"t": {"output": output}}).value
    assert filled == output
    assert list(filled) == ["z", "a", "m"]
    assert fill("${{ params.n }}", params={"n": 3}).value == 3
    assert type(fill("${{ params.n }}", params={"n": 3.0}).value) is float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("é", "<é>"),
        (None, "<>"),
        (3, "<3>"),
        (1.0, "<1.0>"),
        (True, "<true>"),
        ([1, "a", None], '<[1,"a",null]>'),
        ({"b": 1, "a": "é"}, '<{"b":1,"a":"é"}>'),
        ("", "<>"),
    ],
)
def test_inside_text(value: object, text: str) -> None:
    assert fill("<${{ params.v }}>", params={"v": value}).value == text


def test_computed_maps_inside_text_are_sorted() -> None:
    assert fill("<${{ {'b': 1, 'a': 2} }}>").value == '<{"a":2,"b":1}>'


def test_text_never_becomes_program() -> None:
    assert fill("${{ params.v }}!", params={"v": "${{ 1 + 1 }}"}).value == "${{ 1 + 1 }}!"
    assert fill("${{ '${{' }} 1 + 1 }}").value == "${{ 1 + 1 }}"


def test_pieces_are_put_in_without_touching_the_template() -> None:
    template_value = {
        "a": [{"b": "${{ params.v }}", "c": 1}],
        "d": "${{ params.v }} ${{ params.v }}",
        "e": [2],
    }
    template = parse_template(template_value)
    first = fill(template_value, params={"v": 1})
    assert first == Filled({"a": [{"b": 1, "c": 1}], "d": "1 1", "e": [2]})
    assert parse_template(template_value) == template


def test_a_secret_is_a_hole() -> None:
    filled = fill({"h": {"Authorization": "Bearer ${{ secrets.key }}"}, "k": "${{ secrets.key }}", "v": 1})
    assert filled.value == {"h": {"Authorization": None}, "k": None, "v": 1}
    assert filled.holes == (
        Hole(("h", "Authorization"), ("Bearer ", Secret("key"))),
        Hole(("k",), (Secret("key"),)),
    )


def test_text_around_secrets_is_filled_in() -> None:
    filled = fill(
        "${{ params.user }}:${{ secrets.a }}@${{ params.n }}${{ secrets.b }}", params={"user": "u", "n": 1}
    )
    assert filled == Filled(None, (Hole((), ("u:", Secret("a"), "@1", Secret("b"))),))


@pytest.mark.parametrize(
    "written",
    [
        "${{ secrets.a + 'x' }}",
        "${{ [secrets.a] }}",
        "${{ secrets.a == '' ? 1 : 2 }}",
        "${{ secrets }}",
        "${{ secrets.a.b }}",
        "${{ secrets['a-b'] }}",
        "${{ secrets[params.x] }}",
        "${{ hash(secrets.a) }}",
        "x ${{ size(secrets.a) }}",
    ],
)
def test_a_secret_stands_only_whole(written: str) -> None:
    with pytest.raises(ExpressionProblem, match="secret"):
        parse_template(written)


def test_a_large_value_travels_as_a_hole() -> None:
    scope = {"t": {"output": LARGE}}
    assert fill({"v": ["${{ tasks.t.output }}"]}, tasks=scope) == Filled(
        {"v": [None]}, (Hole(("v", 0), (LARGE,)),)
    )


def test_large_outputs_of_single_items_travel_as_holes() -> None:
    scope = {"t": {"output": [1, LARGE, None]}}
    assert fill({"v": "${{ tasks.t.output }}"}, tasks=scope) == Filled(
        {"v": [1, None, None]}, (Hole(("v", 1), (LARGE,)),)
    )
    assert scope["t"]["output"] == [1, LARGE, None]


@pytest.mark.parametrize(
    "written",
    [
        "text ${{ tasks.t.output }}",
        "${{ [tasks.t.output] }}",
        "${{ size(tasks.t.output) }}",
        "${{ tasks.t.output.rows }}",
        "${{ tasks.t.output.rows + 1 }}",
        "${{ json(tasks.t.output) }}",
    ],
)
def test_a_large_value_must_be_loaded_to_be_used(written: str) -> None:
    with pytest.raises(EvaluationError, match="not loaded"):
        fill(written, tasks={"t": {"output": LARGE}})


def test_a_value_is_nested_at_most_64_deep() -> None:
    value: object = "${{ 1 }}"
    for _ in range(64):
        value = [value]
    assert not parse_template(value).constant
    with pytest.raises(ExpressionProblem, match="nested more than 64 deep"):
        parse_template([value])
