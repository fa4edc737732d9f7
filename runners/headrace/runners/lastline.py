"""The last line that a process writes to a stream: kept whole, on disk when it is long, and only while it is of use."""

from __future__ import annotations

from tempfile import SpooledTemporaryFile

IN_MEMORY = 1024 * 1024
"""Bytes of a line; what is longer lies in a temporary file."""

JSON_BEGINS = frozenset(b'{["-0123456789tfn')
"""What the text of a JSON value may begin with."""


class LineTooLong(Exception):
    """It is longer than what may be kept, and might have been of use."""


class LastLine:
    """The last line that is not empty.

    Args:
        most: bytes that are kept of a line.
        begins: what a line of use begins with; of others only that they are there is kept. None: all are.
    """

    def __init__(self, most: int, begins: frozenset[int] | None = None) -> None:
        self._most = most
        self._begins = begins
        self._last: _Line | None = None
        self._open: _Line | None = None

    def hear(self, data: bytes) -> None:
        """What was written, in pieces of any size."""
        end = data.rfind(b"\n")
        if end < 0:
            self._go_on(data)
            return
        first = data.find(b"\n")
        self._go_on(data[:first])
        if self._open is not None:
            self._replace(self._open)
        self._open = None
        complete = data[first:end].rstrip()
        if complete:
            line = _Line(self._most, self._begins)
            line.add(complete[complete.rfind(b"\n") + 1 :])
            self._replace(line)
        self._go_on(data[end + 1 :])

    def start(self) -> bytes:
        """The line, no more of it than is kept, without the blanks around it; empty where there is none of use."""
        line = self._latest()
        return b"" if line is None else line.text()

    def whole(self) -> bytes:
        """The line, without the blanks around it; empty where there is none of use. Raises LineTooLong."""
        line = self._latest()
        if line is not None and line.cut:
            raise LineTooLong
        return self.start()

    def close(self) -> None:
        for line in (self._last, self._open):
            if line is not None:
                line.close()

    def _latest(self) -> _Line | None:
        return self._last if self._open is None else self._open

    def _go_on(self, piece: bytes) -> None:
        if self._open is None:
            piece = piece.lstrip()
            if not piece:
                return
            self._open = _Line(self._most, self._begins)
        self._open.add(piece)

    def _replace(self, line: _Line) -> None:
        if self._last is not None:
            self._last.close()
        self._last = line


class _Line:
    """A line that is not blank."""

    __slots__ = ("_begins", "_file", "_most", "_short", "_size", "cut")

    def __init__(self, most: int, begins: frozenset[int] | None) -> None:
        self._most = most
        self._begins = begins
        self._short = b""
        self._file: SpooledTemporaryFile[bytes] | None = None
        self._size = 0
        self.cut = False

    def add(self, piece: bytes) -> None:
        if not self._size:
            piece = piece.lstrip()
            if self._begins is not None and piece and piece[0] not in self._begins:
                self._most = 0
        self._size += len(piece)
        if self._size > self._most:
            piece = piece[: max(0, self._most - self._size + len(piece))]
            self.cut = self._most > 0
        if self._file is not None:
            self._file.write(piece)
        elif not self._short:
            self._short = piece
        elif piece:
            # blanks are dropped from the end of the whole alone: they may stand inside of it
            self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - it lives as long as the line
            self._file.write(self._short)
            self._file.write(piece)

    def text(self) -> bytes:
        if self._file is None:
            return self._short.rstrip()
        self._file.seek(0)
        text = self._file.read().rstrip()
        self._file.seek(0, 2)
        return text

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
