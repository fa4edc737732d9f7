"""Reading expressions and templates: text as written into the values that plans hold."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace.engine.core.evaluation import Expression, PathParts, Reference, Template
from headrace.engine.core.expressions.lexer import MAX_BYTES, Token, canonical, scan
from headrace.engine.core.expressions.parser import parse
from headrace.engine.core.expressions.problems import ExpressionProblem
from headrace.engine.core.expressions.references import lone, references
from headrace.engine.core.expressions.syntax import Node
from headrace.engine.core.workflow import Json

OPENING = "${{"
MAX_DEPTH = 64
"""How deep a value may be nested."""

Part = str | Expression


def parse_expression(text: str) -> Expression:
    """A bare expression; one enclosing `${{ }}` is taken off. Raises ExpressionProblem."""
    start = re.match(r"\s*", text, re.ASCII).end()  # type: ignore[union-attr]
    if not text.startswith(OPENING, start):
        tokens, _ = scan(text)
        return _expression(tokens, secrets=False)
    tokens, end = scan(text, start + len(OPENING), piece=True)
    if text[end:].strip():
        raise ExpressionProblem(
            "this key takes one expression, no text around it.",
            "Leave the `${{ }}` away.",
            end,
        )
    return _expression(tokens, secrets=False)


def tree_of(text: str) -> Node:
    """The syntax tree of a parsed expression's text. Raises ExpressionProblem for text that was not parsed."""
    return parse(scan(text)[0])


def has_template(value: Json) -> bool:
    """Whether any text in a JSON value opens a piece, keys of maps included."""
    if isinstance(value, str):
        return OPENING in value
    if isinstance(value, dict):
        return any(has_template(key) or has_template(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return any(has_template(item) for item in value)
    return False


def parse_template(value: Json) -> Template:
    """A JSON value whose texts may hold pieces. Raises ExpressionProblem; its `others` tell what else is wrong."""
    reader = _Reader()
    source = reader.read(value, ())
    if reader.problems:
        first, *others = reader.problems
        raise ExpressionProblem(first.message, first.hint, first.offset, first.path, others)
    named = (reference for _, parts in reader.pieces for reference in _references(parts))
    return Template(source, tuple(reader.pieces), tuple(dict.fromkeys(named)))


class _Reader:
    """Walks a value once and gathers its pieces, its problems and its canonical source."""

    def __init__(self) -> None:
        self.pieces: list[tuple[PathParts, tuple[Part, ...]]] = []
        self.problems: list[ExpressionProblem] = []

    def read(self, value: Json, path: PathParts) -> Json:
        if isinstance(value, str):
            return self.text(value, path) if OPENING in value else value
        if not isinstance(value, (dict, list, tuple)):
            return value
        if len(path) >= MAX_DEPTH:
            self.problems.append(
                ExpressionProblem(f"the value is nested more than {MAX_DEPTH} deep.", path=path)
            )
            return None
        if isinstance(value, dict):
            for key in value:
                if isinstance(key, str) and OPENING in key:
                    problem = ExpressionProblem("a key cannot be a template.", "Use a template as its value.")
                    self.problems.append(problem.within((*path, key)))
            return {key: self.read(item, (*path, key)) for key, item in value.items()}
        return [self.read(item, (*path, place)) for place, item in enumerate(value)]

    def text(self, text: str, path: PathParts) -> str:
        try:
            parts = tuple(_parts(text))
        except ExpressionProblem as problem:
            self.problems.append(problem.within(path))
            return text
        self.pieces.append((path, parts))
        return "".join(part if isinstance(part, str) else f"{OPENING} {part.text} }}}}" for part in parts)


def _parts(text: str) -> Iterator[Part]:
    at = 0
    while (opening := text.find(OPENING, at)) >= 0:
        if opening > at:
            yield text[at:opening]
        tokens, at = scan(text, opening + len(OPENING), piece=True)
        yield _expression(tokens, secrets=True)
    if at < len(text):
        yield text[at:]


def _expression(tokens: list[Token], *, secrets: bool) -> Expression:
    tree = parse(tokens)
    named = references(tree, secrets=secrets)
    text = canonical(tokens)
    if len(text.encode()) > MAX_BYTES:  # escapes may be longer than what they stand for
        raise ExpressionProblem(
            f"the expression is longer than {MAX_BYTES} bytes.", "Compute this in a task.", tokens[0].start
        )
    return Expression(text, named, lone(tree, secrets=secrets))


def _references(parts: tuple[Part, ...]) -> Iterator[Reference]:
    """A piece inside text is no whole value, but it is looked up all the same."""
    for part in parts:
        if not isinstance(part, str):
            yield from part.references
