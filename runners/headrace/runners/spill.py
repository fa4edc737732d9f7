"""Reports on disk: what the broker does not take and memory should not hold, per part in order, also over a restart."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from headrace.engine.ports.messages import Report

_logger = logging.getLogger(__name__)


class Spill:
    """A file per part in `folder`, which belongs to one worker; the lines are reports, oldest first.

    What an earlier incarnation left there is sent by the next one: its results are not lost with it. Lines reach the
    disk's cache, not the disk: they outlive the process, not the machine, and after that the leases end.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, _File] = {}

    def waiting(self, part: int) -> int:
        """How many reports of the part are on disk and not yet taken."""
        file = self._files.get(part)
        return 0 if file is None else file.waiting

    def parts(self) -> list[int]:
        """The parts with reports on disk."""
        return [part for part, file in self._files.items() if file.waiting]

    def put(self, part: int, reports: Sequence[Report]) -> None:
        """Behind what is there. Raises OSError: the disk is full, or not ours."""
        if not reports:
            return
        file = self._files.get(part)
        if file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = self._files[part] = _File(self._folder / f"{part}.reports")
        file.put(reports)

    def take(self, part: int, most: int, most_bytes: int) -> list[Report]:
        """The oldest reports of the part; they stay on disk until `drop`."""
        file = self._files.get(part)
        return [] if file is None else file.take(most, most_bytes)

    def drop(self, part: int) -> None:
        """Everything taken is in the log: a file without more is removed."""
        file = self._files.get(part)
        if file is not None and not file.waiting:
            file.remove()
            del self._files[part]

    def load(self) -> int:
        """Find what an earlier incarnation left; returns how many reports that are."""
        for path in sorted(self._folder.glob("*.reports")):
            if path.stem.isdecimal() and int(path.stem) not in self._files:
                self._files[int(path.stem)] = _File(path)
        return sum([file.waiting for file in self._files.values()])

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO = path.open("a+b")
        self._read_to = 0
        self._stream.seek(0)
        self.waiting = whole = 0
        for line in self._stream:
            if not line.endswith(b"\n"):  # the process ended while it wrote
                self._stream.truncate(whole)
                break
            self.waiting += 1
            whole += len(line)

    def put(self, reports: Sequence[Report]) -> None:
        lines = [msgspec.json.encode(report) for report in reports]
        end = self._stream.seek(0, 2)
        try:
            self._stream.write(b"".join([line + b"\n" for line in lines]))
            self._stream.flush()
        except OSError:
            self._stream.truncate(end)
            raise
        self.waiting += len(lines)

    def take(self, most: int, most_bytes: int) -> list[Report]:
        self._stream.seek(self._read_to)
        taken: list[Report] = []
        until = self._read_to + most_bytes
        while line := self._stream.readline():
            self._read_to += len(line)
            self.waiting -= 1
            try:
                taken.append(msgspec.json.decode(line, type=Report))
            except (
                msgspec.MsgspecError
            ) as error:  # a machine that lost its power: the lease of that attempt ends
                _logger.error("A report in %s cannot be read and is left out: %s", self._path, error)
            if len(taken) >= most or self._read_to >= until:
                break
        return taken

    def remove(self) -> None:
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        self._stream.close()
