"""One mutant: a small textual patch, the test that must catch it, and why it matters."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE = "engine/headrace/engine/core"
MACHINE = f"{CORE}/machine"
SHELL = "engine/headrace/engine/shell"
STORE = "engine/headrace/engine/store"
BROKER = "engine/headrace/engine/broker"
RUNNERS = "runners/headrace/runners"


class Rotten(Exception):
    """A mutant that does not fit the code any more; the text says how."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` stands exactly once in `file`, a path below the root; `new` takes its place. `test`: the pytest id of the test
    that then fails. `why`: what would become of a run, in a sentence."""

    name: str
    file: str
    old: str
    new: str
    test: str
    why: str

    def applied(self, root: Path = ROOT) -> str:
        """The text of the file with the fault in it. Raises Rotten."""
        text = (root / self.file).read_text(encoding="utf-8")
        found = text.count(self.old)
        if found != 1:
            raise Rotten(f"{self.name}: {self.file} holds the old text {found} times, not once")
        mutated = text.replace(self.old, self.new)
        if mutated == text:
            raise Rotten(f"{self.name}: nothing is changed")
        try:
            ast.parse(mutated)
        except SyntaxError as wrong:
            raise Rotten(f"{self.name}: the changed text cannot be read: {wrong}") from None
        return mutated

    def check_test(self, root: Path = ROOT) -> None:
        """Whether the named test is there, without importing it. Raises Rotten."""
        file, *names = self.test.partition("[")[0].split("::")
        path = root / file
        if not path.is_file():
            raise Rotten(f"{self.name}: there is no {file}")
        within: list[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
        for name in names:
            found = [
                each
                for each in within
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and each.name == name
            ]
            if not found:
                raise Rotten(f"{self.name}: {file} has no {'::'.join(names)}")
            within = found[-1].body
        if not names or not names[-1].startswith("test_"):
            raise Rotten(f"{self.name}: {self.test} names no test")
