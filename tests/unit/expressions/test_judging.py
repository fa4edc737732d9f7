"""Expressions and what they give, one rule after the other."""

from __future__ import annotations

import pytest

from headrace.engine.core.evaluation import EvaluationError, Evaluator
from headrace.engine.core.expressions import parse_expression
from headrace.engine.core.workflow import Json
from tests.unit.expressions.judging import EVALUATOR, holds, judge, why

SCOPE: dict[str, Json] = {
    "params": {"day": "2024-01-31", "n": 7, "x": 1.5, "names": ["b", "a", "b"], "yes": True, "none": None},
    "tasks": {"a": {"output": {"rows": 5, "files": ["a.csv", "b.txt"]}}, "skipped": {"output": None}},
    "rows": [{"id": 1, "ok": True}, {"id": 2, "ok": False}, {"id": 3, "ok": True}],
    "holes": [1, None, 3, None],
}

VALUES: list[tuple[str, Json]] = [
    # literals
    ("1", 1),
    ("0x1f", 31),
    ("1.50", 1.5),
    ("1e3", 1000.0),
    ("'a' + \"b\" + r'\\d'", "ab\\d"),
    ("true", True),
    ("null", None),
    ("b'ab'", "YWI="),
    ("[1, 'a', null, 2.5]", [1, "a", None, 2.5]),
    ("{'b': 1, 'a': {'d': 1, 'c': 2}}", {"a": {"c": 2, "d": 1}, "b": 1}),
    ("{}", {}),
    ("[]", []),
    # integers
    ("1 + 2 * 3 - 4", 3),
    ("(1 + 2) * 3", 9),
    ("7 / 2", 3),
    ("-7 / 2", -3),
    ("7 / -2", -3),
    ("-7 % 3", -1),
    ("7 % -3", 1),
    ("10 - 3 - 2", 5),
    ("-params.n", -7),
    ("- -3", 3),
    ("9223372036854775806 + 1", 9223372036854775807),
    ("-9223372036854775808", -9223372036854775808),
    # doubles
    ("1.5 * 2.0", 3.0),
    ("7.0 / 2.0", 3.5),
    ("0.1 + 0.2", 0.1 + 0.2),
    ("double(params.n) * 1.5", 10.5),
    ("-params.x", -1.5),
    # comparison
    ("1 < 2", True),
    ("1 < 1.5", True),
    ("2.0 >= 2", True),
    ("1 == 1.0", True),
    ("9007199254740993 == 9007199254740992.0", False),
    ("9223372036854775807 < 9223372036854775807.0", True),
    ("'a' < 'b'", True),
    ("'Z' < 'a'", True),
    ("false < true", True),
    ("1 != 2", True),
    ("1 == 'a'", False),
    ("null == null", True),
    ("params.none == null", True),
    ("0 == null", False),
    ("true == 1", False),
    ("[1, 2] == [1, 2.0]", True),
    ("[1] == [true]", False),
    ("[[1]] == [[1, 2]]", False),
    ("{'a': 1} == {'a': 1.0}", True),
    ("{'a': 1} == {'b': 1}", False),
    ("{'a': 1} == [1]", False),
    ("1.0 / 0.0 > 1", True),
    ("double('nan') == double('nan')", False),
    ("double('nan') <= 1", False),
    ("1 <= 1 && 'a' <= 'a' && 2.0 >= 2.0", True),
    # logic
    ("true && !false", True),
    ("false || true", True),
    ("true || false && false", True),
    ("params.yes ? 'y' : 'n'", "y"),
    ("false ? 1 : false ? 2 : 3", 3),
    ("false ? params.missing : 1", 1),
    ("false && params.missing", False),
    ("params.missing && false", False),
    ("true || params.missing > 1", True),
    ("params.missing > 1 || true", True),
    ("false && 1", False),
    ("tasks.skipped.output != null && tasks.skipped.output.rows > 0", False),
    # membership, has, index
    ("'a' in params.names", True),
    ("1 in [1.0]", True),
    ("true in [1]", False),
    ("1 in [true]", False),
    ("[1] in [[1], [2]]", True),
    ("null in holes", True),
    ("'n' in params", True),
    ("1 in params", False),
    ("has(params.n)", True),
    ("has(params.missing)", False),
    ("has(params.none)", True),
    ("has(tasks.a.output.rows)", True),
    ("[1, 2, 3][1]", 2),
    ("{'a': [10]}.a[0]", 10),
    ("{'a': 1}['a']", 1),
    ("tasks.a.output.files[size(tasks.a.output.files) - 1]", "b.txt"),
    ("params['d' + 'ay']", "2024-01-31"),
    # lists
    ("[1] + [2, 3]", [1, 2, 3]),
    ("size([1, 2])", 2),
    ("[1, 2].size()", 2),
    ("size(params)", 6),
    ("compact(holes)", [1, 3]),
    ("size(compact(holes))", 2),
    ("sum([1, 2, 3])", 6),
    ("sum([0.5, 0.25])", 0.75),
    ("sum([])", 0),
    ("sum(compact(holes))", 4),
    # macros
    ("rows.map(r, r.id)", [1, 2, 3]),
    ("rows.map(r, r.ok, r.id * 10)", [10, 30]),
    ("rows.filter(r, r.ok).map(r, r.id)", [1, 3]),
    ("rows.all(r, r.id > 0)", True),
    ("rows.exists(r, r.id == 2)", True),
    ("rows.exists_one(r, r.ok)", False),
    ("rows.exists_one(r, r.id == 2)", True),
    ("[].all(x, false)", True),
    ("[].exists(x, true)", False),
    ("[1, 'a'].exists(x, x == 'a' || x > 5)", True),
    ("[0, 2].exists(x, 4 / x == 2)", True),
    ("[0, 2].all(x, 4 / x > 9)", False),
    ("{'b': 1, 'a': 2}.map(k, k)", ["a", "b"]),
    ("params.names.map(n, n + string(params.n))", ["b7", "a7", "b7"]),
    ("[3].map(params, params + 1)", [4]),
    ("rows.filter(r, has(r.id) && r.id in [1, 3]).size()", 2),
    # maps
    ("get(tasks.a.output, 'rows', 0)", 5),
    ("get(tasks.a.output, 'gone', 0)", 0),
    ("get(tasks.skipped.output, 'rows', 0)", 0),
    ("get(params, 'none', 1)", None),
    ("default(params.none, 3)", 3),
    ("default(0, 3)", 0),
    ("default(params.names, [])", ["b", "a", "b"]),
    ("keys({'b': 1, 'a': 2})", ["a", "b"]),
    ("entries({'b': 1, 'a': null})", [{"key": "a", "value": None}, {"key": "b", "value": 1}]),
    # texts
    ("size('éa😀')", 3),
    ("'abc'.contains('bc')", True),
    ("contains('abc', 'bd')", False),
    ("'abc'.startsWith('ab')", True),
    ("'abc'.endsWith('bc')", True),
    ("'a.csv'.matches('[.]csv$')", True),
    ("'xay'.matches('a')", True),
    ("'éa'.matches('^.a$')", True),
    ("tasks.a.output.files.filter(f, f.matches('^a'))", ["a.csv"]),
    ("'a,b,,c'.split(',')", ["a", "b", "", "c"]),
    ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
    ("'a,b'.split(',', 0)", []),
    ("'abc'.split('')", ["a", "b", "c"]),
    ("'abc'.split('', 2)", ["a", "bc"]),
    ("''.split(',')", [""]),
    ("['a', 'b'].join('-')", "a-b"),
    ("['a', 'b'].join()", "ab"),
    ("[].join(',')", ""),
    ("'aXbX'.replace('X', 'yy')", "ayybyy"),
    ("'aXbX'.replace('X', '', 1)", "abX"),
    ("'aa'.replace('a', 'b', 0)", "aa"),
    ("'hello'.substring(2)", "llo"),
    ("'hello'.substring(1, 3)", "el"),
    ("'hello'.substring(5)", ""),
    ("'  a b\\t\\n'.trim()", "a b"),
    ("'ÄbC'.lowerAscii()", "Äbc"),
    ("'äbC'.upperAscii()", "äBC"),
    ("'AbC'.lowerAscii() + 'AbC'.upperAscii()", "abcABC"),
    ("'hello'.indexOf('l')", 2),
    ("'hello'.indexOf('l', 3)", 3),
    ("'hello'.indexOf('z')", -1),
    # numbers
    ("math.greatest(1, 2.5, 2)", 2.5),
    ("math.least([3, 1, 2])", 1),
    ("math.abs(-3)", 3),
    ("math.abs(-2.5)", 2.5),
    ("math.ceil(1.2)", 2.0),
    ("math.floor(-1.2)", -2.0),
    ("math.round(2.5)", 3.0),
    ("math.round(-2.5)", -3.0),
    ("math.round(0.49999999999999994)", 0.0),
    ("math.round(3)", 3),
    # conversions
    ("int('42')", 42),
    ("int(2.9)", 2),
    ("int(-2.9)", -2),
    ("int(timestamp('1970-01-02T00:00:00Z'))", 86400),
    ("double('1.5e3')", 1500.0),
    ("string(7)", "7"),
    ("string(1.0)", "1"),
    ("string(0.1)", "0.1"),
    ("string(1e21)", "1000000000000000000000"),
    ("string(true)", "true"),
    ("string(b'a')", "a"),
    ("string(duration('90m'))", "5400s"),
    ("bool('true')", True),
    ("size(bytes('é'))", 2),
    ("type(1) == int && type('a') == string && type(1.0) != int", True),
    ("type([]) == list && type({}) == map && type(null) == null_type && type(true) == bool", True),
    ("type(1)", "int"),
    ("dyn(1)", 1),
    # JSON, hash
    ("json({'b': [1, 2.0, null], 'a': 'é'})", '{"a":"é","b":[1,2.0,null]}'),
    ('parse_json(\'{"a": [1, 2.5]}\').a[1]', 2.5),
    ("hash('a')", "ac8d8342bbb2362d13f0a559a3621bb407011368895164b628a54f7fc33fc43c"),
    ("hash({'a': 1, 'b': 2}) == hash({'b': 2, 'a': 1})", True),
    ("hash(1) == hash(1.0)", False),
    # times
    ("timestamp('2024-01-31T06:00:00+02:00')", "2024-01-31T04:00:00Z"),
    ("timestamp('2024-01-31T06:00:00.120Z')", "2024-01-31T06:00:00.12Z"),
    ("timestamp(0)", "1970-01-01T00:00:00Z"),
    ("duration('3500ms')", "3.5s"),
    ("duration('-1h30m')", "-5400s"),
    ("duration('1.5h') == duration('90m')", True),
    ("timestamp('2024-01-31T00:00:00Z') + duration('24h')", "2024-02-01T00:00:00Z"),
    ("timestamp('2024-01-31T00:00:00Z') - timestamp('2024-01-30T23:00:00Z')", "3600s"),
    ("timestamp('2024-01-31T00:00:00Z') < timestamp('2024-01-31T00:00:01Z')", True),
    ("timestamp('2024-03-05T06:07:08.009Z').getFullYear()", 2024),
    ("timestamp('2024-03-05T06:07:08.009Z').getMonth()", 2),
    ("timestamp('2024-03-05T06:07:08.009Z').getDate()", 5),
    ("timestamp('2024-03-05T06:07:08.009Z').getDayOfMonth()", 4),
    ("timestamp('2024-03-05T06:07:08.009Z').getDayOfWeek()", 2),
    ("timestamp('2024-03-05T06:07:08.009Z').getDayOfYear()", 64),
    ("timestamp('2024-03-05T06:07:08.009Z').getHours()", 6),
    ("timestamp('2024-03-05T06:07:08.009Z').getMinutes()", 7),
    ("timestamp('2024-03-05T06:07:08.009Z').getSeconds()", 8),
    ("timestamp('2024-03-05T06:07:08.009Z').getMilliseconds()", 9),
    ("timestamp('2024-03-31T00:59:59Z').getHours('Europe/Berlin')", 1),
    ("timestamp('2024-03-31T01:00:00Z').getHours('Europe/Berlin')", 3),
    ("timestamp('2024-03-05T06:07:08Z').getMinutes('-03:30')", 37),
    ("duration('90m').getHours()", 1),
    ("duration('-90m').getMinutes()", -90),
    ("date_add(params.day, 1)", "2024-02-01"),
    ("date_add('2024-03-01', -1)", "2024-02-29"),
    ("format_time('2024-01-31T23:30:00Z', '%Y-%m-%d %H:%M', 'Europe/Berlin')", "2024-02-01 00:30"),
    ("format_time(timestamp('2024-01-31T00:00:00Z'), '%A %d %B %y, week %V, day %j')", "Wednesday 31 January 24, week 05, day 031"),
    ("format_time(params.day, '%F %T%z', 'Asia/Kolkata')", "2024-01-31 00:00:00+0530"),
    ("format_time('2024-01-31T13:05:06.5Z', '%I:%M %p %f 100%%')", "01:05 PM 500000 100%"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), VALUES, ids=[text for text, _ in VALUES])
