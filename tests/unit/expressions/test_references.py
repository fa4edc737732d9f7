"""What an expression refers to."""

from __future__ import annotations

import pytest

from headrace.engine.core.evaluation import Reference
from headrace.engine.core.expressions import check_names, parse_expression, parse_template


def references(text: str) -> set[tuple[object, ...]]:
    return {reference[:3] for reference in parse_expression(text).references}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tasks.a.output.files[0]['k'] == 1", {("tasks", "a", ("output", "files", 0, "k"))}),
        ("tasks['a-b'].state != 'failed'", {("tasks", "a-b", ("state",))}),
        ("params.day + run.id", {("params", "day", ()), ("run", "id", ())}),
        ("json(params)", {("params", None, ())}),
        ("params[item.key]", {("params", None, ()), ("item", None, ("key",))}),
        ("event.rows[event.n].x", {("event", None, ("rows",)), ("event", None, ("n",))}),
        ("event.rows[-1]", {("event", None, ("rows",))}),
        ("size(tasks.a.output)", {("tasks", "a", ("output",))}),
        ("tasks.a.output.trim()", {("tasks", "a", ("output",))}),
        ("has(tasks.a.output.x)", {("tasks", "a", ("output", "x"))}),
        ("params.l.map(x, x.y + item.z)", {("params", "l", ()), ("item", None, ("z",))}),
        ("x.map(x, x.y).size() + x.z", {("x", None, ()), ("x", None, ("z",))}),
        ("xs.map(x, [x, params.a][0])", {("xs", None, ()), ("params", "a", ())}),
        ("math.greatest(a, 1)", {("a", None, ())}),
        ("type(a) == int", {("a", None, ())}),
        ("int == 1", {("int", None, ())}),
        ("1 + 2 == 3", set()),
        (
            "error.kind == 'x' || 'y' in error.kinds",
            {("error", None, ("kind",)), ("error", None, ("kinds",))},
        ),
    ],
)
def test_references(text: str, expected: set[tuple[object, ...]]) -> None:
    assert references(text) == expected


def test_each_reference_counts_once() -> None:
    assert len(parse_expression("a.b + a.b + a.b").references) == 1


def test_a_lone_path_is_told_apart() -> None:
    assert parse_expression("tasks.a.output.files[0]").lone == Reference(
        "tasks", "a", ("output", "files", 0), whole=True
    )
    assert parse_expression("item").lone == Reference("item", None, (), whole=True)
    for text in ("a.b == 1", "a[b]", "a.b[-1]", "size(a)", "'a'", "[1][0]", "a.trim()", "-a"):
        expression = parse_expression(text)
        assert expression.lone is None
        assert not any(reference.whole for reference in expression.references)


def test_a_template_gathers_its_references() -> None:
    template = parse_template({"a": "${{ params.x }}", "b": ["${{ item.k }} and ${{ secrets.key }}", 1]})
    assert template.references == (
        Reference("params", "x", (), whole=True),
        Reference("item", None, ("k",), whole=True),
        Reference("secrets", "key", (), whole=True),
    )


# names ----------------------------------------------------------------------------------------------------------

ROOTS = ("params", "run", "event", "tasks", "item", "loop", "error")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("parms.day == 1", "no name `parms` here", 'Did you mean "params"?'),
        ("day == 1", "no name `day` here", "A parameter is written params.day."),
        ("zzz == 1", "no name `zzz` here", "Known here: error, event, item, loop, params, run, tasks."),
        ("params.dya == 1", "`params` has no parameter `dya`", 'Did you mean "day"?'),
        ("run.idd == 1", "`run` has no field `idd`", 'Did you mean "id"?'),
        ("run.state == 'failed'", "`run` has no field `state`", 'Did you mean "started_at"?'),
        ("tasks.transfrom.output", 'no task "transfrom" here', 'Did you mean "transform"?'),
        ("tasks.transform.outptu", "no field `outptu`", 'Did you mean "output"?'),
        ("tasks.transform.rows", "no field `rows`", "What it returned is tasks.transform.output.rows."),
        ("tasks.each.encode.output", "no field `encode`", 'tasks["each.encode"].output'),
        ("loop.idnex", "`loop` has no field `idnex`", 'Did you mean "index"?'),
        ("error.knd", "`error` has no field `knd`", 'Did you mean "kind"?'),
        ("a == None", "no name", None),
    ],
)
def test_an_unknown_name_is_a_problem_with_the_nearest(text: str, message: str, hint: str | None) -> None:
    problems = check_names(parse_expression(text), ROOTS, {"day": 1}, ["transform", "each", "each.encode"])
    assert message in problems[0].message
    assert hint is None or hint in (problems[0].hint or "")


def test_words_of_other_languages_are_explained() -> None:
    (problem,) = check_names(parse_expression("event.x == None"), ROOTS)
    assert problem.hint == "Write null."


def test_known_names_are_no_problem() -> None:
    text = "params.day == run.date && tasks.a.output.x[0] > 1 && event.k && tasks['b-c'].counts.failed == 0"
    assert check_names(parse_expression(text), ROOTS, ["day"], lambda task: task in ("a", "b-c")) == []


def test_every_problem_of_a_template_comes_with_its_path() -> None:
    template = parse_template({"a": "${{ parms.x }}", "b": ["ok", "${{ tasks.nope.output }} ${{ zzz }}"]})
    problems = check_names(template, ROOTS, [], [])
    assert [(problem.path, problem.message) for problem in problems] == [
        (("a",), "there is no name `parms` here."),
        (("b", 1), 'there is no task "nope" here.'),
        (("b", 1), "there is no name `zzz` here."),
    ]
