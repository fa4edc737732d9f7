"""The `headrace` command in a process of its own, and what it says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.cli.documents import run_document
from headrace.cli.local import seen
from headrace.engine.expressions import CelEvaluator
from headrace.engine.shell.replay import replay
from headrace.engine.shell.views import run_view
from headrace.engine.store import open_store
from tests.support import warm
from tests.support.waiting import gone

GONE_WITHIN = 10.0
"""Seconds in which the processes of a killed engine must have ended."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its output as the one JSON value that it is."""
        assert self.out, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class Home:
    """A home folder, beside which commands are typed.

    Every process that starts here carries the folder's name in its environment, and so does whatever it starts.
    """

    folder: Path
    database: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Of its store."""
        return self.database or f"sqlite:///{self.folder / 'headrace.db'}"

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        mine = {"HEADRACE_HOME": str(self.folder), "EXAMPLE_OF": str(self.folder), "PYTHONPATH": ""}
        if self.database is not None:
            mine["HEADRACE_DATABASE_URL"] = self.database
        return {**kept, **mine, **self.extra}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "headrace.cli.main", *words]

    def __call__(self, *words: str, timeout: float = 60) -> Done:
        """Type a command and wait for its end."""
        done = warm.run(
            self.command(*words),
            cwd=self.folder.parent,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def kill_after(self, events: int, words: Sequence[str]) -> bool:
        """Start a command that prints an event a line, and kill it with SIGKILL after so many; False if it had ended."""
        with warm.Popen(
            self.command(*words),
            cwd=self.folder.parent,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            for _ in range(events):
                if not process.stdout.readline():
                    break
            process.send_signal(signal.SIGKILL)
        return process.returncode == -signal.SIGKILL

    def runs(self) -> dict[str, Any]:
        """Every run of the home, whole, by id: what `runs show --json` prints, without a process for each."""

        async def read() -> dict[str, Any]:
            store = await open_store(self.url)
            try:
                rows = await store.list_runs("default", limit=500)
                return {row.id: run_document(seen(await run_view(store, row.no))) for row in rows}
            finally:
                await store.close()

        return asyncio.run(read())

    def differences(self) -> list[str]:
        """What is decided otherwise when the history of every run is decided again."""

        async def decide_again() -> list[str]:
            store = await open_store(self.url)
            try:
                rows = await store.list_runs("default", limit=500)
                found = [await replay(store, CelEvaluator(), row.no) for row in rows]
                return [line for lines in found for line in lines]
            finally:
                await store.close()

        return asyncio.run(decide_again())

    def processes(self) -> set[int]:
        """Live processes that were started from here, directly or not; those that only wait to be reaped apart."""
        mark = f"EXAMPLE_OF={self.folder}".encode()
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.add(int(entry.name))
                except OSError:  # it ended while we looked, or is not ours to look at
                    continue
        return found

    def left_alive(self) -> set[int]:
        """What is still there once everything had the time to end."""
        end = time.monotonic() + GONE_WITHIN
        while (alive := self.processes()) and time.monotonic() < end:
            gone(
                *alive, within=end - time.monotonic()
            )  # one that was being started then is met in the next round
        return alive
