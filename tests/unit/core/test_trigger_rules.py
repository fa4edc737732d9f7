"""Trigger rules as written: names, the expression form, and what is said about a wrong one."""

from __future__ import annotations

import pytest

from headrace.engine.core.plan import RULE_NAMES, Both, Compare, Either, Holds, Measure, Not, Rule
from headrace.engine.core.trigger_rules import (
    RuleProblem,
    canonical_rule,
    is_name,
    parse_rule,
    rule_named,
    sources,
)

SOURCES = {"extract": 1, "price": 2, "my-task": 3}


@pytest.mark.parametrize("name", RULE_NAMES)
def test_every_name_is_known(name: str) -> None:
    assert is_name(name)
    assert rule_named(f" {name} ").name.lower() == name


def test_there_are_thirteen_names() -> None:
    assert len(RULE_NAMES) == len(set(RULE_NAMES)) == 13 == len(Rule) - 1


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("all_sucess", '"all_success"'),
        ("ALL_DONE", '"all_done"'),
        ("sometimes", "The rules are"),
        ("expression", None),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(word: str, hint: str | None) -> None:
    with pytest.raises(RuleProblem) as caught:
        rule_named(word)
    assert (hint or "") in (caught.value.hint or "")


def test_the_example_of_the_documentation() -> None:
    rule = parse_rule("success(extract) && rate(price) >= 0.9", SOURCES.__getitem__)
    assert rule == Both((Holds("success", 1), Compare(Measure("rate", 2), ">=", 0.9)))


def test_or_binds_weaker_than_and_and_not_strongest() -> None:
    rule = parse_rule('!failed(extract) && done(price) || skipped("my-task")', SOURCES.__getitem__)
    assert rule == Either((Both((Not(Holds("failed", 1)), Holds("done", 2))), Holds("skipped", 3)))


def test_a_comparison_may_stand_either_way_round() -> None:
    turned = parse_rule("3 > count(price, 'failed')", SOURCES.__getitem__)
    assert turned == parse_rule('count(price, "failed") < 3', SOURCES.__getitem__)
    assert turned == Compare(Measure("count", 2, "failed"), "<", 3.0)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("all_done", "all_done"),
        ("( (success(a)) )", "success(a)"),
        ("success(a)&&(failed(b)||done(c))", "success(a) && (failed(b) || done(c))"),
        ("!(success('a b.c'))", '!success("a b.c")'),
        ("!(success(a)&&rate(b)>0.50)", "!(success(a) && rate(b) > 0.5)"),
        ("1<=count(b,'failed')", 'count(b, "failed") >= 1'),
    ],
)
def test_there_is_one_spelling(text: str, canonical: str) -> None:
    assert canonical_rule(text) == canonical
    assert canonical_rule(canonical) == canonical


def test_sources_are_named_once_in_written_order() -> None:
    assert sources('success(b) && (failed(a) || rate(b) > 0.5) && done("x-y")') == ("b", "a", "x-y")


@pytest.mark.parametrize(
    ("text", "says", "offset"),
    [
        ("succes(a)", 'Did you mean "success"?', 0),
        ("success(a) and done(b)", "has `and`", 11),
        ("success(a) & done(b)", "&& || !", 11),
        ("success(a", "the end", 9),
        ("success()", "the id of a task", 8),
        ("rate(a)", "a comparison", 7),
        ("rate(a) > rate(b)", "a number", 10),
        ("count(a) > 1", "`,`", 7),
        ('count(a, "faild") > 1', 'Did you mean "failed"?', 9),
        ("count(a, failed) > 1", "count() needs a state", 9),
        ("success(a) done(b)", "`&&`, `||` or its end", 11),
        ("1 == 1", "rate or count", 5),
        ("success(a) || ", "the end", 13),
        ("é(a)", "has no meaning", 0),
        ("(" * 40 + "done(a)" + ")" * 40, "nests deeper than 32", 32),
        ("!" * 40 + "done(a)", "nests deeper than 32", 32),
    ],
)
def test_what_is_wrong_is_said_with_its_spot(text: str, says: str, offset: int) -> None:
    with pytest.raises(RuleProblem) as caught:
        parse_rule(text, lambda _: 0)
    assert says in str(caught.value)
    assert caught.value.offset == offset


def test_a_text_without_end_is_refused() -> None:
    with pytest.raises(RuleProblem, match="longer than"):
        parse_rule("done(a) && " * 1000 + "done(a)", lambda _: 0)
