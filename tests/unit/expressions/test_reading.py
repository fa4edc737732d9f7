"""Text into expressions: the canonical spelling, and what is refused with which hint."""

from __future__ import annotations

import pytest

from headrace.engine.core.expressions import ExpressionProblem, parse_expression


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("tasks.check.output.rows > 0", "tasks.check.output.rows>0"),
        ('a["b"]', "a.b"),
        ('a["b"]["c"].d', "a.b.c.d"),
        ('f["b c"]', 'f["b c"]'),
        ('a["in"]["true"]["null"]["false"]', 'a["in"]["true"]["null"]["false"]'),
        ('tasks["my-task"].output', 'tasks["my-task"].output'),
        ("tasks['load'].output", "tasks.load.output"),
        ("a[0]", "a[0]"),
        ("x  in   y", "x in y"),
        ('x in ["a"]', 'x in["a"]'),
        ("'PermissionError' in error.kinds", '"PermissionError"in error.kinds'),
        ("'day' == event.kind", '"day"==event.kind'),
        (r"r'\d+'", r'"\\d+"'),
        ('"""a"b"""', r'"a\"b"'),
        ("'''line\nnext'''", r'"line\nnext"'),
        (r"'\x41\u00e9\101\a'", r'"AéA\u0007"'),
        ("'é'", '"é"'),
        (r"b'\xff\n'", r'b"\xff\x0a"'),
        ("br'a'", 'b"a"'),
        ("0xFF + 1e3 + .5", "255+1000.0+0.5"),
        ("a - -1", "a--1"),
        ("! ! a", "!!a"),
        ("a ? b : c", "a?b:c"),
        ("{'k' : [1, 2,], }", '{"k":[1,2,],}'),
        ("a // a note\n + 1", "a+1"),
        ("xs . map ( x , x . y )", "xs.map(x,x.y)"),
        ("${{ a.b == 1 }}", "a.b==1"),
        ("  ${{a}}  ", "a"),
        ("(a || b) && c", "(a||b)&&c"),
        ("type(x) == int", "type(x)==int"),
        ("loop.index", "loop.index"),
        ("-9223372036854775808", "-9223372036854775808"),
    ],
)
def test_canonical_text(written: str, canonical: str) -> None:
    expression = parse_expression(written)
    assert expression.text == canonical
    assert parse_expression(canonical) == expression


def test_spellings_of_one_expression_are_equal() -> None:
    assert parse_expression("event['kind']=='day'") == parse_expression('event.kind == "day"')


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("", "empty", None),
        ("   ", "empty", None),
        ("a b", "`b` stands where an operator or the end", None),
        ("a and b", "`and`", "CEL writes `&&`"),
        ("a or b", "`or`", "CEL writes `||`"),
        ("not a", "`not`", "CEL writes `!`"),
        ("a = 1", "`=` is no operator", "`==`"),
        ("a & b", "`&` is no operator", "`&&`"),
        ("a.?b", "`?`", "get(map, key, default)"),
        ("a +", "ends where a value", None),
        ("(a", "ends where `)`", None),
        ("[1 2]", "or `]`", None),
        ("{'a' 1}", "`:` after a map's key", None),
        ("a.1", "`0.1` stands where an operator", None),
        ("a.", "ends where a field's name", None),
        ("a.in", "`in` is a word", '["in"]'),
        ("in", "`in` stands where a value", None),
        ("1u", "unsigned", "Write 1."),
        ("12abc", "neither a number nor a name", None),
        ("9223372036854775808", "64 bits", None),
        ("0xFFFFFFFFFFFFFFFFFF", "64 bits", None),
        ("1e999", "too large for a double", None),
        ("'abc", "not closed", None),
        ("'a\nb'", "not closed", None),
        (r"'\d'", r"`\d` is no escape", "raw string"),
        (r"'\ud800'", "no escape", None),
        (r"b'\u0041'", "no escape", None),
        ("'\ud800'", "lone surrogate", None),
        ("a # b", "`#` is no part", None),
        ("$a", "`$` is no part", None),
        ("len(a)", "no function `len`", "`size`"),
        ("siz(a)", "no function `siz`", '"size"'),
        ("a.foo()", "no function `foo`", None),
        ("math.sqrt(2)", "no function `math.sqrt`", None),
        ("size()", "takes 1 argument, not 0", None),
        ("get(a, 'b')", "takes 3 arguments, not 2", None),
        ("a.split()", "takes 2 to 3 arguments, not 1", "target"),
        ("math.greatest()", "takes at least 1 argument", None),
        ("has(a)", "`has` takes one path", "has(a.b)"),
        ("has(a[0])", "`has` takes one path", None),
        ("map(x, x)", "`map` needs a list before it", None),
        ("a.map(1, 2)", "begins with a name", None),
        ("a.map(x)", "begins with a name", None),
        ("a.all(x, 1, 2)", "takes a name and one expression", None),
        ("a.map(x, 1, 2, 3)", "one or two expressions", None),
        ("a.map(tasks, 1)", "cannot be a macro's name", None),
        ("a{b: 1}", "a type's fields", None),
        ("a['f'](1)", "only a function's name", None),
        ("size(a)(2)", "only a function", None),
        ("${{ a }} and more", "no text around it", None),
        ("${{ a", "not closed by `}}`", None),
        ("`a`", "is no part", None),
        ("a\u2028b", "U+2028", None),
    ],
)
def test_problems(written: str, message: str, hint: str | None) -> None:
    with pytest.raises(ExpressionProblem) as caught:
        parse_expression(written)
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")
    assert 0 <= caught.value.offset <= len(written)


