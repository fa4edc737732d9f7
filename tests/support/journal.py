"""Functions that tasks of a deployment call, and what they write down of it: what really was done, whatever the cluster says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

BODIES = '''"""Task bodies. Each start is written down before anything else is done: one JSON line, appended whole."""
import json
import os
import time

from headrace.dsl import current


def _note(mark=None):
    here = current()
    line = json.dumps([here.run, here.task, list(here.map_path or ()), here.attempt, os.getpid(), mark])
    file = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(file, line.encode() + b"\\n")
    os.close(file)


def note(value=None):
    _note(value)
    return value


def until(path):
    """Goes on when the file is there."""
    _note()
    while not os.path.exists(path):
        time.sleep(0.01)
    return "done"


def first_until(path):
    """The first attempt goes on when the file is there, the others at once."""
    _note()
    if current().attempt == 1:
        while not os.path.exists(path):
            time.sleep(0.01)
    return current().attempt


def nap(seconds):
    _note()
    time.sleep(seconds)


def fail(path):
    """Fails until the file is there."""
    _note()
    if not os.path.exists(path):
        raise RuntimeError("not yet")
    return "at last"
'''


class Start(NamedTuple):
    """One line of the journal: a task's function was called."""

    run: str
    task: str
    path: tuple[int, ...]
    attempt: int
    pid: int
    mark: Any

    @property
    def of(self) -> tuple[str, str, tuple[int, ...]]:
        """The task run."""
        return self.run, self.task, self.path


def starts_in(journal: Path) -> list[Start]:
    """Every call that is written there, in order."""
    if not journal.exists():
        return []
    lines = map(json.loads, journal.read_text().splitlines())
    return [Start(run, task, tuple(path), *rest) for run, task, path, *rest in lines]
