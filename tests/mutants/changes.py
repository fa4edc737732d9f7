"""Small changes that nobody thought of: every one of a kind, at every place of a module's functions.

The kinds: another comparison, `and` for `or`, a condition turned around, a constant next to it, a statement left out, the other
sign. Annotations, assertions and what raises stay as they are.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

_COMPARED: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}


@dataclass(frozen=True, slots=True)
class Change:
    """Characters `start` to `end` of a module's text become `new`; they stand in `function`, by its qualified name."""

    module: str
    function: str
    line: int
    start: int
    end: int
    new: str

    def told(self, text: str) -> str:
        """The place and what is changed there, on one line."""
        old = " ".join(text[self.start : self.end].split())
        return f"{self.module}:{self.line}: {self.function}: {old!r} → {self.new!r}"

    def code(self, text: str, path: Path) -> CodeType:
        """The changed function, compiled. `text` and `path`: of the module."""
        changed = text[: self.start] + self.new + text[self.end :]
        whole = compile(changed, path, "exec")
        return max(_compiled(whole, self.function, self.line), key=lambda code: code.co_firstlineno)


def changes(module: str, text: str) -> list[Change]:
    """Every change of the text, in the order of its lines."""
    spans = _Spans(text)
    found = [
        Change(module, name, node.lineno, *replaced)
        for name, function in _functions(ast.parse(text).body)
        for statement in function.body
        for node in _executed(statement)
        if isinstance(node, ast.expr | ast.stmt)
        for replaced in _replaced(node, spans)
    ]
    return sorted(found, key=lambda change: (change.line, change.start, change.end))


class _Spans:
    """Where the nodes of a text stand in it, in characters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._data = text.encode()
        self._lines = [0]
        for line in self._data.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def of(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def between(self, left: ast.expr, right: ast.expr, sign: str) -> tuple[int, int] | None:
        """Of the only `sign` between two nodes."""
        start, end = self.of(left)[1], self.of(right)[0]
        if self.text.count(sign, start, end) != 1:
            return None
        place = self.text.index(sign, start, end)
        return place, place + len(sign)

    def _at(self, line: int, column: int) -> int:
        return len(self._data[: self._lines[line - 1] + column].decode())


def _replaced(node: ast.expr | ast.stmt, spans: _Spans) -> Iterator[tuple[int, int, str]]:
    """Spans of one node, and what each becomes."""
    start, end = spans.of(node)
    match node:
        case ast.Compare(left=left, ops=[sign], comparators=[right]):
            old, new = _COMPARED[type(sign)]
            place = spans.between(left, right, old)
            if place is not None:
                yield *place, new
        case ast.BoolOp(op=op, values=[first, second, *_]):
            old, new = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
            place = spans.between(first, second, old)
            if place is not None:
                yield *place, new
        case ast.UnaryOp(op=ast.Not()):
            yield start, start + len("not"), ""
        case ast.Constant(value=bool() as value):
            yield start, end, str(not value)
        case ast.Constant(value=int() as number):
            yield start, end, str(number + 1)
        case ast.If(test=test) | ast.While(test=test):
            first_of, last_of = spans.of(test)
            yield first_of, last_of, f"not ({spans.text[first_of:last_of]})"
        case ast.AugAssign(op=op, target=target, value=value):
            yield start, end, "pass"
            if isinstance(op, ast.Add | ast.Sub):
                sign_of = " -= " if isinstance(op, ast.Add) else " += "
                yield spans.of(target)[1], spans.of(value)[0], sign_of
        case ast.Expr(value=ast.Call()) | ast.Continue():
            yield start, end, "pass"
        case ast.Break():
            yield start, end, "continue"


def _functions(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions of a module and the methods of its classes, by their qualified names."""
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield from _functions(statement.body, f"{within}{statement.name}.")
        elif isinstance(statement, ast.FunctionDef):
            yield within + statement.name, statement


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but annotations, assertions and what raises."""
    if isinstance(node, ast.Assert | ast.Raise):
        return
    yield node
    for name, field in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST):
                yield from _executed(child)


def _compiled(code: CodeType, function: str, line: int) -> Iterator[CodeType]:
    """The code of the functions of that name which begin at that line or before it."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_qualname == function and constant.co_firstlineno <= line:
                yield constant
            elif function.startswith(f"{constant.co_qualname}."):
                yield from _compiled(constant, function, line)
