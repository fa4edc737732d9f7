"""What the YAML reader takes, what it refuses, with which words and at which place."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace.dsl.yaml_loader import read_yaml
from headrace.engine.core.problems import Problem


def value_of(text: str) -> Any:
    """The value of a text without problems."""
    value, problems = read_yaml(text, "f.yaml")
    assert problems == ()
    return value


def told(text: str) -> list[str]:
    """The problems of a text as a person sees them."""
    return [str(problem) for problem in read_yaml(text, "f.yaml").problems]


def only(text: str) -> Problem:
    [problem] = read_yaml(text, "f.yaml").problems
    return problem


@contextmanager
def cheap() -> Iterator[None]:
    """Faults 7: refused in less than a second, without 64 MiB more of memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


# -- values: the core schema of YAML 1.2 -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("", None),
        ("~", None),
        ("Null", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-7", -7),
        ("+12", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1.0", 1.0),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-0.25", -0.25),
        ("text", "text"),
        ("'7'", "7"),
        ('"true"', "true"),
        ("1.2.3", "1.2.3"),
        ("+", "+"),
        (".", "."),
        ("1_000", "1_000"),
        ("[]", []),
        ("{}", {}),
        ("[1, {a: b}]", [1, {"a": "b"}]),
    ],
)
def test_a_scalar_has_the_value_that_the_core_schema_gives_it(written: str, value: Any) -> None:
    read = value_of(f"a: {written}\n")["a"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y", "N", "12:30", "2024-01-01", "1,000"])
def test_what_older_yaml_turns_into_other_values_stays_text(word: str) -> None:
    """Faults 8: `no` and `on` are words, times and dates are text."""
    assert value_of(f"a: {word}") == {"a": word}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_text_is_null(text: str) -> None:
    assert value_of(text) is None


def test_document_marks_and_a_version_are_no_second_document() -> None:
    assert value_of("%YAML 1.2\n---\na: 1\n...\n") == {"a": 1}


def test_aliases_share_what_they_name() -> None:
    value = value_of("x-common: &common {retry: 3}\na: *common\nb: [*common, *common]\n")
    assert value["a"] == {"retry": 3}
    assert value["a"] is value["b"][1]


def test_an_alias_may_be_a_key() -> None:
    assert value_of("a: &name x\n*name : 1\n") == {"a": "x", "x": 1}


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
_TREES = st.recursive(
    _SCALARS,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text("ab<:#-", max_size=4), below, max_size=3)
    ),
    max_leaves=12,
)


@given(_TREES)
def test_json_written_in_yaml_is_read_back_exactly(tree: Any) -> None:
    """Every JSON value passes: in YAML's double quotes, with explicit styles, nothing is guessed."""
    text = yaml.serialize(_node(tree), allow_unicode=False)
    assert value_of(text) == tree


def _node(value: Any) -> yaml.Node:
    """The value as a tree with every text in double quotes."""
    match value:
        case str():
            return yaml.ScalarNode("tag:yaml.org,2002:str", value, style='"')
        case list():
            return yaml.SequenceNode("tag:yaml.org,2002:seq", [_node(item) for item in value])
        case dict():
            pairs = [(_node(key), _node(item)) for key, item in value.items()]
            return yaml.MappingNode("tag:yaml.org,2002:map", pairs)
        case None:
            return yaml.ScalarNode("tag:yaml.org,2002:null", "null")
        case bool():
            return yaml.ScalarNode("tag:yaml.org,2002:bool", "true" if value else "false")
        case int():
            return yaml.ScalarNode("tag:yaml.org,2002:int", str(value))
    text = repr(value)  # an exponent needs a dot to be a float in YAML 1.1, which this writer speaks
    mantissa, mark, exponent = text.partition("e")
    if mark and "." not in mantissa:
        text = f"{mantissa}.0e{exponent}"
    assert math.isfinite(value)
    return yaml.ScalarNode("tag:yaml.org,2002:float", text.replace("e-", "e-").replace("e1", "e+1"))


