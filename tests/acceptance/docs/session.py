"""A page's console blocks, typed in a shell one after the other, and their output compared with what the page shows."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from tests.acceptance.docs.pages import ROOT, Block

PATIENCE = 120.0
PATIENCE_TOGETHER = 400.0  # of all commands of a block that share a shell: servers start among them

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
    (re.compile(r"\b127\.0\.0\.1:\d+\b"), "ADDRESS"),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r"^(\S+ alive .* )\d+ TIME$", re.MULTILINE), r"\1HELD TIME"),  # as of the worker's last beat
    # On a busy machine a task takes long enough that its start is told, and how long it took.
    (re.compile(r"^TIME ▶ .* started\n", re.MULTILINE), ""),
    (re.compile(r"^(TIME \S .*?)( SECONDS)$", re.MULTILINE), r"\1"),
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
        note = self.home / ".session"
        script = f"{_spelled_out(command)}\nstatus=$?\n{{ pwd; env -0; }} > {note}\nexit $status"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.cwd,
            env={**self._environment(), "HOME": str(self.home), **self.exported},
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
        return self._shown(done.stdout)

    def together(self, commands: list[str]) -> list[str]:
        """What each of the commands prints, typed in one shell with jobs (`&`, `kill %1`); what they start there ends with it.

        Servers of a lab outlive the shell: they are stopped, and their data removed, when the commands have not done that.
        The home is the user's own, where the lab finds what it once downloaded.
        """
        mark = "\x1e"
        lines = [line for command in commands for line in (command, f"printf '{mark}'")]
        environment = self._environment() | self.exported
        shell = subprocess.Popen(
            ["bash", "-c", "\n".join(lines)],
            cwd=self.cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = shell.communicate(timeout=PATIENCE_TOGETHER)
        finally:
            for process in _of_session(shell.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            shell.wait()
            subprocess.run(
                ["headrace", "lab", "down", "--delete"], cwd=self.cwd, env=environment, timeout=PATIENCE
            )
        return self._shown(said).split(mark)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
        return {**kept, "PATH": path, "PYTHONPATH": "", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}

    def _shown(self, printed: str) -> str:
        return printed.replace(str(self.home), "/home/you")


def _of_session(leader: int) -> Iterator[int]:
    """The processes of a session that still live."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(entry.name)) == leader:
                    yield int(entry.name)


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
