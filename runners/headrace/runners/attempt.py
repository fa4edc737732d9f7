"""One attempt as the worker holds it, and what it is known by outside: its key, its effect key, its scratch folder."""

from __future__ import annotations

import shutil
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.engine.core.keys import unpack, written
from headrace.engine.ports.artifacts import LogWriter
from headrace.engine.ports.messages import Dispatch, ErrorInfo, Report

if TYPE_CHECKING:
    from headrace.runners.functions import Function
    from headrace.runners.loglines import LogLines
    from headrace.runners.redaction import Redactor

AttemptKey = tuple[int, int, int, int, int]
"""run, generation, task, map, attempt"""

BUFFERED, RUNNING, ENDED, DROPPED = range(4)
LONGEST_EFFECT_KEY = 200


def effect_key(run_id: str, generation: int, task_id: str, map: int) -> str:
    """Stable text naming one task run: all its attempts have it. At most 200 ASCII characters, fit for a header."""
    text = f"{run_id}/{generation}/{written(task_id, map)}"
    if len(text) > LONGEST_EFFECT_KEY or not text.isascii():
        text = f"{run_id}/{generation}/{sha256(text.encode()).hexdigest()}"
    return text


class Outcome:
    """How an attempt ended, as its runner saw it. `kind`: succeeded failed skipped."""

    __slots__ = ("error", "kind", "output", "retry_after")

    def __init__(
        self,
        kind: str,
        output: bytes | None = None,
        error: ErrorInfo | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.kind = kind
        self.output = output
        self.error = error
        self.retry_after = retry_after


NOTHING = Outcome("succeeded")
"""It succeeded and returned null: what most tasks do."""


class Attempt:
    """One dispatch being worked on. Made per task on the hot path, so most of its life is in class defaults.

    Belongs to the worker's loop, except `state` (changed under the line's lock) and what the runner that has
    taken it writes: `started_at`, `began`, `finished_at`, `outcome`.
    """

    part = 0
    queue = "default"
    state = BUFFERED
    lane = 0
    queued = False  # it was put into the line
    filling = False  # its holes are being filled: it cannot start yet
    started_at: float | None = None  # wall time, seconds since the epoch
    finished_at: float | None = None
    began = 0.0  # monotonic
    announced = False  # a `started` report was sent
    stopping: str | None = None  # cancelled | timed_out | lost: why it was asked to stop
    give_up_at = 0.0  # monotonic: when a stopping attempt is reported without waiting for its end
    reported = False  # its last report (final or handed back) has been made
    last_report: Report | None = None
    outcome: Outcome | None = None
    function: Function | None = None
    inputs: dict[str, Any] | None = None  # with the holes filled; None: those of the dispatch
    redactor: Redactor | None = None
    handle: Any = None  # what the lane needs to interrupt it: a thread, a task
    logs: LogWriter | None = None
    traceparent: str | None = None  # of its span, where somebody traces
    grace = 10.0  # seconds between the polite and the forced end
    _lines: LogLines | None = None
    _view: View | None = None

    def __init__(self, key: AttemptKey, dispatch: Dispatch, part: int, arrived: float) -> None:
        self.key = key
        self.dispatch = dispatch
        self.epoch = dispatch.epoch
        self.n = dispatch.n
        self.arrived = arrived  # monotonic
        if part:
            self.part = part

    @property
    def given(self) -> dict[str, Any]:
        """The inputs by language key. Shared with other attempts: never changed."""
        return self.dispatch.inputs if self.inputs is None else self.inputs

    def lines(self) -> LogLines | None:
        """Its log, opened by the first line. None: logs are not kept."""
        if self._lines is None and self.logs is not None:
            from headrace.runners.loglines import LogLines

            self._lines = LogLines(self.dispatch, self.logs, self.redactor)
        return self._lines

    def view(self) -> View:
        """What the task may know about itself."""
        if self._view is None:
            self._view = View(self.dispatch, self)
        return self._view

    def close(self) -> None:
        """Write unfinished log lines, remove the scratch folder."""
        if self._lines is not None:
            self._lines.close()
        if self._view is not None:
            self._view.discard()


class View:
    """The attempt as `current()` and the environment show it."""

    def __init__(self, dispatch: Dispatch, attempt: Attempt | None = None) -> None:
        self._attempt = attempt
        self._scratch: Path | None = None
        self.run = dispatch.run_id
        self.workflow = dispatch.job.workflow
        self.task = dispatch.job.task_id
        self.map_path = unpack(dispatch.map)
        self.map_index = self.map_path[-1] if self.map_path else None
        self.attempt = dispatch.attempt
        self.effect_key = effect_key(dispatch.run_id, dispatch.generation, self.task, dispatch.map)

    @property
    def work_dir(self) -> Path:
        return self._made() / "work"

    @property
    def output_file(self) -> Path:
        """Where a process may leave its output; beside the scratch folder, so that this begins empty."""
        return self._made() / "output"

    def _made(self) -> Path:
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="headrace-"))
            (self._scratch / "work").mkdir()
        return self._scratch

    def log(self, text: str) -> None:
        lines = self._attempt.lines() if self._attempt is not None else None
        if lines is not None:
            lines.line("log", text)

    def environment(self) -> dict[str, str]:
        """The HEADRACE_* variables of a task's process."""
        named = {
            "HEADRACE_RUN": self.run,
            "HEADRACE_WORKFLOW": self.workflow,
            "HEADRACE_TASK": self.task,
            "HEADRACE_ATTEMPT": str(self.attempt),
            "HEADRACE_WORK_DIR": str(self.work_dir),
            "HEADRACE_OUTPUT": str(self.output_file),
            "HEADRACE_EFFECT_KEY": self.effect_key,
        }
        if self._attempt is not None and self._attempt.traceparent is not None:
            named["TRACEPARENT"] = self._attempt.traceparent
        if self.map_path:
            named["HEADRACE_MAP_INDEX"] = str(self.map_index)
            named["HEADRACE_MAP_PATH"] = ",".join(map(str, self.map_path))
        return named

    def discard(self) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None
