"""What tasks do in a simulated world, and who executed what: stands behind the worker in place of the runners.

How long an attempt takes and how it ends depend on the seed, the task run and the attempt alone, not on who executes it when.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol, TypeAlias

import msgspec

from headrace.engine.ports.messages import ErrorInfo
from headrace.runners.attempt import RUNNING, Attempt, AttemptKey, Outcome
from headrace.runners.line import THREADS, Line
from headrace.testing.simulation.shapes import CHOICE, LISTING, SECRET, Shape
from headrace.testing.simulation.timeline import Alarm, ProcessLoop

CANARY = "canary-7f3a91c2d5"
"""The one secret of a simulated world. It is given to tasks and must never come out."""

_encode = msgspec.json.encode


@dataclass(slots=True)
class Execution:
    """One execution of an attempt: by whom and when (virtual seconds), and how it ended. `kind` None: it did not."""

    by: str
    incarnation: str
    began: float
    epoch: int
    ended: float | None = None
    kind: str | None = None
    output: bytes | None = None


Does: TypeAlias = Callable[[Attempt], tuple[float, Outcome, bool]]
"""What an attempt does: seconds, outcome, and whether it is deaf to being told to stop."""


class Witness(Protocol):
    """Sees what is executed."""

    def started(self, attempt: Attempt, execution: Execution) -> None: ...

    def ended(self, attempt: Attempt, execution: Execution) -> None: ...


class Bodies:
    """Outcomes by seed, or as `does` says. `shapes`: by workflow name."""

    def __init__(self, seed: int, shapes: dict[str, Shape], does: Does | None = None) -> None:
        self._seed = seed
        self._does = does
        self._shapes = shapes
        self.executions: dict[AttemptKey, list[Execution]] = {}
        self.witness: Witness | None = None

    def does(self, attempt: Attempt) -> tuple[float, Outcome, bool]:
        """Seconds, outcome, and whether it is deaf to being told to stop."""
        if self._does is not None:
            return self._does(attempt)
        name = repr((self._seed, attempt.key)).encode()
        drawn = blake2b(name, digest_size=12).digest()
        luck, how, long, much, value, deaf = (
            drawn[0] / 256,
            drawn[1] / 256,
            drawn[2] / 256,
            drawn[3] / 256,
            drawn[4],
            drawn[5] < 40,
        )
        if long < 0.6:
            seconds = much * 0.05
        elif long < 0.85:
            seconds = much
        elif long < 0.97:
            seconds = 1 + much * 3
        else:
            seconds = 5 + much * 5
        return seconds, self._outcome(attempt, luck, how, value), deaf

    def _outcome(self, attempt: Attempt, luck: float, how: float, value: int) -> Outcome:
        dispatch = attempt.dispatch
        function = dispatch.job.work.get("function")
        secret = attempt.given.get("with", {}).get("token", "")
        if function == SECRET and secret != CANARY:
            raise AssertionError(
                f"I7: attempt {attempt.key} was sent without what it is given: {attempt.given}"
            )
        if luck < 0.17:
            kind = ("ValueError", "KeyError", "OSError")[value % 3]
            message = f"scripted {secret}".rstrip()
            error = ErrorInfo(kind, message, [kind, "Exception"], retryable=how > 0.1)
            return Outcome("failed", None, error, 1.5 if how > 0.9 else None)
        if luck < 0.22:
            return Outcome("skipped")
        output: Any
        if function == LISTING:
            output = list(range(value % 4)) if how < 0.9 else None
        elif function == CHOICE:
            named = self._shapes[dispatch.job.workflow].choices.get(dispatch.task, ())
            chosen = [id for place, id in enumerate(named) if value >> place & 1]
            output = chosen if how < 0.9 else ["nothing"]
        elif function == SECRET:
            output = {"given": secret, "long": secret * 3}
        else:
            output = (1, 2, None, True, "x", {"no": 1})[value % 6]
        return Outcome("succeeded", None if output is None else _encode(output))


class Lanes:
    """Executes the attempts of one simulated worker. Implements `headrace.runners.execution.Executing`."""

    def __init__(
        self,
        process: ProcessLoop,
        bodies: Bodies,
        who: tuple[str, str],
        wall: Callable[[], float],
        pace: float,
        line: Line,
        ended: Callable[[Attempt], None],
        notice: Callable[[], None],
    ) -> None:
        self._process = process
        self._bodies = bodies
        self._who = who
        self._wall = wall
        self._pace = pace
        self._line = line
        self._ended = ended
        self._notice = notice
        self._open = False
        line.kicks[THREADS] = self.encourage

    def open(self) -> None:
        self._open = True

    def close(self) -> None:
        self._open = False

    def assign(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        for attempt in attempts:
            attempt.lane = THREADS
        return []

    def feed(self, attempts: Sequence[Attempt]) -> None:
        self._line.put(attempts)
        self.encourage()

    def encourage(self) -> None:
        while self._open and (attempt := self._line.take(THREADS)) is not None:
            self._start(attempt)

    def interrupt(self, attempt: Attempt) -> None:
        alarm, execution, deaf = attempt.handle
        if deaf or attempt.state != RUNNING:
            return
        alarm.cancel()
        within = min(attempt.grace, 0.5)
        attempt.handle = (
            self._process.call_later(within * 0.5, self._end, attempt, None, execution),
            execution,
            True,
        )

    def abandon(self, attempt: Attempt) -> None:
        attempt.handle[0].cancel()
        self._line.give_back(attempt)

    def _start(self, attempt: Attempt) -> None:
        seconds, outcome, deaf = self._bodies.does(attempt)
        now = self._process.time()
        attempt.began = now
        attempt.started_at = self._wall()
        execution = Execution(*self._who, now, attempt.epoch)
        self._bodies.executions.setdefault(attempt.key, []).append(execution)
        if self._bodies.witness is not None:
            self._bodies.witness.started(attempt, execution)
        alarm: Alarm = self._process.call_later(seconds * self._pace, self._end, attempt, outcome, execution)
        attempt.handle = alarm, execution, deaf

    def _end(self, attempt: Attempt, outcome: Outcome | None, execution: Execution) -> None:
        if not self._open or attempt.state != RUNNING:
            return
        execution.ended = self._process.time()
        if outcome is not None:
            execution.kind, execution.output = outcome.kind, outcome.output
        if self._bodies.witness is not None:
            self._bodies.witness.ended(attempt, execution)
        attempt.outcome = outcome
        attempt.finished_at = self._wall()
        self._ended(attempt)
        following = self._line.give_back_and_take(THREADS, attempt)
        self._notice()
        if following is not None:
            self._start(following)
