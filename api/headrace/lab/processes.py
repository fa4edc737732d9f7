"""Processes that outlive us: started detached, recognised by id and start time, ended without ever hitting a stranger."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from headrace.lab import launcher
from headrace.lab.errors import LabError

POLL_SECONDS = 0.02
_PROC = Path("/proc")


class Account(NamedTuple):
    """Whom a process runs as; numbers, as the system wants them."""

    user: int
    group: int

    @classmethod
    def of(cls, name: str) -> Account:
        """The account of that name. Raises KeyError when the system has none."""
        entry = pwd.getpwnam(name)
        return cls(entry.pw_uid, entry.pw_gid)

    def arguments(self) -> dict[str, Any]:
        """As subprocess takes it."""
        return {"user": self.user, "group": self.group, "extra_groups": []}


@dataclass(frozen=True, slots=True)
class Process:
    """One process for ever: ids are used again, but not with the same start time since the same boot."""

    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this id now; None when there is none, or only its zombie."""
        born = _born(pid)
        return None if born is None else cls(pid, born)

    @property
    def alive(self) -> bool:
        return _born(self.pid) == self.born

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it still is itself. Raises LabError when it belongs to someone else."""
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return
            except PermissionError:
                raise LabError(
                    f"Process {self.pid} was started by another user.", "Say it as that user, or as root."
                ) from None

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended. Returns whether it has."""
        until = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > until:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def stop(self, number: signal.Signals, patience: float) -> None:
        """Ask it to end, wait that many seconds, then kill it."""
        self.send(number)
        self.send(signal.SIGCONT)  # a stopped process would not hear
        if not self.wait(patience):
            self.kill()

    def kill(self) -> None:
        """End it at once, as a power cut would. Raises LabError when the system does not let go of it."""
        self.send(signal.SIGKILL)
        if not self.wait(10):
            raise LabError(f"Process {self.pid} does not end, not even killed.")


def start(
    command: Sequence[str | Path],
    *,
    folder: Path,
    log: Path,
    environment: Mapping[str, str],
    account: Account | None,
) -> Process:
    """Start a process that nobody waits for; it may have ended already. Its output is appended to `log`.

    Raises LabError when the program cannot be run.
    """
    wanted = {
        "command": [str(word) for word in command],
        "folder": str(folder),
        "log": str(log),
        "environment": dict(environment),
        "account": {} if account is None else account.arguments(),
    }
    done = subprocess.run(
        [sys.executable, "-I", "-S", launcher.__file__],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        raise LabError(f"{done.stderr.strip() or command[0]} cannot be started.")
    pid = int(done.stdout)
    return Process.of(pid) or Process(pid, "ended at once")


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    account: Account | None = None,
    seconds: float = 120,
) -> str:
    """Run a program to its end and return what it wrote. Raises LabError, with that, when it fails."""
    words = [str(word) for word in command]
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            env=dict(environment),
            check=False,
            timeout=seconds,
            **({} if account is None else account.arguments()),
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{Path(words[0]).name} has not ended after {seconds:.0f} seconds.") from None
    except OSError as error:
        raise LabError(f"{words[0]} cannot be run: {error.strerror or error}.") from None
    if done.returncode != 0:
        raise LabError(f"{Path(words[0]).name} failed:\n{done.stdout.strip()}")
    return done.stdout


def environment() -> dict[str, str]:
    """What a server sees of ours: where programs and temporary files are, and nothing else; no secret leaks into it."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _born(pid: int) -> str | None:
    if _PROC.joinpath("self", "stat").exists():
        try:
            stat = _PROC.joinpath(str(pid), "stat").read_text(errors="replace")
        except OSError:
            return None
        fields = stat[stat.rindex(")") + 2 :].split()  # the name before it may hold anything, brackets too
        # Of a program with threads the first may be a zombie while others still hold its sockets open.
        ended = fields[0] in "ZX" and int(fields[17]) <= 1
        return None if ended else f"{_boot()}:{fields[19]}"
    told = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=1)
    return None if len(told) < 2 or told[0].startswith("Z") else told[1].strip()


def _boot() -> str:
    """Start times count from the boot, so they mean nothing after another one."""
    return _PROC.joinpath("sys/kernel/random/boot_id").read_text().strip()
