"""The installed command, as a user has it: a process of its own in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its stdout as the one JSON value it is."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Terminal:
    """A folder to type commands in; without any setting from outside."""

    folder: Path

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        return {**kept, "PYTHONPATH": "", "COLUMNS": "200", **(extra or {})}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "headrace.cli.main", *words]

    def __call__(
        self, *words: str, env: Mapping[str, str] | None = None, stdin: str = "", timeout: float = 60
    ) -> Done:
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command that goes on while the test does something else."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def headrace(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)
