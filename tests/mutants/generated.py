"""Mutants that nobody thought of: every small change of a kind, at every place of a module; a sample of them is tried.

    python -m tests.mutants.generated --count 200 --seed 6 MODULE ...

The kinds: another comparison, `and` for `or`, a condition turned around, a constant next to it, a statement left out, the other
sign. Each trial is a fork of one process that has imported everything but what may be changed, so it costs the tests alone:
first the unit tests of the machine, and, for what survives them, the properties. docs/design/mutation.md has what it found.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep

from tests.mutants.mutant import MACHINE, ROOT
from tests.mutants.trial import PARTS, bench

FIRST = ("tests/unit/core/machine",)
SECOND = ("tests/properties/test_machine_found.py", "tests/properties/test_machine.py")
PATIENCE = 90
"""Seconds for one trial of one of the two; who hangs is caught."""

MODULES = (
    "attempts",
    "branching",
    "control",
    "ending",
    "judging",
    "line",
    "machine",
    "maps",
    "readiness",
    "reruns",
    "restoring",
    "rule_expressions",
    "tallies",
)
"""Those of core/machine that decide."""

_PYTEST = ("-x", "-q", "--no-header", "--tb=no", "-W", "ignore::pytest.PytestAssertRewriteWarning")

_COMPARED: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}


@dataclass(frozen=True, slots=True)
class Change:
    """Characters `start` to `end` of a module's text become `new`."""

    module: str
    line: int
    start: int
    end: int
    new: str

    def told(self, text: str) -> str:
        return f"{self.module}:{self.line}: {text[self.start : self.end]!r} → {self.new!r}"


def changes(module: str, text: str) -> Iterator[Change]:
    """Every change of the text, each of which can be read."""
    lines = [0]
    for line in text.encode().splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    data = text.encode()

    def at(line: int, column: int) -> int:
        return len(data[: lines[line - 1] + column].decode())

    def change(node: ast.expr | ast.stmt, start: int, end: int, new: str) -> Change:
        return Change(module, node.lineno, start, end, new)

    def span(node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)

    for node in _executed(ast.parse(text)):
        match node:
            case ast.Compare(left=left, ops=[sign], comparators=[right]):
                start, end = span(left)[1], span(right)[0]
                between = text[start:end]
                old = _SIGNS[type(sign)]
                if between.count(old) == 1:
                    place = start + between.index(old)
                    yield change(node, place, place + len(old), _COMPARED[type(sign)])
            case ast.BoolOp(op=op, values=[first, second, *_]):
                start, end = span(first)[1], span(second)[0]
                old, new = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
                if text[start:end].count(old) == 1:
                    place = start + text[start:end].index(old)
                    yield change(node, place, place + len(old), new)
            case ast.UnaryOp(op=ast.Not()):
                start = span(node)[0]
                yield change(node, start, start + len("not"), "")
            case ast.Constant(value=bool() as value):
                yield change(node, *span(node), str(not value))
            case ast.Constant(value=int() as number):
                yield change(node, *span(node), str(number + 1))
            case ast.AugAssign(op=ast.Add() | ast.Sub() as op, target=target, value=value):
                start, end = span(target)[1], span(value)[0]
                yield change(node, start, end, " -= " if isinstance(op, ast.Add) else " += ")
            case ast.If(test=test) | ast.While(test=test):
                yield change(node, *span(test), f"not ({text[slice(*span(test))]})")
            case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Continue():
                yield change(node, *span(node), "pass")
            case ast.Break():
                yield change(node, *span(node), "continue")


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but annotations, assertions and what raises."""
    yield node
    for name, field in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.Assert | ast.Raise):
                yield from _executed(child)


def sample(modules: Sequence[str], count: int, seed: int) -> list[Change]:
    """So many changes, in no order, so that a run that is cut short has seen all modules."""
    found = [
        change
        for module in modules
        for change in changes(module, (ROOT / MACHINE / f"{module}.py").read_text(encoding="utf-8"))
    ]
    return random.Random(seed).sample(found, min(count, len(found)))


def survives(tests: Sequence[str]) -> bool:
    """Whether the tests pass, in a fork that ends with them."""
    child = os.fork()
    if not child:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        code = 70
        try:
            code = int(import_module("pytest").main([*_PYTEST, *tests]))
        finally:
            os._exit(code)
    ends = monotonic() + PATIENCE
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        if monotonic() > ends:  # a property that fails looks for a smaller example for long
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        sleep(0.05)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants.generated", description="A sample of small changes."
    )
    parser.add_argument("modules", nargs="*", default=MODULES, metavar="MODULE", help="of core/machine")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--flights", help="of each property; fewer than the tests make, for a first look")
    asked = parser.parse_args(arguments)
    if asked.flights is not None:
        os.environ["HEADRACE_FLIGHTS"] = asked.flights
    chosen = sample(asked.modules, asked.count, asked.seed)
    left = []
    with bench() as at:
        os.chdir(at.root)
        sys.path[:0] = [str(at.root), *(str(at.root / part) for part in PARTS)]
        # what no change touches is imported once, for all forks
        for name in ("pytest", "hypothesis.strategies", "networkx", "msgspec"):
            import_module(name)
        if not (survives(FIRST) and survives(SECOND)):
            print("The tests fail although nothing is wrong.")
            return 1
        began = monotonic()
        for number, change in enumerate(chosen, 1):
            path = Path(at.root, MACHINE, f"{change.module}.py")
            text = path.read_text(encoding="utf-8")
            path.write_text(text[: change.start] + change.new + text[change.end :], encoding="utf-8")
            os.utime(path, (number, number))
            verdict = "caught"
            if survives(FIRST):
                verdict = "caught by properties"
                if survives(SECOND):
                    verdict = "SURVIVED"
                    left.append(change)
            path.write_text(text, encoding="utf-8")
            print(f"{number:4} {monotonic() - began:6.0f} s  {verdict:20} {change.told(text)}", flush=True)
    print(f"{len(chosen) - len(left)} of {len(chosen)} caught")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