def test_values(text: str, expected: Json) -> None:
    value = judge(text, **SCOPE)
    assert value == expected
    assert type(value) is type(expected)


FAILURES: list[tuple[str, str]] = [
    ("3 * 1.5", "int * double is not defined; write double(…) around the int (3 is int, 1.5 is double)"),
    ("params.n + params.x", "(params.n is int, params.x is double)"),
    ("'a' + 1", "write string(…) around the int"),
    ("1 + 2 + 'a'", "(1+2 is int, \"a\" is string)"),
    ("null + 1", "null + int is not defined"),
    ("true + true", "bool + bool is not defined"),
    ("{} + {}", "map + map is not defined"),
    ("1.5 % 1.0", "double % double is not defined"),
    ("-'a'", "-string is not defined"),
    ("1 / 0", "division by zero"),
    ("1 % 0", "division by zero"),
    ("9223372036854775807 + 1", "does not fit into 64 bits"),
    ("-9223372036854775808 / -1", "does not fit into 64 bits"),
    ("math.abs(-9223372036854775808)", "does not fit into 64 bits"),
    ("int(1e19)", "does not fit into 64 bits"),
    ("1.0 / 0.0", "the result is inf"),
    ("[0.0 / 0.0]", "the result is nan"),
    ("{'a': 1e308 * 10.0}", "the result is inf"),
    ("1 < 'a'", "int and string cannot be compared"),
    ("null < 1", "null and int cannot be compared"),
    ("[1] < [2]", "list and list cannot be compared"),
    ("1 < 2 < 3", "bool and int cannot be compared (1<2 is bool, 3 is int)"),
    ("1 && true", "`&&` takes bools; there is no truthiness (1 is int)"),
    ("false || 'a'", "`||` takes bools"),
    ("!0", "`!` takes a bool"),
    ("'a' ? 1 : 2", "`? :` takes a bool"),
    ("true && params.missing > 1", "params has no key \"missing\""),
    ("'a' in 'abc'", "write text.contains(part)"),
    ("1 in 2", "not into int"),
    ("[1].contains(1)", "write element in list"),
    ("'abc'.contains(1)", "contains takes a string, not int"),
    ("size(null)", "null has no size"),
    ("size(5)", "int has no size"),
    ("has(tasks.skipped.output.rows)", "is null"),
    ("has(params.n.x)", "is int"),
    ("{1: 2}", "a map's keys are strings, not int"),
    ("{'a': 1, 'a': 2}", "stands twice"),
    ("params.n.map(x, x)", "map walks a list, not int"),
    ("[1].filter(x, x)", "the condition of filter gives int, no bool"),
    ("[1].all(x, x)", "gives int, no bool"),
    ("[0].exists(x, 1 / x > 0)", "division by zero"),
    ("get([1], 'a', 0)", "get takes a map, not list"),
    ("get(params, 1, 0)", "get takes a string, not int"),
    ("default(params.missing, 0)", "has no key \"missing\""),
    ("keys([1])", "keys takes a map, not list"),
    ("compact(null)", "compact takes a list, not null"),
    ("sum([1, 1.5])", "sum does not mix int and double"),
    ("sum([1, null])", "write sum(compact(list))"),
    ("sum(['a'])", "sum adds numbers, not string"),
    ("sum([9223372036854775807, 1])", "does not fit into 64 bits"),
    ("[1, 'a'].join(',')", "element 0 is int"),
    ("'a'.substring(2)", "lies outside"),
    ("'abc'.substring(2, 1)", "lies outside"),
    ("'a'.indexOf('a', 5)", "lies outside"),
    ("'a'.matches('(')", "no regular expression: unclosed group"),
    ("'a'.matches('(?=a)')", "look-around"),
    ("math.greatest([])", "of an empty list"),
    ("math.greatest('a')", "takes a number, not string"),
    ("int('1.5')", "int cannot read '1.5'"),
    ("int('1_000')", "int cannot read"),
    ("int('１')", "int cannot read"),
    ("int(true)", "int takes no bool"),
    ("int(double('nan'))", "int of nan"),
    ("double('x')", "double cannot read"),
    ("double('1_0')", "double cannot read"),
    ("string(null)", "string takes no null"),
    ("string([1])", "write json(x)"),
    ("string(b'\\xff')", "no UTF-8"),
    ("bool('yes')", "there is no truthiness"),
    ("bool(1)", "there is no truthiness"),
    ("parse_json('[1,')", "the text is no JSON"),
    ("parse_json('NaN')", "the text is no JSON: NaN"),
    ("parse_json('1e999')", "too large for a double"),
    ("parse_json('[99999999999999999999999]')", "64 bits"),
    ("timestamp('2024-01-31')", 'write timestamp(d + "T00:00:00Z") for a date'),
    ("timestamp('2024-01-31T00:00:00')", "RFC 3339 text with a zone"),
    ("timestamp('2024-02-30T00:00:00Z')", "there is no such time"),
    ("timestamp(99999999999999)", "out of range"),
    ("timestamp('9999-12-31T23:59:59Z') + duration('2s')", "out of range"),
    ("duration('1d')", "days are written in hours"),
    ("duration('5')", "numbers with units"),
    ("duration('')", "numbers with units"),
    ("duration('99999999999999999999h')", "out of range"),
    ("'2024-01-31'.getDate()", "write timestamp(…) around a text"),
    ("timestamp(0).getHours('Mars/Base')", "there is no time zone 'Mars/Base'"),
    ("timestamp(0).getHours('../../etc/passwd')", "there is no time zone"),
    ("duration('1s').getFullYear()", "takes a timestamp, not duration"),
    ("date_add('31.01.2024', 1)", "takes a date like 2024-01-31"),
    ("date_add('2024-02-30', 1)", "takes a date like 2024-01-31"),
    ("date_add('2024-01-31', 1.0)", "takes an int, not double"),
    ("date_add('9999-12-31', 1)", "out of range"),
    ("format_time('2024-01-31', '%Q')", "the format has no field %Q"),
    ("format_time('2024-01-31', '%9999999999Y')", "the format has no field %9"),
    ("format_time('2024-01-31', '%')", "the format has no field %"),
    ("format_time(5, '%Y')", "takes a timestamp or a text, not int"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), FAILURES, ids=[text for text, _ in FAILURES])
