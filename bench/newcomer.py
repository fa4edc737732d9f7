"""What a newcomer waits for: python -m bench.newcomer [--quick]

`headrace --help`, `validate` and `run` of a two-task workflow, each started as a process of its own, beside the start of a Python
that imports networkx and SQLAlchemy. They take turns; the medians of the ratios are printed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.say import say

WORKFLOW = """\
workflow: two
tasks:
  first: {shell: "true"}
  second: {shell: "true", depends_on: first}
"""
BESIDE = (sys.executable, "-c", "import networkx, sqlalchemy.ext.asyncio")
HEADRACE = (str(Path(sys.executable).with_name("headrace")),)
COMMANDS = {
    "--help": (*HEADRACE, "--help"),
    "validate": (*HEADRACE, "validate", "two.yaml"),
    "run": (*HEADRACE, "run", "two.yaml"),
}


def main(arguments: list[str]) -> None:
    repeats = 3 if "--quick" in arguments else 11
    # as an installation has it: compiled modules are kept
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "two.yaml").write_text(WORKFLOW)
        for command in (BESIDE, *COMMANDS.values()):
            _seconds(command, folder, environment)
        for name, command in COMMANDS.items():
            taken = []
            for _ in range(repeats):
                beside = _seconds(BESIDE, folder, environment)
                taken.append((_seconds(command, folder, environment), beside))
            say(
                measure="newcomer",
                command=name,
                seconds=statistics.median(ours for ours, _ in taken),
                beside=statistics.median(beside for _, beside in taken),
                ratio=statistics.median(ours / beside for ours, beside in taken),
            )


def _seconds(command: tuple[str, ...], folder: str, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(sys.argv[1:])