def test_the_offset_is_that_of_the_trouble() -> None:
    with pytest.raises(ExpressionProblem) as caught:
        parse_expression("a + len(b)")
    assert caught.value.offset == 4


# tasks and secrets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("tasks.my-task", 'Write tasks["my-task"].'),
        ("tasks.my-task.output", 'Write tasks["my-task"].'),
        ("tasks.my-long-task.output.rows > 0", 'Write tasks["my-long-task"].'),
        ("1 + tasks.a-b.output", 'Write tasks["a-b"].'),
        ("tasks", 'Name a task: tasks.a or tasks["a"].'),
        ("size(tasks)", 'Name a task: tasks.a or tasks["a"].'),
        ("tasks[0]", 'Name a task: tasks.a or tasks["a"].'),
        ("tasks[params.name].output", 'Name each task: tasks.a or tasks["a"].'),
        ("tasks['a' + 'b'].output", 'Name each task: tasks.a or tasks["a"].'),
        ("tasks.map(t, t)", 'Name a task: tasks.a or tasks["a"].'),
        ("tasks.in.output", 'Write ["in"].'),
    ],
)
def test_a_task_is_named_literally(written: str, hint: str) -> None:
    with pytest.raises(ExpressionProblem) as caught:
        parse_expression(written)
    assert caught.value.hint == hint


def test_differences_of_outputs_are_fine() -> None:
    assert parse_expression("tasks.a.output - tasks.b.output").text == "tasks.a.output-tasks.b.output"


@pytest.mark.parametrize("written", ["secrets.a", "secrets.a == 'x'", "${{ secrets.a }}", "size(secrets.a)"])
def test_conditions_hold_no_secrets(written: str) -> None:
    with pytest.raises(ExpressionProblem, match="whole piece"):
        parse_expression(written)


# bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "(" * 33 + "1" + ")" * 33,
        "(" * 2000 + "1" + ")" * 2000,
        "[" * 33 + "]" * 33,
        "!" * 40 + "true",
        "-" * 2000 + "1",
        "true ? 1 : " * 300 + "2",
        "a" + "[a" * 40 + "]" * 40,
        "a" + ".trim()" * 400,
        "size(" * 40 + "a" + ")" * 40,
        "{'a':" * 40 + "1" + "}" * 40,
    ],
)
def test_deeper_than_32_is_refused(written: str) -> None:
    with pytest.raises(ExpressionProblem, match="nested more than 32 deep"):
        parse_expression(written)


@pytest.mark.parametrize(
    "written",
    [
        "(" * 30 + "1" + ")" * 30,
        "+".join(["1"] * 2000),
        "&&".join(["a"] * 1300),
        "a" + ".b" * 2000,
        "a" + "[0]" * 1300,
        "[" + ",".join(["1"] * 2000) + "]",
        "a" + ".trim()" * 30,
    ],
)
def test_long_is_not_deep(written: str) -> None:
    assert parse_expression(written).text == written


def test_text_is_at_most_4_kib_of_utf8() -> None:
    assert parse_expression("'" + "a" * 4094 + "'")
    with pytest.raises(ExpressionProblem, match="4097 bytes long; at most 4096"):
        parse_expression("'" + "a" * 4095 + "'")
    with pytest.raises(ExpressionProblem, match="at most 4096"):
        parse_expression("'" + "é" * 2048 + "'")
    with pytest.raises(ExpressionProblem, match="4096"):
        parse_expression('"""' + '"a' * 2040 + '"""')  # its canonical text is what is judged


def test_at_most_eight_macros_and_none_in_another() -> None:
    eight = "a" + ".filter(x, x)" * 8
    assert parse_expression(eight)
    with pytest.raises(ExpressionProblem, match="more than 8 macros"):
        parse_expression(eight + ".map(x, x)")
    with pytest.raises(ExpressionProblem, match="inside another macro's argument"):
        parse_expression("a.map(x, b.exists(y, y == x))")
    with pytest.raises(ExpressionProblem, match="inside another macro's argument"):
        parse_expression("a.filter(x, x.all(y, y))")
    assert parse_expression("a.filter(x, has(x.size)).map(x, x.size)")
