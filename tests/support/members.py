"""Processes of a deployment: members, which stay, and commands, which end."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.waiting import PATIENCE, eventually

READY = {"engine": "Engine {}, ", "worker": "Worker {}: "}
"""How a member's line begins when it has its place in the cluster."""


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its stdout as the one JSON value it is."""
        assert self.out, self.err
        return json.loads(self.out)


@dataclass
class Member:
    """One `headrace engine` or `headrace worker` process. Its words go to a file."""

    kind: str
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def ready(self) -> Member:
        """Wait until it has its place."""
        mark = READY[self.kind].format(self.name)
        eventually(
            lambda: mark in self.said or not self.lives, lambda: f"{self.name} is not ready: {self.said}"
        )
        assert mark in self.said, f"{self.name} ended with {self.process.returncode}: {self.said}"
        return self

    def says(self, words: str, times: int = 1) -> None:
        """Wait until it has said that so often."""
        eventually(
            lambda: self.said.count(words) >= times, lambda: f"{self.name} did not say {words!r}: {self.said}"
        )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def terminate(self) -> int:
        """SIGTERM; its exit status once it has ended."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def ended(self) -> int:
        """Its exit status, once it has ended by itself."""
        return self.process.wait(PATIENCE)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Inside, it stands still (SIGSTOP)."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)
