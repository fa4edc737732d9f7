"""Gives what Python tasks print and log to the log of the attempt that runs in that context.

`sys.stdout`, `sys.stderr` and the root logger are the process's own: everything outside of an attempt goes where it
went before. Threads that a task starts itself carry no attempt and are left alone too.
"""

from __future__ import annotations

import io
import logging
import sys
from threading import Lock
from typing import Any, TextIO

from headrace.runners.context import RUNNING


class CapturingStream(io.TextIOBase):
    """Stands for one of the process's text streams."""

    def __init__(self, around: TextIO, name: str) -> None:
        self._around = around
        self._stream = name

    def write(self, text: str) -> int:
        attempt = RUNNING.get(None)
        if attempt is None:
            return self._around.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        lines = attempt.lines()
        if lines is not None:
            lines.write(self._stream, text)
        return len(text)

    def flush(self) -> None:
        if RUNNING.get(None) is None:
            self._around.flush()

    def isatty(self) -> bool:
        return RUNNING.get(None) is None and self._around.isatty()

    def fileno(self) -> int:
        return self._around.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._around.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._around.errors

    def close(self) -> None:
        """The process's stream is not ours to close."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._around, name)


class CapturingLogHandler(logging.Handler):
    """Puts log records of a task into its attempt's log."""

    def emit(self, record: logging.LogRecord) -> None:
        attempt = RUNNING.get(None)
        if attempt is None:
            self._outside(record)
            return
        lines = attempt.lines()
        if lines is not None:
            try:
                lines.line("log", self.format(record))
            except Exception:  # a record with arguments that do not fit its text
                self.handleError(record)

    def _outside(self, record: logging.LogRecord) -> None:
        # with a handler on the root logger Python no longer uses its last resort; keep that for everybody else
        last = logging.lastResort
        if last is not None and logging.root.handlers == [self] and record.levelno >= last.level:
            last.handle(record)


class Capture:
    """Installs the above for as long as any worker of this process runs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._streams: dict[str, CapturingStream] = {}
        self._handler: CapturingLogHandler | None = None
        self._level: int | None = None

    def install(self) -> None:
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            for name in ("stdout", "stderr"):
                around = getattr(sys, name)
                if around is not None:
                    self._streams[name] = CapturingStream(around, name)
                    setattr(sys, name, self._streams[name])
            self._handler = CapturingLogHandler()
            self._handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
            root = logging.getLogger()
            if not root.handlers and root.level == logging.WARNING:
                self._level = root.level
                root.setLevel(logging.INFO)
            root.addHandler(self._handler)

    def uninstall(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            for name, stream in self._streams.items():
                if getattr(sys, name) is stream:
                    setattr(sys, name, stream._around)
            self._streams.clear()
            root = logging.getLogger()
            if self._handler is not None:
                root.removeHandler(self._handler)
                self._handler = None
            if self._level is not None:
                root.setLevel(self._level)
                self._level = None


CAPTURE = Capture()
