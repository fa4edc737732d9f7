"""Expressions with blanks where people put them: the plan keeps canonical text, which has none."""

from __future__ import annotations

from functools import lru_cache

from headrace.dsl.language.shapes import OPENING
from headrace.engine.core.expressions import ExpressionProblem, parse_expression, parse_template
from headrace.engine.core.expressions.lexer import Token, scan, spell

_BINARY = frozenset(("&&", "||", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "?"))
_SIGNS = frozenset((",", "(", "[", "{", "?", ":", "!", *_BINARY))  # after these a minus is one of a number


@lru_cache(maxsize=1024)
def spaced(text: str) -> str:
    """A bare expression, spaced; the same expression in any case."""
    try:
        tokens, _ = scan(text)
        made = _spaced(tokens)
        return made if parse_expression(made).text == text else text
    except ExpressionProblem:  # longer than an expression may be
        return text


def spaced_template(text: str) -> str:
    """Text with its pieces spaced."""
    if OPENING not in text:
        return text
    pieces = parse_template(text).pieces
    parts = pieces[0][1] if pieces else (text,)
    made = "".join(part if isinstance(part, str) else f"${{{{ {spaced(part.text)} }}}}" for part in parts)
    try:
        return made if parse_template(made).value == text else text
    except ExpressionProblem:
        return text


def _spaced(tokens: list[Token]) -> str:
    written: list[str] = []
    open_choices: list[int] = [0]  # in each bracket: how many `?` wait for their `:`
    before: Token | None = None
    for token in tokens:
        if token.kind == "end":
            break
        kind, text = token.kind, spell(token)
        binary = kind in _BINARY and not (kind == "-" and (before is None or before.kind in _SIGNS))
        if kind in ("(", "[", "{"):
            open_choices.append(0)
        elif kind in (")", "]", "}"):
            open_choices.pop()
        if binary or (kind == "name" and token.value == "in"):
            open_choices[-1] += kind == "?"
            written.append(f" {text} ")
        elif kind == ":":
            waiting = open_choices[-1] > 0
            open_choices[-1] -= waiting
            written.append(" : " if waiting else ": ")
        else:
            written.append(", " if kind == "," else text)
        before = token
    return "".join(written)
