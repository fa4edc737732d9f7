"""What must be true of a SQLite file before it is trusted: where it lies, that it is still there, and who owns it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from pathlib import Path

from headrace.engine.ports.store import StoreLost, StoreUnavailable

NETWORKED = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "gpfs",
        "beegfs",
        "orangefs",
        "davfs",
        "ocfs2",
        "gfs2",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.gcsfuse",
        "fuse.davfs2",
        "fuse.nfs",
    ]
)
"""File systems whose locks or shared memory do not reach, or do not hold, between machines."""

_ESCAPES = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}
CLAIM_SECONDS = 0.25  # others may hold the lock for an instant, to see whether it is free


def file_system(mounts: str, path: str) -> str | None:
    """The type of the file system that holds the absolute `path`, by a mount table as in /proc/mounts."""
    best, kind = -1, None
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1]
        for escape, character in _ESCAPES.items():
            point = point.replace(escape, character)
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # of two on one point, the later one is on top
            best, kind = len(point), fields[2]
    return kind


def network(path: Path, table: Path = Path("/proc/mounts")) -> str | None:
    """The kind of the network file system that the file lies on. None: on none, or no table tells."""
    try:
        mounts = table.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    kind = file_system(mounts, str(path.resolve()))
    return kind if kind in NETWORKED else None


def refuse_network(path: Path, table: Path = Path("/proc/mounts")) -> None:
    """Raise StoreUnavailable when the file would lie on a network file system. Says nothing where no table is."""
    kind = network(path, table)
    if kind is not None:
        raise StoreUnavailable(
            f"The database {path} lies on a network file system ({kind}), where SQLite's locks cannot be relied on. "
            "Put it on a local disk (HEADRACE_HOME, HEADRACE_DATABASE_URL) or use PostgreSQL."
        )


class Identity:
    """The files that were opened. Deleting or replacing one below a running process would lose writes in silence."""

    def __init__(self, path: Path) -> None:
        self._files = tuple((name, _inode(name)) for name in (str(path), f"{path}-wal"))

    def check(self) -> None:
        """Raise StoreLost when a file is no longer the one that was opened."""
        for name, inode in self._files:
            if (
                inode is not None and _inode(name) != inode
            ):  # a WAL that was not there yet is made when first used
                raise StoreLost(
                    f"{name} was deleted or replaced while it was in use; nothing more is written. Stop every process "
                    "that uses the database, put the file back (or restore a copy of the database), and start again."
                )


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class OwnerLock:
    """The lock of the one process that runs the engine: on a file beside the database, freed by the kernel at its death."""

    def __init__(self, database: Path) -> None:
        self._path = Path(f"{database}.lock")
        self._database = database
        self._held: int | None = None
        self._turn = threading.Lock()

    @property
    def held(self) -> bool:
        return self._held is not None

    def acquire(self) -> None:
        """Take the lock. Raises StoreUnavailable naming the process that holds it."""
        with self._turn:
            if self._held is None:
                self._held = self._acquired()

    def _acquired(self) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + CLAIM_SECONDS
        while not _lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(descriptor)
                raise StoreUnavailable(
                    f"The database {self._database} is in use by another engine (process {holder}). End that process, "
                    "or give this one another HEADRACE_HOME; several engines at once need PostgreSQL."
                )
            time.sleep(0.01)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def release(self) -> None:
        with self._turn:
            if self._held is not None:
                os.close(self._held)
                self._held = None

    def taken(self) -> bool:
        """Whether anyone holds it, this process included."""
        if self._held is not None:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_ADVICE = (
    ("database is locked", "is locked by another process. End it (or its transaction) and try again"),
    ("disk is full", "cannot grow: the disk is full. Free some space; writing goes on by itself"),
    (
        "disk i/o error",
        "cannot be read or written: the disk or its limits refuse. Look at the system's log, free space",
    ),
    ("not a database", "is not a SQLite database. Give the path of another file, or move this one away"),
    (
        "malformed",
        "is damaged. Stop every process that uses it and restore a copy, or `sqlite3 FILE .recover` it",
    ),
    ("readonly", "may not be written. Look at the permissions of the file and of its folder"),
    ("unable to open", "cannot be opened. Look at the permissions of the file and of its folder"),
)


def explained(path: Path, error: sqlite3.Error) -> StoreUnavailable:
    """What an error of SQLite means for whoever runs Headrace, and what to do."""
    said = str(error)
    for words, advice in _ADVICE:
        if words in said.lower():
            return StoreUnavailable(f"The database {path} {advice}. (SQLite: {said})")
    return StoreUnavailable(f"The database {path} cannot be used. (SQLite: {said})")
