"""What a worker is called, and the folder that is its alone: both are the same after a restart."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MOST_IN_ONE_HOME = 1000


class NameTaken(Exception):
    """Another worker that lives has this name."""


class Identity:
    """A worker's id and state folder, held by a lock until `release` or the end of the process."""

    def __init__(self, id: str, folder: Path, lock: IO[str]) -> None:
        self.id = id
        self.folder = folder
        self._lock = lock

    def release(self) -> None:
        self._lock.close()


def claim(home: Path, wanted: str | None = None) -> Identity:
    """The worker named `wanted`, or the first one of this host and home that is not alive.

    Raises:
        NameTaken: `wanted` is alive.
        ValueError: `wanted` is no name.
        OSError: the home cannot be written.
    """
    below = home / "worker"
    below.mkdir(parents=True, exist_ok=True)
    if wanted is not None:
        if NAME.fullmatch(wanted) is None:
            raise ValueError(f"{wanted!r} is no name: letters, digits, dots, _ and -, at most 100.")
        taken = _lock(below / wanted)
        if taken is None:
            raise NameTaken(f"A worker {wanted} lives in {home}.")
        return Identity(wanted, below / wanted, taken)
    for name in _names(below):
        taken = _lock(below / name)
        if taken is not None:
            return Identity(name, below / name, taken)
    raise NameTaken(f"{MOST_IN_ONE_HOME} workers live in {home}.")


def _names(below: Path) -> Iterator[str]:
    """Of this host, for this home: two homes on one host, or one image on two hosts, do not meet."""
    host = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname().partition(".")[0]).strip("-")[:60] or "worker"
    note = below / f"{host}.name"
    if not note.exists():
        made = below / f"{host}.{os.getpid()}"
        made.write_text(f"{host}-{secrets.token_hex(3)}", encoding="ascii")
        with suppress(FileExistsError):
            os.link(made, note)  # whole or not at all, and only once
        made.unlink()
    name = note.read_text(encoding="ascii")
    yield name
    for number in count(2):
        if number > MOST_IN_ONE_HOME:
            return
        yield f"{name}.{number}"


def _lock(folder: Path) -> IO[str] | None:
    folder.mkdir(exist_ok=True)
    file = open(folder / "lock", "a", encoding="ascii")  # noqa: SIM115 - held as long as the worker lives
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        file.close()
        raise
    os.set_inheritable(file.fileno(), False)
    return file
