"""Trigger rules as written: thirteen names, or an expression such as `success(extract) && rate(price) >= 0.9`.

The meaning of both is fixed in docs/trigger_rules.md; the deciding machine implements it. Here is only how they are read.

    rule    := all ("||" all)*            all  := part ("&&" part)*
    part    := "!" part | "(" rule ")" | state "(" id ")" | measure op number | number op measure
    state   := success | failed | skipped | done
    measure := rate "(" id ")" | count "(" id "," quoted state ")"
    id      := an identifier, or any id in quotes
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from headrace.engine.core.plan import (
    RULE_NAMES,
    Both,
    Compare,
    Either,
    Holds,
    Measure,
    Not,
    Rule,
    RuleExpression,
)
from headrace.engine.core.problems import did_you_mean
from headrace.engine.core.states import TaskState

STATES = ("success", "failed", "skipped", "done")
COUNTED = tuple(state.word for state in TaskState if state.final and state is not TaskState.REMOVED)
MAX_TEXT = 4_096  # characters, as for every other expression
MAX_DEPTH = 32

_WORD = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_-]*\s*\Z", re.ASCII)
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>\d+(?:\.\d+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<quoted>"[^"\\]*"|'[^'\\]*')
      | (?P<sign>&&|\|\||==|!=|<=|>=|[<>!(),])
    )""",
    re.ASCII | re.VERBOSE,
)
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)


class RuleProblem(Exception):
    """A trigger rule that cannot be read: why, what to do, and at which character of the text."""

    def __init__(self, message: str, hint: str | None = None, offset: int = 0) -> None:
        self.message, self.hint, self.offset = message, hint, offset
        super().__init__(f"{message} {hint}" if hint else message)


def is_name(text: str) -> bool:
    """A single word is always meant as the name of a rule, never as an expression."""
    return _WORD.match(text) is not None


def rule_named(word: str) -> Rule:
    """The rule of that name. Raises RuleProblem with the nearest one."""
    name = word.strip()
    if name in RULE_NAMES:
        return Rule[name.upper()]
    hint = did_you_mean(name.lower(), RULE_NAMES) or f"The rules are {', '.join(RULE_NAMES)}."
    raise RuleProblem(f'"{name}" is no trigger rule.', hint)


def parse_rule(text: str, resolve: Callable[[str], int]) -> RuleExpression:
    """The expression form. `resolve` turns a task id as written into its source, a node's index.

    Raises RuleProblem.
    """
    if len(text) > MAX_TEXT:
        raise RuleProblem(f"the trigger rule is longer than {MAX_TEXT} characters.")
    return _Reader(text, resolve).rule_alone()


def sources(text: str) -> tuple[str, ...]:
    """The ids that an expression names, each once, in written order. Raises RuleProblem."""
    found: dict[str, int] = {}
    parse_rule(text, lambda written: found.setdefault(written, len(found)))
    return tuple(found)


def canonical_rule(text: str) -> str:
    """The one spelling of a rule's name or expression that the plan hash sees. Raises RuleProblem."""
    if is_name(text):
        return rule_named(text).name.lower()
    found: dict[str, int] = {}
    rule = parse_rule(text, lambda written: found.setdefault(written, len(found)))
    return written_rule(rule, tuple(found).__getitem__)


def written_rule(rule: RuleExpression, named: Callable[[int], str]) -> str:
    """A rule expression as text; `named` gives the id of a source."""
    match rule:
        case Holds(what, source):
            return f"{what}({_quoted(named(source))})"
        case Compare(left, operator, right):
            state = "" if left.state is None else f', "{left.state}"'
            return f"{left.what}({_quoted(named(left.source))}{state}) {operator} {right:.12g}"
        case Not(of):
            inner = written_rule(of, named)
            return f"!({inner})" if isinstance(of, Both | Either | Compare) else f"!{inner}"
        case Both(parts):
            texts = (
                f"({written_rule(part, named)})" if isinstance(part, Either) else written_rule(part, named)
                for part in parts
            )
            return " && ".join(texts)
        case Either(parts):
            return " || ".join(written_rule(part, named) for part in parts)


def _quoted(written: str) -> str:
    return written if _IDENTIFIER.match(written) else f'"{written}"'


class _Token(NamedTuple):
    kind: str  # number name quoted sign end
    text: str
    offset: int


