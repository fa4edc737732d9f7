"""What a running Python task can say and ask: `Skip`, `Fail`, `current()`. Light: user code imports it through `headrace.dsl`."""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol


class Skip(Exception):
    """Raised by a task that has nothing to do: the task run becomes `skipped`. The text is shown as its reason."""


class Fail(Exception):
    """Raised by a task that knows that trying again is useless: it fails at once, whatever its retry policy."""


class Interrupted(BaseException):
    """Raised inside a task that runs on a thread when it is cancelled or has passed its time limit.

    Derived from BaseException, as asyncio.CancelledError is, so that `except Exception` lets it through.
    """


class Current(Protocol):
    """The attempt that is running."""

    @property
    def run(self) -> str:
        """The run's id."""

    @property
    def workflow(self) -> str: ...

    @property
    def task(self) -> str:
        """The task's full id, without the map index."""

    @property
    def map_index(self) -> int | None:
        """The innermost map's index, None outside of a map."""

    @property
    def map_path(self) -> tuple[int, ...]:
        """The indexes of all enclosing maps, outermost first."""

    @property
    def attempt(self) -> int:
        """1 for the first try."""

    @property
    def effect_key(self) -> str:
        """The same text for all attempts of this task run: give it to services that remove duplicates."""

    @property
    def work_dir(self) -> Path:
        """A scratch folder of this attempt, made when first asked for, removed when the attempt ends."""

    def log(self, text: str) -> None:
        """Write to the attempt's log."""


RUNNING: ContextVar[Any] = ContextVar("headrace_attempt")
"""The attempt whose code runs in this context. Set by the runners."""


def current() -> Current:
    """The attempt that is running here.

    Raises:
        RuntimeError: no task is running in this context (a thread that the task itself started has none either).
    """
    attempt = RUNNING.get(None)
    if attempt is None:
        raise RuntimeError("current() works only inside a running task.")
    view: Current = attempt.view()
    return view