# -- what is refused: faults 8 and 11 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "when: !has(params.x)",
            'f.yaml:1:7: "!has(params.x)" is a YAML tag; tags are not allowed. '
            'Quote it: when: "!has(params.x)".',
        ),
        (
            "a: !!python/object:os.system ls",
            'f.yaml:1:4: "tag:yaml.org,2002:python/object:os.system" is a YAML tag; tags are not allowed. '
            "Leave it out; quote the value where it is meant as text.",
        ),
        (
            "a: !custom {b: 1}",
            'f.yaml:1:4: "!custom" is a YAML tag; tags are not allowed. Quote it: a: "!custom {b: 1}".',
        ),
        (
            "base: &b {x: 1}\nuse:\n  <<: *b\n  y: 2",
            "f.yaml:3:3: merge keys (<<) are not part of YAML 1.2. Write the keys out, put them into `defaults`, "
            "or use a plain alias for a whole value.",
        ),
        ("1: a", 'f.yaml:1:1: a key must be text, not the number 1. Quote it: "1".'),
        ("null: a", 'f.yaml:1:1: a key must be text, not nothing (null). Quote it: "null".'),
        ("? \n: a", "f.yaml:1:2: a key must be text, not nothing (null). Write a key before the colon."),
        ("a: &n 7\n*n : b", "f.yaml:2:1: a key must be text, not the number 7. Write the key out."),
        ("? [a]\n: 2", "f.yaml:1:3: a key must be text, not a list."),
        (
            "a: .nan",
            "f.yaml:1:4: .nan is no JSON value. Leave it out or use null; quote it where it is meant as text.",
        ),
        (
            "a: -.inf",
            "f.yaml:1:4: -.inf is no JSON value. Leave it out or use null; quote it where it is meant as text.",
        ),
        ("a: 1e999", 'f.yaml:1:4: "1e999" is a number too large to hold. Write it as text, in quotes.'),
        (
            "a: 9223372036854775808",
            'f.yaml:1:4: "9223372036854775808" is an integer beyond 64 bits. Write it as text, in quotes.',
        ),
        (
            "a: 0xffffffffffffffff",
            'f.yaml:1:4: "0xffffffffffffffff" is an integer beyond 64 bits. Write it as text, in quotes.',
        ),
        (
            "mode: 0755",
            "f.yaml:1:7: 0755 begins with 0: YAML readers disagree whether that is octal. "
            'Quote it ("0755"), write it without the 0, or as 0o755.',
        ),
        (
            'a: "\\ud800"',
            "f.yaml:1:7: this is not YAML: found invalid Unicode character escape code "
            "(while parsing a quoted scalar).",
        ),
        ("a: 1\nb: x\0y", "f.yaml:2:5: control characters are not allowed: U+0000."),
        (
            "a: 1\n---\nb: 2",
            "f.yaml:2:1: a second document begins; a file holds one workflow. Split the file.",
        ),
        (
            "tasks:\n\ta: 1",
            "f.yaml:2:1: this is not YAML: found character that cannot start any token "
            "(while scanning for the next token). Indent with spaces: YAML forbids tabs there.",
        ),
        (
            "cron: */5 * * * *",
            "f.yaml:1:8: this is not YAML: did not find expected alphabetic or numeric character "
            '(while scanning an alias). Quote it: cron: "*/5 * * * *".',
        ),
        (
            "when: ${{ a ? b : c }}",
            "f.yaml:1:17: this is not YAML: mapping values are not allowed in this context. "
            'Quote it: when: "${{ a ? b : c }}".',
        ),
        (
            "with: {a: ${{ x }}}",
            "f.yaml:1:12: this is not YAML: did not find expected ',' or '}' (while parsing a flow mapping). "
            'Inside { } and [ ] a template must be quoted: {x: "${{ … }}"}.',
        ),
        (
            'when: "x" == y',
            "f.yaml:1:11: this is not YAML: did not find expected key (while parsing a block mapping). "
            "Quote the whole value: when: '\"x\" == y'.",
        ),
        (
            "a: [1,\nb",
            "f.yaml:3:1: this is not YAML: did not find expected ',' or ']' (while parsing a flow sequence). "
            "It began in line 1, column 4.",
        ),
        (
            "a: {when: x == 'a #b'}\nc: 1",
            "f.yaml:2:1: this is not YAML: did not find expected ',' or '}' (while parsing a flow mapping). "
            "It began in line 1, column 4. YAML takes ` #` for a comment. Quote the text that holds it.",
        ),
        (
            "x" * 2_000 + ": 1",
            "f.yaml:1:2001: this is not YAML: mapping values are not allowed in this context. "
            "A key may have at most 1,024 characters.",
        ),
        ("a: *no", 'f.yaml:1:4: *no names an anchor that is not defined above. Quote it: a: "*no".'),
        (
            "a: &self [*self]",
            'f.yaml:1:11: *self names an anchor that is not defined above. Quote it: a: "&self [*self]".',
        ),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_place_and_a_way_out(text: str, message: str) -> None:
    """Faults 8 and 11."""
    assert told(text) == [message]
    assert only(text).code == "parse_error"