class _Reader:
    """Recursive descent over at most MAX_DEPTH levels."""

    def __init__(self, text: str, resolve: Callable[[str], int]) -> None:
        self.tokens = self._tokens(text)
        self.at = 0
        self.depth = 0
        self.resolve = resolve

    @staticmethod
    def _tokens(text: str) -> list[_Token]:
        tokens: list[_Token] = []
        end = len(text.rstrip())
        offset = 0
        while offset < end:
            match = _TOKEN.match(text, offset)
            if match is None:
                at = offset + len(text[offset:]) - len(text[offset:].lstrip())
                hint = "Write conditions with && || ! and parentheses." if text[at] in "&|" else None
                raise RuleProblem(f"`{text[at]}` has no meaning in a trigger rule.", hint, at)
            kind = match.lastgroup or ""
            tokens.append(_Token(kind, match[kind], match.start(kind)))
            offset = match.end()
        tokens.append(_Token("end", "", end))
        return tokens

    def next(self) -> _Token:
        token = self.tokens[self.at]
        self.at += token.kind != "end"
        return token

    def takes(self, text: str) -> bool:
        found = self.tokens[self.at]
        if found.kind == "sign" and found.text == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.takes(text):
            raise self.unexpected(self.tokens[self.at], f"`{text}`")

    @staticmethod
    def unexpected(token: _Token, wanted: str) -> RuleProblem:
        found = f"`{token.text}`" if token.text else "the end"
        return RuleProblem(f"the trigger rule needs {wanted} where it has {found}.", None, token.offset)

    def rule_alone(self) -> RuleExpression:
        rule = self.rule()
        token = self.tokens[self.at]
        if token.kind != "end":
            raise self.unexpected(token, "`&&`, `||` or its end")
        return rule

    def rule(self) -> RuleExpression:
        parts = [self.both()]
        while self.takes("||"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def both(self) -> RuleExpression:
        parts = [self.part()]
        while self.takes("&&"):
            parts.append(self.part())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def part(self) -> RuleExpression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise RuleProblem(
                f"the trigger rule nests deeper than {MAX_DEPTH}.", None, self.tokens[self.at].offset
            )
        try:
            if self.takes("!"):
                return Not(self.part())
            if self.takes("("):
                rule = self.rule()
                self.expect(")")
                return rule
            return self.atom()
        finally:
            self.depth -= 1

    def atom(self) -> RuleExpression:
        token = self.next()
        if token.kind == "number":
            operator = self.operator()
            return Compare(self.measure(self.next()), _FLIPPED[operator], float(token.text))
        if token.kind != "name":
            raise self.unexpected(token, f"one of {', '.join(STATES)}, rate or count")
        if token.text not in STATES:
            measure = self.measure(token)
            operator = self.operator()
            number = self.next()
            if number.kind != "number":
                raise self.unexpected(number, "a number")
            return Compare(measure, operator, float(number.text))
        self.expect("(")
        source = self.source()
        self.expect(")")
        return Holds(token.text, source)

    def operator(self) -> str:
        token = self.next()
        if token.kind != "sign" or token.text not in _FLIPPED:
            raise self.unexpected(token, "a comparison (== != < <= > >=)")
        return token.text

    def measure(self, token: _Token) -> Measure:
        if token.kind != "name" or token.text not in ("rate", "count"):
            if token.kind != "name":
                raise self.unexpected(token, "rate or count")
            known = (*STATES, "rate", "count")
            hint = did_you_mean(token.text, known) or f"There are {', '.join(known)}."
            raise RuleProblem(f'a trigger rule knows no "{token.text}".', hint, token.offset)
        self.expect("(")
        source = self.source()
        state = None
        if token.text == "count":
            self.expect(",")
            word = self.next()
            state = word.text.strip("\"'")
            if word.kind != "quoted" or state not in COUNTED:
                hint = did_you_mean(state, COUNTED) or f"It is one of {', '.join(COUNTED)}, in quotes."
                raise RuleProblem(f"count() needs a state where it has `{word.text}`.", hint, word.offset)
        self.expect(")")
        return Measure(token.text, source, state)

    def source(self) -> int:
        token = self.next()
        if token.kind not in ("name", "quoted"):
            raise self.unexpected(token, "the id of a task")
        return self.resolve(token.text.strip("\"'") if token.kind == "quoted" else token.text)
