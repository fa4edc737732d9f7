"""Makes log lines of what an attempt writes: whole lines, of bounded length, without secrets."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from headrace.engine.ports.artifacts import LogWriter
from headrace.engine.ports.messages import Dispatch, Log
from headrace.runners.redaction import Redactor

LONGEST_LINE = 16 * 1024
"""Characters. A longer line is cut into several."""


class LogLines:
    """The log of one attempt. Thread-safe; an unfinished line is kept until it ends or `close`."""

    def __init__(
        self,
        dispatch: Dispatch,
        logs: LogWriter,
        redactor: Redactor | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dispatch = dispatch
        self._logs = logs
        self._redactor = redactor
        self._clock = clock
        self._open: dict[str, str] = {}  # stream → the line not ended yet
        self._lock = Lock()
        self.last: dict[str, str] = {}  # stream → its last line that is not empty

    def write(self, stream: str, text: str) -> None:
        """Text as it was written, lines or parts of them. A lone CR (a progress bar) ends a line too."""
        if not text:
            return
        with self._lock:
            text = self._open.pop(stream, "") + text
            if "\r" in text:
                held = "\r" if text.endswith("\r") else ""  # its LF may be in the next piece
                text = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n") + held
            *lines, rest = text.split("\n")
            rest = self._cut(stream, rest, lines)
            if rest:
                self._open[stream] = rest
            self._emit(stream, lines)

    def line(self, stream: str, text: str) -> None:
        """One whole message; its line breaks make several lines."""
        with self._lock:
            self._emit(stream, text.splitlines() or [""])

    def close(self) -> None:
        """Write the unfinished lines."""
        with self._lock:
            for stream, rest in self._open.items():
                self._emit(stream, [rest.rstrip("\r")])
            self._open.clear()

    def _cut(self, stream: str, rest: str, lines: list[str]) -> str:
        """Cut an endless line, never inside a secret: what could be the beginning of one stays."""
        if len(rest) <= LONGEST_LINE:
            return rest
        if self._redactor is not None:
            rest = self._redactor.text(rest)
        keep = self._redactor.longest if self._redactor is not None else 0
        cut = len(rest) - keep
        if cut <= 0:
            return rest
        lines.append(rest[:cut])
        return rest[cut:]

    def _emit(self, stream: str, lines: list[str]) -> None:
        if not lines:
            return
        dispatch, at = self._dispatch, self._clock()
        redactor = self._redactor
        made: list[Log] = []
        for whole in lines:
            line = whole if redactor is None else redactor.text(whole)
            if line.strip():
                self.last[stream] = line
            made += (
                Log(
                    dispatch.run_id,
                    dispatch.job.task_id,
                    dispatch.map,
                    dispatch.generation,
                    dispatch.attempt,
                    at,
                    stream,
                    line[start : start + LONGEST_LINE],
                )
                for start in range(0, len(line) or 1, LONGEST_LINE)
            )
        self._logs.write(made)