def test_a_key_twice_tells_tasks_from_other_keys() -> None:
    """Faults 2 and 8: every duplicate of a file is told, with its path and, for a task, its id."""
    problems = read_yaml(
        "workflow: w\n"
        "workflow: v\n"
        "tasks:\n"
        "  load: {noop: {}}\n"
        "  load: {noop: {}}\n"
        "  each:\n"
        "    tasks: {a: {noop: {}}, a: {noop: {}}}\n"
        "  call:\n"
        "    python: m:f\n"
        "    with: {tasks: {a: 1, a: 2}}\n",
        "f.yaml",
    ).problems
    assert [(p.code, p.path, p.task) for p in problems] == [
        ("duplicate_key", ("workflow",), None),
        ("duplicate_task", ("tasks", "load"), "load"),
        ("duplicate_task", ("tasks", "each", "tasks", "a"), "a"),
        ("duplicate_key", ("tasks", "call", "with", "tasks", "a"), None),
    ]
    assert str(problems[1]) == 'f.yaml:5:3: the task "load" is defined twice. Rename one.'
    assert str(problems[3]) == 'f.yaml:10:26: the key "a" stands here twice. Keep one of the two.'


def test_the_first_of_two_values_is_kept_for_further_checks() -> None:
    assert read_yaml("a: 1\na: 2").value == {"a": 1}


def test_all_problems_of_a_file_come_at_once() -> None:
    assert [line.split(":", 3)[1] for line in told("a: !x 1\nb: .nan\nc: 0755\na: 2\n")] == [
        "1",
        "2",
        "3",
        "4",
    ]


def test_a_hundred_problems_are_enough() -> None:
    assert len(told("".join(f"k{i}: .nan\n" for i in range(500)))) == 100


def test_a_name_shown_back_cannot_act_on_the_terminal() -> None:
    """Faults 2: NUL, line ends, marks that turn the direction of writing and 10 KB of name are shown tamely."""
    long = "x" * 10_000
    [first] = told('"\\u202etxt\\0\\n": 1\n"\\u202etxt\\0\\n": 2')
    assert first == 'f.yaml:2:1: the key "\\u202etxt\\x00\\n" stands here twice. Keep one of the two.'
    [second] = told(f"{long[:900]}: 1\n{long[:900]}: 2")
    assert (
        second
        == f'f.yaml:2:1: the key "{"x" * 60}… (900 characters)" stands here twice. Keep one of the two.'
    )


# -- what costs too much: faults 7 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000 + "]" * 100_000,
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000 + "x",
        "".join(" " * depth + "a:\n" for depth in range(3_000)),
        '["\n]\n", ' * 100_000,
    ],
    ids=["closed lists", "open lists", "maps", "list marks", "indentation", "brackets hidden in texts"],
)
def test_deep_nesting_is_refused_before_it_costs(text: str) -> None:
    """Faults 7: 100,000 levels."""
    with cheap():
        problem = only(text)
    assert problem.message == "maps and lists nest more than 100 deep."


def test_nesting_within_the_limit_is_read() -> None:
    value = value_of("[" * 100 + "]" * 100)
    for _ in range(99):
        [value] = value
    assert value == []


def test_laughing_aliases_are_refused_before_they_cost() -> None:
    """Faults 7: 10^9 values in 600 bytes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with cheap():
        problem = only("\n".join(lines))
    assert problem.code == "too_large"
    assert problem.message.startswith("aliases multiply this file to more than ")
    assert str(problem.place).startswith("f.yaml:5:")


def test_a_long_list_named_many_times_is_refused() -> None:
    """Faults 7: one level is enough when what it names is long."""
    with cheap():
        problem = only("a: &a [" + "x," * 50_000 + "]\nb: [" + "*a," * 100 + "]")
    assert problem.code == "too_large"


def test_honest_aliases_are_not_bombs() -> None:
    text = "x: &policy {attempts: 5, delay: 1s}\ntasks:\n" + "".join(
        f"  t{i}: {{python: m:f, retry: *policy}}\n" for i in range(10_000)
    )
    assert len(value_of(text)["tasks"]) == 10_000
