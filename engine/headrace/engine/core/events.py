"""Events: the facts that enter the core. Each carries its time (`at`, seconds since the epoch, UTC) and every random
draw it needs, so that deciding again from history gives the same answer.

They are NamedTuples because one is made per report on the hot path, and because history stores them as plain arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.keys import Key
from headrace.engine.core.workflow import Json


class Started(NamedTuple):
    """The run begins: from its inbox row."""

    at: float


class Resumed(NamedTuple):
    """The run was loaded by a new owner: whatever its states imply and was not done yet is decided again."""

    at: float


class Continued(NamedTuple):
    """More of what the last event caused; one decision holds at most a slice of it."""

    at: float


class Picked(NamedTuple):
    """The line gave this ready task run to a worker: its inputs are judged and an attempt is dispatched."""

    at: float
    key: Key
    worker: str
    epoch: int
    n: int  # with the epoch: the delivery


class Redelivered(NamedTuple):
    """The same attempt is sent again (its worker vanished before starting it, or a new owner took over)."""

    at: float
    key: Key
    worker: str
    epoch: int
    n: int


class AttemptStarted(NamedTuple):
    at: float
    key: Key
    attempt: int
    epoch: int
    n: int


class AttemptSucceeded(NamedTuple):
    at: float
    key: Key
    attempt: int
    epoch: int
    n: int
    started_at: float
    finished_at: float
    output: bytes | None  # JSON text; None means null. History keeps its hash only
    artifact: Artifact | None = None


class Error(NamedTuple):
    """Why an attempt failed. `reason` is a code of ours (timed_out, invalid_output, ...) or None for the task's own."""

    kind: str  # exception class, or exit | http | timeout | lost
    message: str
    kinds: tuple[str, ...] = ()  # the class and its bases
    exit_code: int | None = None
    status: int | None = None
    reason: str | None = None
    retryable: bool = True


class AttemptFailed(NamedTuple):
    at: float
    key: Key
    attempt: int
    epoch: int
    n: int
    started_at: float | None
    finished_at: float
    error: Error
    retry_after: float | None  # seconds, from the server
    draw: float  # in [0, 1): for the retry's jitter


class AttemptSkipped(NamedTuple):
    """The task said that it has nothing to do (`Skip`, exit status 99)."""

    at: float
    key: Key
    attempt: int
    epoch: int
    n: int
    started_at: float
    finished_at: float
    message: str | None = None


class AttemptCancelled(NamedTuple):
    at: float
    key: Key
    attempt: int
    epoch: int
    n: int
    started_at: float | None
    finished_at: float


class HandedBack(NamedTuple):
    """The worker did not start it and will not: it goes to the line again and costs no attempt."""

    at: float
    key: Key
    attempt: int
    epoch: int
    n: int


class WorkerLost(NamedTuple):
    """Nothing proves any more that the attempt is alive: its lease ended or its worker has a new incarnation."""

    at: float
    key: Key
    attempt: int
    draw: float


class TimerFired(NamedTuple):
    at: float
    key: Key | None  # None: the run's own (deadline)
    kind: str  # retry | poll | sleep | expiry | queue_timeout | total_timeout | deadline
    due_at: float


class SlotsGranted(NamedTuple):
    """`attempt`: the one that asked, where the answer may come so late that another one has asked since."""

    at: float
    key: Key
    attempt: int | None = None


class ChildEnded(NamedTuple):
    at: float
    key: Key
    child: str  # run id
    state: str
    output: bytes | None
    artifact: Artifact | None = None
    error: str | None = None


class ChildRefused(NamedTuple):
    """The child could not be started (unknown workflow, bad parameters)."""

    at: float
    key: Key
    error: Error


class CancelAsked(NamedTuple):
    at: float
    by: str
    kill: bool = False
    reason: str | None = None


class PauseAsked(NamedTuple):
    at: float
    by: str


class ResumeAsked(NamedTuple):
    at: float
    by: str


class RerunAsked(NamedTuple):
    """A new generation. `keys` None: from failed; else the named task runs and all downstream of them.

    With `plan` (a hash) it goes on with that version of the workflow; `keys` are those of the plan that the run had.
    """

    at: float
    by: str
    keys: tuple[Key, ...] | None
    inputs: Json = None
    version: int | None = None
    plan: str | None = None


class TaskAsked(NamedTuple):
    """A person acts on one task run."""

    at: float
    by: str
    key: Key
    action: str  # retry | skip | succeed | cancel
    reason: str | None = None
    output: Json = None


class Decided(NamedTuple):
    """A person agrees to an approval, or rejects it."""

    at: float
    by: str
    key: Key
    approved: bool
    form: Json = None
    comment: str | None = None


class SignalArrived(NamedTuple):
    """A signal that a task run waits for was sent. `place`: which of those that it waits for; `signal`: its id."""

    at: float
    key: Key
    place: int
    signal: int
    name: str
    sent_key: str | None
    sent_at: float
    by: str
    payload: Json = None


Event = (
    Started
    | Resumed
    | Continued
    | Picked
    | Redelivered
    | AttemptStarted
    | AttemptSucceeded
    | AttemptFailed
    | AttemptSkipped
    | AttemptCancelled
    | HandedBack
    | WorkerLost
    | TimerFired
    | SlotsGranted
    | ChildEnded
    | ChildRefused
    | CancelAsked
    | PauseAsked
    | ResumeAsked
    | RerunAsked
    | TaskAsked
    | Decided
    | SignalArrived
)

EVENTS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        Started,
        Resumed,
        Continued,
        Picked,
        Redelivered,
        AttemptStarted,
        AttemptSucceeded,
        AttemptFailed,
        AttemptSkipped,
        AttemptCancelled,
        HandedBack,
        WorkerLost,
        TimerFired,
        SlotsGranted,
        ChildEnded,
        ChildRefused,
        CancelAsked,
        PauseAsked,
        ResumeAsked,
        RerunAsked,
        TaskAsked,
        Decided,
        SignalArrived,
    )
}
"""By name, for reading history back."""
