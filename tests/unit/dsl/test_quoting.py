"""The hints for values that YAML misreads."""

from __future__ import annotations

import pytest
import yaml

from headrace.dsl.quoting import comment_hint, quoted, quoting_hint


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("    when: !has(params.x)", 'Quote it: when: "!has(params.x)".'),
        ("  - cron: */5 * * * *", 'Quote it: cron: "*/5 * * * *".'),
        ("  - @daily", 'Quote it: "@daily".'),
        ("when: a ? b : c", 'Quote it: when: "a ? b : c".'),
        ('when: !has(x["k"])', "Quote it: when: '!has(x[\"k\"])'."),
        ('when: "a" == b', "Quote the whole value: when: '\"a\" == b'."),
        ("with: {a: ${{ x }}}", 'Inside { } and [ ] a template must be quoted: {x: "${{ … }}"}.'),
        ("argv: [${{ x }}]", 'Inside { } and [ ] a template must be quoted: {x: "${{ … }}"}.'),
        ('when: "a == b"', None),
        ('when: "a == b"  # why', None),
        ('with: {a: "${{ x }}"}', None),
        ("when: a == b", None),
        ("  load:", None),
        (": a", None),
        ("# when: !x", None),
        ("", None),
    ],
)
def test_a_line_that_needs_quotes_is_shown_with_them(line: str, hint: str | None) -> None:
    assert quoting_hint(line) == hint


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (
            "when: tasks.a.output == 'x #1'",
            "YAML takes ` #` for a comment. Quote it: when: \"tasks.a.output == 'x #1'\".",
        ),
        ("  a: {when: x == 'a #b'}", "YAML takes ` #` for a comment. Quote the text that holds it."),
        ('when: "a #b"', None),
        ("when: a#b", None),
        ("# when", None),
    ],
)
def test_a_value_cut_by_a_comment_sign_is_shown_whole(line: str, hint: str | None) -> None:
    assert comment_hint(line) == hint


@pytest.mark.parametrize(
    "value", ["plain", 'with "double"', "it's", "back\\slash", "*/5 * * * *", "both \" and '"]
)
def test_quotes_keep_the_value(value: str) -> None:
    assert yaml.safe_load(quoted(value)) == value
