"""`kill -9` in the middle of every example, then `headrace run --resume`: it ends as if nothing had happened.

What had succeeded when the process died does not run again. What was under way may: its report was lost with the
process. HEADRACE_TEST_KILLS says at how many moments each example is killed; ten are the full measure.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections import Counter
from pathlib import Path
from zlib import crc32

import pytest

from tests.acceptance.examples.cases import CASES, WORKFLOWS, Case, Ended, Services, archived
from tests.acceptance.examples.command import Home

KILLS = int(os.environ.get("HEADRACE_TEST_KILLS", "1"))

SHELL_JOURNAL = """\
printf '["%s", "%s", "%s"]\\n' "$HEADRACE_RUN" "$HEADRACE_TASK" "$HEADRACE_MAP_PATH" >> "$EXAMPLE_JOURNAL"
unset BASH_ENV
"""


class Journal:
    """A copy of an example whose tasks note that they start: the functions, and, by BASH_ENV, the shell's programs."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "journal.jsonl"
        self.below = folder / "workflows"
        self._shell = folder / "journal.sh"
        self._shell.parent.mkdir(parents=True, exist_ok=True)
        self._shell.write_text(SHELL_JOURNAL)

    def environment(self) -> dict[str, str]:
        return {"EXAMPLE_JOURNAL": str(self.file), "BASH_ENV": str(self._shell)}

    def copy(self, example: str) -> None:
        target = self.below / example
        ignored = shutil.ignore_patterns("__pycache__", "reports", "results", "clips", "shop", "catalogue")
        shutil.copytree(WORKFLOWS / example, target, ignore=ignored)
        shutil.copy(Path(__file__).with_name("journal.py"), target)
        text = "".join(file.read_text() for file in target.glob("*.yaml"))
        named = sorted(set(re.findall(r"python: (\w+):(\w+)", text)))
        for module in {module for module, _ in named}:
            functions = [function for owner, function in named if owner == module]
            with (target / f"{module}.py").open("a") as stream:
                stream.write(f"\nimport journal\n\njournal.keep(globals(), {functions!r})\n")

    def starts(self) -> Counter[tuple[str, ...]]:
        """How often each task run was started: by run, task and map path."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return Counter(tuple(json.loads(line)) for line in lines)


def _key(run: str, task: dict[str, object]) -> tuple[str, ...]:
    path = task["map_path"]
    assert isinstance(path, list)
    return run, str(task["id"]), ",".join(map(str, path))


@pytest.mark.parametrize("moment", range(KILLS))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_killed_and_resumed(case: Case, moment: int, tmp_path: Path, services: Services) -> None:
    services.catalogue.retry_after = 0
    journal = Journal(tmp_path / "copy")
    journal.copy(case.folder)
    home = Home(tmp_path / "home", extra=journal.environment())
    out = tmp_path / "out"
    spelling = ("yaml", "python")[moment % 2]
    chance = random.Random(crc32(case.name.encode()) + moment)

    words = [*case.words(spelling, out, services, journal.below), "--json", "--watch"]
    killed = home.kill_after(chance.randint(1, case.events), words)
    assert home.left_alive() == set()
    before, starts = home.runs(), journal.starts()

    resumed = home("run", "--resume", "--json")
    after = home.runs()
    assert {run["state"] for run in after.values()} <= {"succeeded", "failed"}, resumed.err
    [run] = [run for run in after.values() if run["trigger"]["kind"] == "manual"]
    assert run["state"] == case.state, resumed.err
    if killed and before[run["run"]]["state"] == "running":
        assert resumed.status == (0 if case.state == "succeeded" else 1), resumed.err
    case.check(Ended(run, out, services))
    if case.name == "month_end":
        assert archived(out) == ["all.csv", "basel.csv", "graz.csv", "turin.csv"]

    succeeded = {
        _key(name, task): task
        for name, run in before.items()
        for task in run["tasks"]
        if task["state"] == "succeeded"
    }
    everything = journal.starts()
    again = everything - starts
    assert not [key for key in again if key in succeeded]
    for name, run in after.items():
        for task in run["tasks"]:
            known = succeeded.get(_key(name, task))
            assert known is None or known == task
            if task["kind"] in ("python", "shell") and task["state"] == "succeeded" and task["attempts"]:
                assert _key(name, task) in everything  # or the journal would prove nothing
    assert home.differences() == []
    assert home.left_alive() == set()
