"""A page's console blocks, typed in a shell one after the other, and their output compared with what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from tests.acceptance.docs.pages import ROOT, Block

PATIENCE = 120.0

# What differs from run to run, and what stands for it on both sides of the comparison.
_CHANGES = (
    (re.compile(r"^bash: line \d+: +\d+ Killed .*\n", re.MULTILINE), ""),  # a shell's remark about its job
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}(-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?\b"), "RUN"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "HASH"),
    (re.compile(r"(?<![\w.])\d+(\.\d+)?(ms|s)\b"), "SECONDS"),
    (re.compile(r'("\w+_seconds": ?)[\d.]+'), r"\1SECONDS"),
    (re.compile(r"\b\d+ batch(es)?\b"), "BATCHES"),
    (re.compile(r"[ \t]+"), " "),
)


_ITEM = re.compile(r"TIME \S [\w.]+\[[\d,]+\] ")


def comparable(text: str, *, unordered: bool = False) -> list[str]:
    """The lines with everything that differs from run to run replaced; items of a map end in any order."""
    for pattern, name in _CHANGES:
        text = pattern.sub(name, text)
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    if unordered:
        return sorted(lines)
    ordered: list[str] = []
    for items, together in groupby(lines, key=lambda line: bool(_ITEM.match(line))):
        found = list(together)
        ordered += sorted(found) if items else found
    return ordered


def same(shown: str, printed: str) -> bool:
    """Whether two lines agree; a `,…` within the line of a page stands for the rest but its last character."""
    head, cut, tail = shown.partition(",…")
    return printed.startswith(head) and printed.endswith(tail) if cut else shown == printed


def agree(shown: list[str], printed: list[str]) -> bool:
    """Whether a page shows what was printed; a line of the page that is `…` stands for any number of lines."""
    if "…" not in shown:
        return len(shown) == len(printed) and all(map(same, shown, printed))
    cut = shown.index("…")
    if len(printed) < cut or not all(map(same, shown[:cut], printed)):
        return False
    return any(agree(shown[cut + 1 :], printed[start:]) for start in range(cut, len(printed) + 1))


def steps(block: Block) -> list[tuple[str, str]]:
    """The commands of a console block and what stands below each."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and not found[-1][1] and found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        else:
            assert found, f"{block.name}: output before any command"
            found[-1][1].append(line)
    return [(command, "\n".join(lines)) for command, lines in found]


@dataclass
class Session:
    """A shell in a folder that is its user's home. Where `cd` leads and what is exported lasts."""

    home: Path
    cwd: Path = field(init=False)
    exported: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cwd = self.home

    def __call__(self, command: str) -> str:
        """What a command prints to stdout and stderr. The page says what its status is, if it is of interest."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
        environment = {
            **kept,
            "PATH": path,
            "PYTHONPATH": "",
            "COLUMNS": "200",
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self.home),
        }
        note = self.home / ".session"
        script = f"{_spelled_out(command)}\nstatus=$?\n{{ pwd; env -0; }} > {note}\nexit $status"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.cwd,
            env={**environment, **self.exported},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        where, _, settings = note.read_text().partition("\n")
        note.unlink()
        self.cwd = Path(where)
        self.exported = dict(
            each.split("=", 1) for each in settings.split("\0") if each.startswith("HEADRACE_")
        )
        return done.stdout.replace(str(self.home), "/home/you")


def _spelled_out(command: str) -> str:
    """`make TARGET` as the Makefile's recipe, run with the environment that is there already."""
    if not command.startswith("make "):
        return command
    target = command.removeprefix("make ")
    recipe = re.search(
        rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert recipe, f"the Makefile has no {target}"
    return recipe[1].replace("\t@", "").replace("$(BIN)/", "")
