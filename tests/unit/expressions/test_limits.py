"""What an attacker would try: no code runs, and work, memory and results stay within their bounds."""

from __future__ import annotations

import threading

import pytest

from headrace.engine.core.evaluation import EvaluationError
from headrace.engine.core.expressions import ExpressionProblem, parse_expression, tree_of
from headrace.engine.core.workflow import Json
from headrace.engine.expressions import check_expression
from headrace.engine.expressions.compiler import Frame, compile_tree
from headrace.engine.expressions.faults import Exhausted
from headrace.engine.expressions.work import BUDGET, Work
from tests.unit.expressions.judging import EVALUATOR, fill, judge, why

ATTACKS = [
    "''.__class__",
    "''.__class__.__mro__[1].__subclasses__()",
    "params.__class__",
    "params['__class__']",
    "params.day.__init__.__globals__",
    "__import__('os').system('true')",
    "[].map(x, __import__('os'))",
    "eval('1')",
    "open('/etc/passwd')",
    "size.__globals__",
    "'%s'.format(params)",
    "'{0.__class__}'.format(params)",
    "params|attr('x')",
    "params.get('day')('x')",
    "2 ** 10",
    "lambda: 1",
    "[x for x in params]",
    "f'{params}'",
    "params.keys.__self__",
    "run.getClass().forName('java.lang.Runtime')",
    "constructor.constructor('return 1')()",
    "type(params).mro()",
    "params.day.format_map(params)",
    "has(params.__dict__.x)",
    "parse_json('{\"__class__\": 1}').__class__.x",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_escapes_reach_nothing(text: str) -> None:
    with pytest.raises((ExpressionProblem, EvaluationError)):
        judge(text, params={"day": "2024-01-31"}, run={})


BIG: dict[str, Json] = {
    "l": list(range(1000)),
    "long": list(range(1001)),
    "s": "a" * 4_000_000,
    "t": "ab" * 5_000,
    "u": "é" * 4_000_000,
    "rows": [{"id": number, "tags": ["a", "b"], "name": "x" * 50} for number in range(20_000)],
    "m": {f"k{number}": number for number in range(100_000)},
    "ints": list(range(1_000_000)),
}

BOMBS = [
    "s + s + s + s + s + s + s + s + s + s + s + s + s + s + s + s + s + s",
    "l.map(x, s + string(x))",
    "l.map(x, rows == rows + [])",
    "l.map(x, sum(ints))",
    "l.map(x, keys(m))",
    "l.map(x, {} in rows)",
    "l.map(x, s.contains('b'))",
    "l.map(x, s.replace('b', 'c'))",
    "l.map(x, json(rows))",
    "l.map(x, hash(rows))",
    "l.map(x, math.greatest(ints))",
    "l.map(x, u == u + '')",
    "s.split('')",
    "s.replace('', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')",
    "s.replace('a', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')",
    "l.map(x, s).map(x, x.split('a')).size()",
    "u.upperAscii()",
    "l.map(x, t.matches('a{' + string(x + 1) + '}'))",
    "'a'.matches('a{1000}{1000}')",
    "'a'.matches('((a{100}){100}){100}')",
    "'a'.matches('(?i)[\\\\w-]{500}')",
    "s.matches('(x+x+)+y')",
    "t.matches('\\\\w*1\\\\w{300}-')",
    "parse_json(json(rows) + json(rows))",
    "+".join(["size(l.map(x, " + "+".join(["x*x"] * 60) + "))"] * 8),
]


@pytest.mark.parametrize("text", BOMBS)
def test_too_much_work_is_refused(text: str) -> None:
    expression = parse_expression(text)
    work = Work()
    with pytest.raises(Exhausted):
        compile_tree(tree_of(expression.text), expression.text)(Frame(BIG, work))


def test_work_is_refused_before_it_is_done() -> None:
    """However large the step, what was spent before it stays within the budget."""
    work = Work()
    with pytest.raises(Exhausted):
        work.spend(10**12)
    assert work.left == BUDGET - 10**12


def test_exhaustion_is_not_absorbed() -> None:
    """A failing term gives way to one that decides; running out of work never does."""
    assert judge("l.map(x, x.missing) == [] && false", **BIG) is False
    assert "more work" in why("l.map(x, sum(ints)) == [] && false", **BIG)
    assert "more work" in why("l.exists(x, sum(ints) < 0)", **BIG)


@pytest.mark.parametrize(
    "macro", ["map(x, x)", "filter(x, true)", "all(x, true)", "exists(x, false)", "exists_one(x, true)"]
)
def test_a_macro_walks_at_most_1000_elements(macro: str) -> None:
    assert judge(f"l.{macro} != null", **BIG) is True
    message = why(f"[1].size() == 1 ? long.{macro} : null", **BIG)
    assert (
        "long has 1,001 elements; a macro walks at most 1,000: use compact, sum, size, or a task" in message
    )
    assert "100,000 elements" in why(f"m.{macro}", **BIG)


def test_long_lists_are_fine_without_a_macro() -> None:
    assert judge("size(ints)", **BIG) == 1_000_000
    assert judge("sum(ints)", **BIG) == 499_999_500_000
    assert judge("size(compact(ints))", **BIG) == 1_000_000
    assert judge("size(rows)", **BIG) == 20_000
    assert judge("compact(rows)", **BIG) == BIG["rows"]


def test_a_result_is_at_most_16_mib() -> None:
    assert "larger than 16 MiB" in why("[s, s, s, s, s]", **BIG)
    assert "larger than 16 MiB" in why("l.map(x, s)", **BIG)


def test_a_result_is_nested_at_most_64_deep() -> None:
    deep: Json = 1
    for _ in range(63):
        deep = [deep]
    assert judge("[event]", event=deep) == [deep]
    assert "nested more than 64 deep" in why("[[event]]", event=deep)
    assert "nested more than 64 deep" in why("parse_json('" + "[" * 100 + "]" * 100 + "')")
    assert "nested more than 64 deep" in why("parse_json(event)", event="[" * 100_000)


def test_many_pieces_share_one_budget() -> None:
    piece = "${{ size(l.map(x, " + " + ".join(["x"] * 50) + ")) }}"
    assert fill([piece] * 3, **BIG).value == [1000] * 3
    with pytest.raises(EvaluationError, match="more work"):
        fill([piece] * 100, **BIG)


def test_judging_again_gives_the_same_whether_or_not_anything_is_cached() -> None:
    text = "'abc'.matches('b.') && l.map(x, x % 7)[6] == 6 && timestamp(0).getHours('Asia/Tokyo') == 9"
    expression = parse_expression(text)
    spent = []
    for _ in range(3):
        work = Work()
        assert compile_tree(tree_of(expression.text), expression.text)(Frame(BIG, work)) is True
        spent.append(work.left)
    assert len(set(spent)) == 1


def test_threads_share_an_evaluator() -> None:
    expression = parse_expression(
        "[n, n + 1, n + 2].map(x, x * 2) == [2 * n, 2 * n + 2, 2 * n + 4] && 'a'.matches('a')"
    )
    wrong: list[int] = []
    barrier = threading.Barrier(4)

    def run(start: int) -> None:
        barrier.wait()
        numbers = range(start, start + 200)
        wrong.extend(number for number in numbers if not EVALUATOR.condition(expression, {"n": number}))

    threads = [threading.Thread(target=run, args=(start,)) for start in range(0, 4000, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params.x == 1 && duration('1d') > duration('1h')", '`duration("1d")` always fails'),
        ("event.name.matches('(')", "no regular expression: unclosed group (at character 1)"),
        ("a ? 1 / 0 : 2", "`1/0` always fails: division by zero (at character 3)"),
        ("a + ('b' + 1)", "always fails: string + int is not defined"),
        ("format_time(run.started_at, '%Y', 'UTC') == timestamp('x')", "RFC 3339"),
    ],
)
def test_what_always_fails_is_found_ahead_of_any_run(text: str, message: str) -> None:
    found = check_expression(parse_expression(text))
    assert found is not None
    assert message in found


@pytest.mark.parametrize(
    "text", ["params.x / 0 == 1", "a.matches(b)", "tasks.a.output.rows > 0", "1 + 1 == 2", "[1, 2.5] == a"]
)
def test_what_may_work_is_not_refused(text: str) -> None:
    assert check_expression(parse_expression(text)) is None
