"""References: paths, expressions, templates; and what Python cannot decide, refused at the user's line."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.dsl.python import BuildError, event, expr, literal, run, secret
from headrace.dsl.python.loading import documents
from headrace.engine.core.problems import InvalidWorkflow

from .conftest import HEAD, Written

E: Any = event


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        (E.day, "event.day"),
        (E["day"], "event.day"),
        (E["my key"], 'event["my key"]'),
        (E["in"], 'event["in"]'),
        (E[0].x["a-b"], 'event[0].x["a-b"]'),
        (E[E.key], "event[event.key]"),
        (E['say "hi"\n'], 'event["say \\"hi\\"\\n"]'),
        (E.items.count, "event.items.count"),
        (E.a == "x", 'event.a == "x"'),
        (E.a != None, "event.a != null"),  # noqa: E711
        (E.a >= 1.5, "event.a >= 1.5"),
        (E.a > 3, "event.a > 3"),
        (E.a == True, "event.a == true"),  # noqa: E712
        (E.a == -1, "event.a == -1"),
        (E.a == [1, E.b, {"k": None}], 'event.a == [1, event.b, {"k": null}]'),
        ((E.a > 1) & (E.b < 2), "event.a > 1 && event.b < 2"),
        ((E.a > 1) & ((E.b < 2) | E.c), "event.a > 1 && (event.b < 2 || event.c)"),
        ((E.a & E.b) | E.c, "event.a && event.b || event.c"),
        (~E.a, "!event.a"),
        (~(E.a == 1), "!(event.a == 1)"),
        (~~E.a, "!!event.a"),
        (-~E.a, "-(!event.a)"),
        ((E.a == E.b) == E.c, "(event.a == event.b) == event.c"),
        (E.a + E.b * 2, "event.a + event.b * 2"),
        ((E.a + E.b) * 2, "(event.a + event.b) * 2"),
        (E.a - (E.b - E.c), "event.a - (event.b - event.c)"),
        (E.a - E.b - E.c, "event.a - event.b - event.c"),
        (10 - E.a, "10 - event.a"),
        (1 / E.a % 2, "1 / event.a % 2"),
        (7 % E.a, "7 % event.a"),
        (-E.a + 1, "-event.a + 1"),
        ("n" + E.a, '"n" + event.a'),
        ((E.a + E.b).c, "(event.a + event.b).c"),
        (expr("size(p) > 3", p=E.files), "size(event.files) > 3"),
        (expr("p.all(x, x.p > 1)", p=E.files), "event.files.all(x, x.p > 1)"),
        (expr("'p' + p", p=E.a), "'p' + event.a"),
        (expr("p * 2", p=E.a + 1), "(event.a + 1) * 2"),
        (expr("p.size()", p=E.a), "event.a.size()"),
        (expr("x == n", x=E.a, n="it's"), 'event.a == "it\'s"'),
        (~expr("a && b", a=E.a, b=E.b), "!(event.a && event.b)"),
        (expr("size(a)", a=E.a) > 2, "size(event.a) > 2"),
        (expr("a || b", a=E.a, b=E.b) & E.c, "(event.a || event.b) && event.c"),
        (E.a == literal("${{"), 'event.a == "${{"'),
    ],
)
def test_text(reference: Any, text: str) -> None:
    assert str(reference) == "${{ " + text + " }}"


def test_every_way_of_making_text_gives_a_template() -> None:
    day: Any = run.date
    assert f"at {day}" == "at ${{ run.date }}"
    assert f"{day!s} {day!r}" == "${{ run.date }} ${{ run.date }}"
    assert "%s and %s" % (day, E) == "${{ run.date }} and ${{ event }}"  # noqa: UP031
    assert "{}".format(day) == "${{ run.date }}"  # noqa: UP032
    assert f"{[day]}" == "[${{ run.date }}]"


def test_literal_text_begins_no_template() -> None:
    assert literal("a ${{ b }}") == "a ${{ '${{' }} b }}"
    assert literal("plain") == "plain"


def test_copies_are_the_same_reference() -> None:
    assert copy.deepcopy([E])[0] is E
    assert copy.copy(E) is E


def _refusal(module: Callable[[str], Path], statement: str) -> tuple[BuildError, int]:
    lines = "".join(f"    {line}\n" for line in statement.splitlines())
    path = module(f"@workflow\ndef flow():\n    x = check([])\n    y = check([])\n{lines}")
    with pytest.raises(InvalidWorkflow) as caught:
        documents(path)
    assert isinstance(caught.value, BuildError), caught.value
    assert caught.value.problems[0].place is not None
    assert caught.value.problems[0].place.file == str(path)
    return caught.value, HEAD.count("\n") + 5


@pytest.mark.parametrize(
    ("statement", "says", "hint"),
    [
        ("if x.ok: pass", "`if` on a reference", "when="),
        ("if x > 1 and y: pass", "`and` on a reference", "(a) & (b)"),
        ("z = x or 3", "`or` on a reference", "|"),
        ("z = not x", "`not` on a reference", "~(a)"),
        ("z = 1 if x else 2", "`if` on a reference", "when="),
        ("while x.more: pass", "`while` on a reference", "poll"),
        ("assert x.ok", "`assert` on a reference", "gate"),
        ("z = [i for i in range(3) if x]", "`if` on a reference", "when="),
        ("z = 1 < x < 3", "a chained comparison", "(1 < x) & (x < 10)"),
        ("z = 1 in x", "`in` on a reference", "expr("),
        ("z = x in [1, 2]", "`in` on a reference", "expr("),
        ("z = bool(x)", "no truth value", "&"),
        ("for i in x: pass", "`for` over a reference", ".map(list)"),
        ("z = [i for i in x]", "`for` over a reference", ".map(list)"),
        ("a, b = x", "cannot be unpacked", "x[0], x[1]"),
        ("a, *b = x", "cannot be unpacked", "x[0], x[1]"),
        ("print(*x)", "cannot be unpacked", "x[0]"),
        ("z = list(x)", "cannot be iterated", ".map(list)"),
        ("z = len(x)", "len() of a reference", "size(x)"),
        ("z = x()", "is a reference, not a function", "CEL"),
        ("z = x.items()", "tasks.check.output.items is a reference, not a function", "CEL"),
        ("z = x[1:2]", "cannot be sliced", "inside a task"),
        ("z = x[-1]", "counted from the end", "size(list) - 1"),
        ("z = x[1.5]", "named by a text or a number", ""),
        ("z = int(x)", "int() of a reference", 'expr("int(x)"'),
        ("z = range(x)", "a number made of a reference", "int(x)"),
        ("z = float(x)", "float() of a reference", "double"),
        ("z = '%d' % x", "int() of a reference", "int(x)"),
        ("z = abs(x)", "abs() of a reference", "math.abs"),
        ("z = round(x)", "round() of a reference", "math.round"),
        ("z = x // 2", "// of a reference", "inside a task"),
        ("z = 2 ** x", "** of a reference", "inside a task"),
        ("z = f'{x:>10}'", 'the format ">10"', "format_time"),
        ("z = {x}", "a key of a dict", "list"),
        ("x.a = 1", "cannot be changed", "inside a task"),
        ("x['a'] = 1", "cannot be changed", "inside a task"),
        ("del x.a", "cannot be changed", "inside a task"),
        ("x['a'] += 1", "cannot be changed", "inside a task"),
        ("with x: pass", "with of a reference", "inside a task"),
        ("open(x)", "of a reference", "inside a task"),
        ("z = x & True", "True beside &", "== None"),
        ("z = secret('a') + 'b'", "a secret stands alone", "whole"),
        ("z = secret('a').b", "a secret stands alone", "whole"),
        ("z = secret('a') == 'b'", "a secret stands alone", "whole"),
        ("z = x == f'{y}'", "a template cannot be part", "+"),
        ("z = x == float('nan')", "nan is no JSON number", ""),
        ("z = expr('size(p)', q=x)", '"q" is given to expr()', "leave it out"),
        ("check(x is None)\nprice.options(when=x is None)('a')", "when is False", "=="),
        ("price.options(when=3)('a')", "when is an expression", ""),
    ],
)
def test_refused_at_the_line(module: Callable[[str], Path], statement: str, says: str, hint: str) -> None:
    error, line = _refusal(module, statement)
    [problem] = error.problems
    assert says in problem.message
    assert hint in (problem.hint or "")
    assert problem.place is not None
    assert problem.place.line == line + statement.count("\n")
    assert problem.place.column is not None


def test_the_column_counts_characters(module: Callable[[str], Path]) -> None:
    error, line = _refusal(module, "é = 'äöü'; z = len(x)")
    assert str(error.problems[0].place).endswith(f":{line}:20")


def test_a_task_of_another_workflow_is_not_visible(document: Written) -> None:
    with pytest.raises(BuildError, match="belongs to another workflow") as caught:
        document(
            """
            kept = []
            @workflow
            def flow():
                if kept:
                    check(kept[0])
                kept.append(extract())
            """
        )
    assert caught.value.problems[0].code == "not_visible"


def test_secrets_stand_whole(body: Written) -> None:
    tasks = body('shell("x", env={"A": secret("key"), "B": f"Bearer {secret(\'key\')}"})')["tasks"]
    assert tasks["shell"]["env"] == {"A": "${{ secrets.key }}", "B": "Bearer ${{ secrets.key }}"}
    with pytest.raises(BuildError, match="no name of a secret"):
        secret("a-b")


def test_outcome_gives_what_stands_beside_the_output(body: Written) -> None:
    tasks = body(
        """
        prices = price.map(["a"])
        check.options(when=(outcome(prices).counts.failed > 3) & (outcome(prices).state == "failed"))(prices)
        """
    )["tasks"]
    assert tasks["check"]["when"] == 'tasks.price.counts.failed > 3 && tasks.price.state == "failed"'
    with pytest.raises(BuildError, match="what a task call gave, whole"):
        body("check.options(when=outcome(price('a').b).state == 'x')([])")
