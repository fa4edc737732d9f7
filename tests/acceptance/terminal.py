"""The command as a user has it: a process of its own in a folder of its own, with a second terminal beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.support import waiting, warm
from tests.support.waiting import PATIENCE, alive

MEASURE = """\
import json, resource, subprocess, sys, time
began = time.monotonic()
status = subprocess.run(sys.argv[2:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
peak = used.ru_maxrss * 1024
with open(sys.argv[1], "w") as file:
    json.dump([time.monotonic() - began, used.ru_utime + used.ru_stime, peak], file)
sys.exit(status)
"""
"""Runs a command from a small process: a child counts the pages of whoever started it as its own."""


@dataclass(frozen=True)
class Done:
    """How a command ended. Of measured ones are known: `seconds`, by the clock; `worked`, seconds of a processor, which others on
    the machine do not lengthen; `peak`, bytes resident at most."""

    status: int
    out: str
    err: str
    seconds: float = 0.0
    worked: float = 0.0
    peak: int = 0

    @property
    def document(self) -> Any:
        """Its stdout as the one JSON value it is."""
        return json.loads(self.out)

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Of `run --json`: the task runs by their written names."""
        return {named(task): task for task in self.document["tasks"]}

    @property
    def states(self) -> dict[str, str]:
        """Of `run --json`: the state of each task run by its written name."""
        return {name: task["state"] for name, task in self.tasks.items()}


def named(task: Mapping[str, Any]) -> str:
    """A task run's written name: `price[7]`."""
    path = ",".join(map(str, task["map_path"]))
    return f"{task['id']}[{path}]" if path else str(task["id"])


def refused(done: Done, *said: str, status: int = 2) -> None:
    """Assert that the command was refused the way a person deserves: one message with all of `said` on stderr, nothing on
    stdout, no stack trace."""
    assert done.status == status, done.out + done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    for words in said:
        assert words in done.err, done.err


class Live:
    """A command that goes on while the test does something else: `run --json --watch` and its events."""

    def __init__(self, process: subprocess.Popen[str], err: IO[str]) -> None:
        self.process = process
        self._err = err
        self.seen: list[dict[str, Any]] = []

    @property
    def err(self) -> str:
        self._err.seek(0)
        return self._err.read()

    def events(self) -> Iterator[dict[str, Any]]:
        """What comes from now on, until the command ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(json.loads(line))
            yield self.seen[-1]

    def until(self, task: str | None, after: str, attempt: int | None = None) -> dict[str, Any]:
        """Read events up to the one that tells this."""
        for event in self.events():
            if event["task"] == task and event["after"] == after and attempt in (None, event["attempt"]):
                return event
        raise AssertionError(f"{task} was never {after}: {self.seen} {self.err}")

    def rest(self) -> list[dict[str, Any]]:
        """Every event, those already read included, once the command has ended."""
        for _ in self.events():
            pass
        self.process.wait(PATIENCE)
        return self.seen

    @property
    def status(self) -> int:
        self.rest()
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """As `kill -9`, or a power cut: the process has no say."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)


@dataclass(frozen=True)
class Terminal:
    """A folder to type commands in; without any setting from outside. Home is `.headrace` in it.

    `cold` ones start each command as a user does, imports and all; the others spare that time.
    """

    folder: Path
    cold: bool = False

    @property
    def home(self) -> Path:
        return self.folder / ".headrace"

    @property
    def database(self) -> Path:
        return self.home / "headrace.db"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        return {**kept, "PYTHONPATH": "", "COLUMNS": "200", **(extra or {})}

    @property
    def _popen(self) -> type[subprocess.Popen[str]]:
        return subprocess.Popen if self.cold else warm.Popen

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "headrace.cli.main", *words]

    def __call__(
        self,
        *words: str,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes = "",
        timeout: float = PATIENCE,
    ) -> Done:
        run = subprocess.run if self.cold else warm.run
        done = run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(env),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def measured(self, *words: str, stdin: Path | None = None, timeout: float = PATIENCE) -> Done:
        """The same, always cold, with how long it took and how much memory it had at most."""
        note = self.folder / "measured"
        with (stdin or Path(os.devnull)).open("rb") as given:
            done = subprocess.run(
                [sys.executable, "-c", MEASURE, str(note), *self.command(*words)],
                cwd=self.folder,
                env=self.environment(),
                stdin=given,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        seconds, worked, peak = json.loads(note.read_text())
        note.unlink()
        return Done(done.returncode, done.stdout, done.stderr, seconds, worked, peak)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command that goes on while the test does something else; its output is in pipes."""
        return self._popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def started(self, *words: str, env: Mapping[str, str] | None = None) -> Iterator[Live]:
        """A command in the background; ended with the block."""
        with (
            tempfile.TemporaryFile("w+") as err,
            self._popen(
                self.command(*words),
                cwd=self.folder,
                env=self.environment(env),
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            ) as process,
        ):
            try:
                yield Live(process, err)
            finally:
                process.kill()

    def watching(self, file: str, *words: str) -> Any:
        """`run FILE --json --watch` in the background."""
        return self.started("run", file, "--json", "--watch", *words)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def runs(self) -> list[dict[str, Any]]:
        """What `runs list` knows, newest first; nothing when there is no home yet."""
        if not self.database.exists():
            return []
        items: list[dict[str, Any]] = self("runs", "list", "--json").document["items"]
        return items

    def last(self) -> Done:
        """`runs show last`."""
        return self("runs", "show", "last", "--json")


def appears(path: Path, live: Live | None = None) -> None:
    """Until the file is there: a task says in this way that it has come so far."""
    waiting.appears(path, lambda: live.err if live else "")


def eventually(holds: Callable[[], object], otherwise: str, live: Live | None = None) -> None:
    """Look until it holds."""
    waiting.eventually(holds, lambda: otherwise + (live.err if live else ""))


def processes_with(mark: str) -> list[int]:
    """The processes whose environment holds `mark`, as /proc tells: children of tasks inherit it, whoever their parent is."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if mark.encode() in environment and alive(int(entry.name)):
                found.append(int(entry.name))
    return found
