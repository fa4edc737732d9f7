"""Properties of expressions: canonical text, templates, boundedness, and agreement with another CEL implementation."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headrace.engine.core.evaluation import EvaluationError, Expression, Template
from headrace.engine.core.expressions import ExpressionProblem, parse_expression, parse_template, tree_of
from headrace.engine.core.expressions.syntax import FUNCTIONS, MACROS, MAX_DEPTH
from headrace.engine.expressions import CelEvaluator, check_expression
from headrace.engine.expressions.compiler import Frame, compile_tree
from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.work import Work

EVALUATOR = CelEvaluator()

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "rows", "my-key"]), inner, max_size=3)
    ),
    max_leaves=12,
)
SCOPES = st.fixed_dictionaries({"params": JSON, "event": JSON, "item": JSON, "x": JSON})

# expressions by grammar -----------------------------------------------------------------------------------------

LITERALS = st.one_of(
    st.sampled_from(
        ["true", "false", "null", "0", "1", "-1", "2", "7", "1.0", "0.5", "-2.5", "9223372036854775807"]
    ),
    st.text(
        st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters="'\\"), max_size=4
    ).map(lambda text: f"'{text}'"),
)
PATHS = st.sampled_from(
    ["params", "params.a", "params['my-key']", "event.rows[0]", "item", "event", "x", "x.a.b"]
)
OPERATORS = st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"])


def _calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def call(name: str) -> st.SearchStrategy[str]:
        least, most = FUNCTIONS[name]
        args = st.lists(inner, min_size=least, max_size=least + 2 if most is None else most)
        return args.map(lambda given: f"{name}({', '.join(given)})")

    return st.sampled_from(sorted(FUNCTIONS)).flatmap(call)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, OPERATORS, inner).map(" ".join),
        inner.map(lambda one: f"({one})"),
        inner.map(lambda one: f"!{one}"),
        inner.map(lambda one: f"-({one})"),
        st.lists(inner, max_size=3).map(lambda many: f"[{', '.join(many)}]"),
        st.lists(inner, max_size=2).map(
            lambda many: "{" + ", ".join(f"'k{place}': {one}" for place, one in enumerate(many)) + "}"
        ),
        st.tuples(inner, inner, inner).map(lambda three: f"({three[0]} ? {three[1]} : {three[2]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]})[{two[1]}]"),
        st.tuples(inner, st.sampled_from(sorted(MACROS)), inner).map(lambda m: f"({m[0]}).{m[1]}(x, {m[2]})"),
        _calls(inner),
    )


EXPRESSIONS = st.recursive(LITERALS | PATHS, _nested, max_leaves=10)
FRAGMENTS = st.lists(
    st.sampled_from(
        [
            "a",
            "b",
            "tasks",
            "secrets",
            ".",
            ",",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            "?",
            ":",
            "+",
            "-",
            "*",
            "/",
            "%",
            "!",
            "&&",
            "||",
            "==",
            "<",
            "in",
            "true",
            "null",
            "1",
            "2.5",
            "'x'",
            '"y"',
            "r'\\'",
            "${{",
            "}}",
            "}}",
            "'",
            '"',
            "\\",
            "map",
            "filter",
            "size",
            "has",
            "//",
            "\n",
            "é",
            "�",
            "0x",
            "1e9",
            "1u",
            "&",
            "|",
            "=",
            "#",
            "'",
            "'",
        ]
    ),
    max_size=25,
).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS | FRAGMENTS | st.text(max_size=40))
def test_reading_ends_in_an_expression_or_a_problem(text: str) -> None:
    result = _read(text)
    if isinstance(result, ExpressionProblem):
        assert 0 <= result.offset <= len(text)
    else:
        assert parse_expression(result.text) == result
        assert tree_of(result.text).depth <= MAX_DEPTH


def _read(text: str) -> Expression | ExpressionProblem:
    try:
        return parse_expression(text)
    except ExpressionProblem as problem:
        return problem


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS)
def test_blanks_have_no_meaning(text: str) -> None:
    try:
        expression = parse_expression(text)
    except ExpressionProblem:
        assume(False)
    assert parse_expression(f"  {text} // note") == expression
    assert parse_expression("${{" + text + "\n}}") == expression


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS, SCOPES)
def test_judging_ends_in_a_json_value_or_an_evaluation_error(text: str, scope: dict[str, Any]) -> None:
    try:
        template = parse_template("${{ " + text + " }}")
    except ExpressionProblem:
        assume(False)
    before = repr(scope)
    first, second = _judged(template, scope), _judged(template, scope)
    assert repr(first) == repr(second)
    assert repr(scope) == before
    if not isinstance(first, EvaluationError):
        _check_json(first, ordered=_is_computed(template))


def _judged(template: Template, scope: dict[str, Any]) -> Any:
    try:
        return EVALUATOR.fill(template, scope).value
    except EvaluationError as error:
        return error


def _is_computed(template: Template) -> bool:
    """Whether the piece is more than a path, whose value is given as it is."""
    (_, (piece,)) = template.pieces[0]
    return isinstance(piece, Expression) and piece.lone is None


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS)
def test_checking_ends(text: str) -> None:
    try:
        expression = parse_expression(text)
    except ExpressionProblem:
        assume(False)
    found = check_expression(expression)
    assert found is None or "at character" in found


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_a_lone_path_gives_the_value_as_it_is(value: Any) -> None:
    template = parse_template({"k": "${{ tasks.t.output }}"})
    assert repr(EVALUATOR.fill(template, {"tasks": {"t": {"output": value}}}).value) == repr({"k": value})


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_can_be_written_as_a_literal(text: str) -> None:
    literal = (
        "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r") + "'"
    )
    assume(len(literal.encode()) < 2000)
    template = parse_template("${{ " + literal + " }}")
    assert EVALUATOR.fill(template, {}).value == text
    assert parse_template(template.value) == template


def _check_json(value: Any, *, ordered: bool) -> None:
    if isinstance(value, dict):
        assert not ordered or list(value) == sorted(value)
        for key, item in value.items():
            assert type(key) is str
            _check_json(item, ordered=ordered)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, ordered=ordered)
    else:
        assert value is None or type(value) in (bool, int, float, str)
        assert type(value) is not int or -(2**63) <= value < 2**63
        assert type(value) is not float or math.isfinite(value)


# another implementation as judge --------------------------------------------------------------------------------

Judge = Callable[[str, dict[str, Any]], Any]


@pytest.fixture(scope="module")
def cel() -> Judge:
    """The CEL of the Rust `cel` crate, loaded without its package's command line."""
    package = importlib.util.find_spec("cel")
    assert package is not None
    assert package.submodule_search_locations is not None
    folder = Path(next(iter(package.submodule_search_locations)))
    suffixes = importlib.machinery.EXTENSION_SUFFIXES
    file = next(path for suffix in suffixes if (path := folder / f"cel{suffix}").exists())
    loader = importlib.machinery.ExtensionFileLoader("cel", str(file))
    spec = importlib.util.spec_from_file_location("cel", file, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return lambda text, scope: module.evaluate(text, scope)


COMMON = st.recursive(
    LITERALS.filter(lambda text: "'" not in text or text.isascii())
    | st.sampled_from(["n", "d", "s", "l", "m.k"]),
    lambda inner: st.one_of(
        st.tuples(inner, OPERATORS, inner).map(lambda three: f"({' '.join(three)})"),
        inner.map(lambda one: f"!{one}"),
        st.lists(inner, max_size=3).map(lambda many: f"[{', '.join(many)}]"),
        st.tuples(inner, inner, inner).map(lambda three: f"({three[0]} ? {three[1]} : {three[2]})"),
        st.tuples(
            st.lists(inner, max_size=3),
            st.sampled_from(["map", "filter", "all", "exists", "exists_one"]),
            inner,
        ).map(lambda m: f"[{', '.join(m[0])}].{m[1]}(e, {m[2]})"),
        st.tuples(inner, st.sampled_from(["contains", "startsWith", "endsWith"]), inner).map(
            lambda three: f"{three[0]}.{three[1]}({three[2]})" if three[0][0] in "'s" else "true"
        ),
        inner.map(lambda one: f"size([{one}])"),
    ),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(text=COMMON)
def test_agrees_with_another_implementation_wherever_both_give_a_value(text: str, cel: Judge) -> None:
    scope = {"n": 3, "d": 1.5, "s": "abc", "l": [1, 2, 3], "m": {"k": True}}
    try:
        expression = parse_expression(text)
        ours = compile_tree(tree_of(expression.text), expression.text)(Frame(scope, Work()))
        theirs = cel(text, scope)
    except (ExpressionProblem, Fault, TypeError, ValueError, ArithmeticError, LookupError, RuntimeError):
        return  # where one of the two fails, messages and reasons are its own
    assert _normal(ours) == _normal(theirs), text


def _normal(value: Any) -> Any:
    """Tells true from 1 and 1 from 1.0, which Python's equality does not."""
    if isinstance(value, list):
        return [_normal(item) for item in value]
    return type(value).__name__, repr(value)