def test_failures(text: str, message: str) -> None:
    assert message in why(text, **SCOPE)


@pytest.mark.parametrize("text", ["1", "'true'", "null", "params.n", "params.names", "[true]", "params.none"])
def test_a_condition_that_gives_no_boolean_fails(text: str) -> None:
    with pytest.raises(EvaluationError, match="a condition gives true or false, not"):
        holds(text, **SCOPE)


def test_an_error_carries_text_reason_and_operands() -> None:
    with pytest.raises(EvaluationError) as caught:
        EVALUATOR.condition(parse_expression("params.n * params.x > 1.0"), SCOPE)
    error = caught.value
    assert error.text == "params.n*params.x>1.0"
    assert error.why == "int * double is not defined; write double(…) around the int"
    assert error.operands == {"params.n": "int", "params.x": "double"}


def test_the_first_failure_is_told_when_no_term_decides() -> None:
    assert "missing" in why("params.missing > 1 || 1 / 0 > 1 || false", **SCOPE)


def test_the_evaluator_keeps_to_its_port() -> None:
    assert isinstance(EVALUATOR, Evaluator)


def test_keys_of_results_are_sorted_at_every_level() -> None:
    value = judge("[{'z': {'y': 1, 'x': [{'b': 1, 'a': 2}]}, 'w': 2}]")
    assert list(value[0]) == ["w", "z"]
    assert list(value[0]["z"]) == ["x", "y"]
    assert list(value[0]["z"]["x"][0]) == ["a", "b"]


def test_scopes_are_never_changed() -> None:
    given = {"b": [{"d": 1, "c": b"x"}], "a": 1}
    assert judge("default(event, 0)", event=given) == {"a": 1, "b": [{"c": "eA==", "d": 1}]}
    assert list(given) == ["b", "a"]
    assert given["b"] == [{"d": 1, "c": b"x"}]
