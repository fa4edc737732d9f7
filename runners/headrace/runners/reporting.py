"""From how an attempt ended to the report about it: outputs put where they belong, secrets taken out, delivery current."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import msgspec

from headrace.engine.ports.artifacts import Artifacts
from headrace.engine.ports.broker import WorkerSide
from headrace.engine.ports.messages import Alive, ArtifactRef, ErrorInfo, Report
from headrace.runners.attempt import Attempt, AttemptKey, Outcome
from headrace.runners.finished import Finished
from headrace.runners.outbox import FINAL, FIRST_WAIT, LONGEST_WAIT, Outbox, Sent
from headrace.runners.pace import Pace
from headrace.runners.spill import Spill
from headrace.runners.values import failure

INLINE = 32 * 1024
"""Bytes of output that travel in a report; more goes to the artifact store."""

ALIVE_EVERY, OFTEN = 5.0, 4
"""Seconds between two Alives at most, and how many there are at least in the shortest lease of what is held."""

LARGEST_OUTPUT = 256 * 1024 * 1024

LAST = FINAL | {"handed_back"}
"""Kinds of the last report about an attempt here."""

_logger = logging.getLogger(__name__)
_CANCELLED = Outcome("cancelled")
_LOST = Outcome(
    "failed",
    error=ErrorInfo(
        kind="lost",
        kinds=["lost"],
        reason="lease_lost",
        message="The worker was stopped before the task ended.",
    ),
)


class Reporter:
    """What the worker holds, and what it has said about it. Used on the worker's loop only.

    `spawn` runs a coroutine beside, for as long as the worker lives; `seen` gives the epochs seen of a part, by queue.
    `app_dir` is named where code is missing.
    """

    def __init__(
        self,
        side: WorkerSide,
        worker_id: str,
        incarnation: str,
        *,
        pace: Pace,
        artifacts: Artifacts | None,
        largest_output: int,
        clock: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        seen: Callable[[int], dict[str, int]],
        spill: Spill | None = None,
        app_dir: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.held: dict[AttemptKey, Attempt] = {}
        self.finished = Finished(monotonic)
        self.acknowledged = asyncio.Event()  # set whenever something was
        self.outbox = Outbox(
            side,
            worker_id,
            incarnation,
            self._acknowledged,
            spilled=self._spilled,
            restored=self._restored,
            spill=spill,
            now=monotonic,
        )
        self._side = side
        self._worker = worker_id
        self._incarnation = incarnation
        self._pace = pace
        self._artifacts = artifacts
        self._largest_output = largest_output
        self._clock = clock
        self._spawn = spawn
        self._seen = seen
        self._app_dir = app_dir
        self._alive_at = -math.inf
        self._owed: dict[int, bool] = {}  # by part: an Alive is on its way; whether another must follow

    # about what is held ------------------------------------------------------------------------------------------
    def finish(self, attempt: Attempt) -> None:
        """The attempt ended, or is given up: its outcome and why it was stopped say how. Where that cannot be told, it has
        failed: what is held and never reported would be renewed for ever."""
        try:
            self._finish(attempt)
        except Exception as error:
            _logger.exception("The end of attempt %s could not be reported as it was.", attempt.key)
            # not what the error says: it may quote a secret
            message = (
                f"The end of the attempt could not be reported: {type(error).__name__}, see the worker's log."
            )
            self._report(attempt, "failed", error=failure("internal_error", message, "InternalError").error)

    def finish_all(self, ended: Iterable[Attempt]) -> None:
        """The same for many, of which most have succeeded with little to say."""
        seconds, count, part = 0.0, 0, 0
        made: list[Sent] = []
        for attempt in ended:
            outcome, began, at = attempt.outcome, attempt.started_at, attempt.finished_at
            if (
                outcome is None
                or outcome.kind != "succeeded"
                or (outcome.output is not None and len(outcome.output) > INLINE)
                or began is None
                or at is None
                or attempt.stopping is not None
                or attempt.redactor is not None
                or attempt.reported
            ):
                self.finish(attempt)
                continue
            seconds += at - began
            count += 1
            attempt.reported = True
            run, generation, task, map_, number = key = attempt.key
            attempt.last_report = report = Report(
                run,
                generation,
                task,
                map_,
                number,
                attempt.epoch,
                attempt.n,
                "succeeded",
                began,
                at,
                outcome.output,
            )
            if attempt.part != part:
                self.outbox.put_all(part, made)
                part, made = attempt.part, []
            made.append((key, report))
        self.outbox.put_all(part, made)
        self._pace.took(seconds, count)

    def _finish(self, attempt: Attempt) -> None:
        if attempt.reported:
            return
        if attempt.started_at is not None and attempt.finished_at is not None:
            self._pace.took(attempt.finished_at - attempt.started_at)
        outcome, why = attempt.outcome, attempt.stopping
        # a task that succeeds in spite of its cancellation has succeeded; one past its time limit has not
        if why is not None and (outcome is None or why != "cancelled" or outcome.kind != "succeeded"):
            outcome = _stopped(attempt, why)
        elif outcome is None:
            outcome = _LOST
        redactor, output = attempt.redactor, outcome.output
        if output is not None and (redactor is not None or len(output) > INLINE):
            self._spawn(self._store(attempt, outcome, output))
            return
        error = outcome.error
        if error is not None:
            if error.reason == "not_found" and self._app_dir is not None:
                error = self._placed(error)
            if redactor is not None:
                error = redactor.error(error)
        self._report(attempt, outcome.kind, output, error, outcome.retry_after)

    def started(self, attempt: Attempt) -> None:
        """It has been running for a while (W5)."""
        attempt.announced = True
        key = attempt.key
        report = Report(*key, attempt.epoch, attempt.n, "started", attempt.started_at)
        self.outbox.put(attempt.part, key, report)

    def hand_back(self, attempt: Attempt) -> None:
        """It was not started here and will not be."""
        self._report(attempt, "handed_back")

    def cancel(self, attempt: Attempt) -> None:
        """It was withdrawn before it started."""
        self._report(attempt, "cancelled")

    def adopt(self, attempt: Attempt, epoch: int, n: int) -> None:
        """The same attempt was sent again: its newest delivery counts (W3)."""
        if (epoch, n) <= (attempt.epoch, attempt.n):
            return
        attempt.epoch, attempt.n = epoch, n
        if attempt.announced and not attempt.reported:
            self.started(attempt)  # who sent it again does not know
        last = attempt.last_report
        if last is not None:
            self._report(
                attempt, last.kind, last.output, last.error, last.retry_after, last.artifact, last.finished_at
            )

    # about what is not -------------------------------------------------------------------------------------------
    def repeat(self, part: int, key: AttemptKey, epoch: int, n: int) -> None:
        """What was answered for here was asked for again."""
        self.outbox.put(part, key, self.finished.again(key, epoch, n))

    def deny(self, part: int, key: AttemptKey, epoch: int, n: int) -> None:
        """Asked after an attempt that was never seen. The engine takes that for its end, or sends a higher delivery: this
        one is refused from now on (W7)."""
        self._answer(part, key, epoch, n, "unknown")

    def cancel_unseen(self, part: int, key: AttemptKey, epoch: int, n: int) -> None:
        """An abort came before the dispatch: when that comes, it is over already (W8)."""
        self._answer(part, key, epoch, n, "cancelled")

    def _answer(self, part: int, key: AttemptKey, epoch: int, n: int, kind: str) -> None:
        report = Report(*key, epoch, n, kind, finished_at=self._clock())
        self.finished.keep(key, report)
        self.outbox.put(part, key, report)

    def alive(self, part: int) -> None:
        """Name what is held of a part. Whatever has left `held` has its report in the log before this (W6, W7)."""
        if part in self._owed:
            self._owed[part] = True  # the one under way was made before whatever asks for this one
        else:
            self._owed[part] = False
            self._spawn(self._say_alive(part))

    def renew_leases(self, now: float) -> float:
        """Name what is held of every part, if that is due; returns when it will be. Times are monotonic seconds."""
        lease = min(
            [attempt.dispatch.job.limits.heartbeat for attempt in self.held.values()], default=math.inf
        )
        every = min(ALIVE_EVERY, lease / OFTEN)
        if now - self._alive_at >= every:
            self._alive_at = now
            for part in {attempt.part for attempt in self.held.values()}:
                self.alive(part)
            self.finished.forget()
        return self._alive_at + every

    async def _say_alive(self, part: int) -> None:
        """Until acknowledged: an engine that has just taken the part over waits for it."""
        wait = FIRST_WAIT
        try:
            while True:
                self._owed[part] = False
                held = [key for key, attempt in self.held.items() if attempt.part == part]
                said = Alive(self._worker, self._incarnation, part, self._seen(part), held)
                try:
                    await self._side.report(part, said)
                except Exception:  # whatever the broker's client raises: made anew, it is said again
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, LONGEST_WAIT)
                    continue
                if not self._owed[part]:
                    return
        finally:
            del self._owed[part]

    # making ------------------------------------------------------------------------------------------------------
    async def _store(self, attempt: Attempt, outcome: Outcome, output: bytes) -> None:
        """A large output goes to the artifact store; a secret in it goes nowhere."""
        artifact: ArtifactRef | None = None
        size = len(output)
        if size > self._largest_output:
            outcome = failure(
                "invalid_output", f"The output has {size} bytes; {self._largest_output} are allowed."
            )
        else:
            try:
                if attempt.redactor is not None:
                    output = await asyncio.to_thread(attempt.redactor.output, output)
                if len(output) > INLINE:
                    artifact = await self._put(output)
            except Exception as error:  # whatever the store raises: the attempt may be tried again
                outcome = failure("artifact_error", f"The output could not be stored: {error}")
        inline = output if outcome.kind == "succeeded" and artifact is None else None
        if not attempt.reported:
            self._report(attempt, outcome.kind, inline, outcome.error, None, artifact)
            self.outbox.flush()

    def _placed(self, error: ErrorInfo) -> ErrorInfo:
        """Which of many workers it was, and where that looks."""
        where = f"This was worker {self._worker}, started with --app-dir {self._app_dir}."
        return msgspec.structs.replace(error, message=f"{error.message} {where}")

    async def _put(self, output: bytes) -> ArtifactRef:
        if self._artifacts is None:
            raise OSError("this worker has no artifact store.")
        stored = await self._artifacts.put(output)
        return ArtifactRef(stored.uri, stored.digest, stored.size)

    def _report(
        self,
        attempt: Attempt,
        kind: str,
        output: bytes | None = None,
        error: ErrorInfo | None = None,
        retry_after: float | None = None,
        artifact: ArtifactRef | None = None,
        finished_at: float | None = None,
    ) -> None:
        attempt.reported = True
        at = finished_at or attempt.finished_at or self._clock()
        key = attempt.key
        attempt.last_report = report = Report(
            *key, attempt.epoch, attempt.n, kind, attempt.started_at, at, output, artifact, error, retry_after
        )
        self.outbox.put(attempt.part, key, report)

    def _acknowledged(self, items: list[tuple[AttemptKey, Report]]) -> None:
        """These reports are in the log: only now their keys are no longer held (W6)."""
        held, settled = self.held, list[Sent]()
        for item in items:
            key, report = item
            attempt = held.get(key)
            if attempt is None:
                if report.kind in FINAL:  # of an earlier incarnation, from disk: it is not done again
                    self.finished.recall(key, report)
            elif attempt.last_report is report:
                del held[key]
                settled.append(item)
        self.finished.keep_all(settled)
        self.acknowledged.set()

    def _spilled(self, items: list[Sent]) -> None:
        """These wait on disk: what they hold is not needed in memory."""
        for key, report in items:
            attempt = self.held.get(key)
            if attempt is not None and attempt.last_report is report:
                attempt.last_report = attempt.outcome = None

    def _restored(self, report: Report) -> Sent:
        """A report comes back from disk, and goes out with the delivery that counts now."""
        key = (report.run, report.generation, report.task, report.map, report.attempt)
        attempt = self.held.get(key)
        if attempt is not None and attempt.reported and attempt.last_report is None and report.kind in LAST:
            if (attempt.epoch, attempt.n) > (report.epoch, report.n):
                report = msgspec.structs.replace(report, epoch=attempt.epoch, n=attempt.n)
            attempt.last_report = report
        return key, report


def _stopped(attempt: Attempt, why: str) -> Outcome:
    if why == "cancelled":
        return _CANCELLED
    if why == "lost":
        return _LOST
    limit = attempt.dispatch.job.limits.attempt or 0.0
    return failure("timed_out", f"The attempt took longer than its limit of {limit:g} s.", "timeout")
