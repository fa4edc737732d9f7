"""Where in the user's code something was written, and which construct of Python stands there."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from types import FrameType

from headrace.engine.core.problems import Place

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep

_shown: dict[str, str] = {}


def show_as(file: str, written: str) -> None:
    """Makes places in `file` (absolute) print the path that the user gave for it."""
    if file != written:
        _shown[file] = written
    else:
        _shown.pop(file, None)


def shown(file: str) -> str:
    """The file as the user wrote its path, if it is known."""
    return _shown.get(file, file)


def _is_foreign(file: str) -> bool:
    """True for this package, the standard library and what is installed: where no user wants to be pointed."""
    return file.startswith((_OWN, _LIBRARY, "<frozen ")) or "site-packages" in file


def user_frame() -> FrameType:
    """The innermost frame that is the user's own code; a library's, if there is none."""
    frame: FrameType | None = sys._getframe(1)
    nearest = None
    while frame is not None:
        file = frame.f_code.co_filename
        if not _is_foreign(file):
            return frame
        if nearest is None and not file.startswith(_OWN):
            nearest = frame
        frame = frame.f_back
    assert nearest is not None  # something called this package
    return nearest


def here() -> Place:
    """The line of the user's code that runs now."""
    frame = user_frame()
    return Place(shown(frame.f_code.co_filename), frame.f_lineno)


def here_exactly() -> Place:
    """As `here`, with the column: slower, so for errors only."""
    frame = user_frame()
    line, _, column, _ = _span(frame)
    file = shown(frame.f_code.co_filename)
    if line is None:
        return Place(file, frame.f_lineno)
    if column is not None:
        text = linecache.getline(frame.f_code.co_filename, line).encode()
        column = len(text[:column].decode(errors="replace")) + 1
    return Place(file, line, column)


Span = tuple[int | None, int | None, int | None, int | None]


def _span(frame: FrameType) -> Span:
    """First line, last line, first column and last column (from 0, in bytes) of what the frame executes."""
    at = frame.f_lasti // 2
    for number, span in enumerate(frame.f_code.co_positions()):
        if number == at:
            return span
    return (frame.f_lineno, None, None, None)


def truth_construct() -> str | None:
    """Why Python asks for a truth value at the user's line.

    One of `if while assert and or not in chain`, "if" for conditional expressions and filters of comprehensions too;
    None when the source cannot tell.
    """
    for node, parent in _around():
        found = _truth(node, parent)
        if found is not None:
            return found
    return None


def _truth(node: ast.AST, parent: ast.AST | None) -> str | None:
    for level in (node, parent):
        match level:
            case ast.BoolOp(op=op):
                return "and" if isinstance(op, ast.And) else "or"
            case ast.UnaryOp(op=ast.Not()):
                return "not"
            case ast.Compare(ops=[ast.In() | ast.NotIn()]):
                return "in"
            case ast.Compare(ops=[_, _, *_]):
                return "chain"
    # Some versions of Python point at the condition, others at the whole construct.
    for level in (node, parent):
        match level:
            case ast.If(test=test) | ast.IfExp(test=test) if test is node or level is node:
                return "if"
            case ast.While(test=test) if test is node or level is node:
                return "while"
            case ast.Assert(test=test) if test is node or level is node:
                return "assert"
            case ast.comprehension(ifs=tests) if node in tests:
                return "if"
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp() if level is node:
                return "if"
    return None


def iteration_construct() -> str | None:
    """Why Python iterates at the user's line: `for`, `unpack`, or None for a call such as list()."""
    for node, parent in _around():
        match node, parent:
            case (ast.Tuple(ctx=ast.Store()) | ast.List(ctx=ast.Store()) | ast.Starred(), _):
                return "unpack"
            case (_, ast.Starred()):
                return "unpack"
            case (ast.Call(args=args), _) if any(isinstance(arg, ast.Starred) for arg in args):
                return "unpack"
            case (ast.For() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp(), _):
                return "for"
            case (_, ast.For(iter=source) | ast.comprehension(iter=source)) if source is node:
                return "for"
    return None


def _around() -> list[tuple[ast.AST, ast.AST | None]]:
    """The nodes that span exactly what runs now, innermost first, each with its parent."""
    frame = user_frame()
    span = _span(frame)
    if None in span:
        return []
    source = "".join(linecache.getlines(frame.f_code.co_filename, frame.f_globals))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    found: list[tuple[ast.AST, ast.AST | None]] = []
    for parent in ast.walk(tree):
        for node in ast.iter_child_nodes(parent):
            place = tuple(
                getattr(node, name, None) for name in ("lineno", "end_lineno", "col_offset", "end_col_offset")
            )
            if place == span:
                found.append((node, parent))
    return found[::-1]
