"""Dead letters, messages that nobody could read, workers, queues and figures, as the API shows them. No Litestar here."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from headrace.api.shapes.runs import Name, Reason
from headrace.api.shapes.tasks import AttemptEntry, ErrorEntry
from headrace.api.showing.times import instant
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.ports.letters import DeadLetter, LetterGroup, PoisonLetter
from headrace.engine.ports.roster import WorkerRow

LetterState = Literal["open", "requeued", "discarded"]
LetterId = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Letters = Annotated[list[LetterId], Meta(min_length=1, max_length=500)]
TaskId = Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[^\x00]*$")]
FINGERPRINT = r"^[0-9a-zA-Z_-]*$"
Fingerprint = Annotated[str, Meta(min_length=1, max_length=64, pattern=FINGERPRINT)]


class LetterEntry(msgspec.Struct, kw_only=True):
    """An attempt that failed for good. `task`: the task run, `price[7]`. `fingerprint`: the same for letters of one workflow, task,
    kind of error and message, numbers and ids in it apart. `by` and `note`: who handled it, and why."""

    id: int
    run: str
    workflow: str
    task: str
    generation: int
    attempt: int
    at: str
    error: ErrorEntry
    fingerprint: str
    state: LetterState
    handled_at: str | None
    by: str | None
    note: str | None


class LetterDetail(LetterEntry, kw_only=True):
    """One with what its task run was given and every attempt that history tells. `inputs` are null, and `redacted` true, for a role
    that does not see values. `run_state` is null when the run is no longer kept."""

    run_state: str | None
    inputs: Any
    redacted: bool
    attempts: list[AttemptEntry]


class GroupEntry(msgspec.Struct, kw_only=True):
    """Dead letters of one fingerprint: how many, how many of them open, and the newest of them."""

    fingerprint: str
    workflow: str
    task: str
    letters: int
    open: int
    first_at: str
    newest_at: str
    newest: int
    error: ErrorEntry


class LetterChoice(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The letters that are meant: by `letters`, their ids, or all open ones that fit the others given."""

    letters: Letters | None = None
    workflow: Name | None = None
    task: TaskId | None = None
    fingerprint: Fingerprint | None = None


class RequeueBody(LetterChoice, kw_only=True, forbid_unknown_fields=True):
    """`canary` true: of several, only the oldest is begun, and the answer names it; its id as `canary` of the next request begins the
    others if its task run has succeeded since. False: all at once."""

    canary: bool | LetterId = True


class DiscardBody(LetterChoice, kw_only=True, forbid_unknown_fields=True):
    """`reason`: why nothing more is done about them; it is kept."""

    reason: Reason


class PoisonDiscardBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`reason`: why nothing more is done about them; it is kept."""

    letters: Letters
    reason: Reason


class RefusedLetter(msgspec.Struct, kw_only=True):
    """A letter that stays open, and why."""

    id: int
    why: str


class RequeueAnswer(msgspec.Struct, kw_only=True):
    """What became of the letters. `canary`: the letter that is tried first. `kept_back`: how many were left for another request: the
    rest behind a canary, or behind the hundred runs that one request begins. `decided`: engines have taken the commands."""

    requeued: list[int]
    refused: list[RefusedLetter]
    canary: int | None
    kept_back: int
    decided: bool


class DiscardAnswer(msgspec.Struct, kw_only=True):
    """`left`: those that were not open."""

    discarded: list[int]
    left: list[int]


class PoisonEntry(msgspec.Struct, kw_only=True):
    """A message that nobody could read: where it lies, why, and its bytes. `item`: its place in an envelope; -1: the whole."""

    id: int
    topic: str
    partition: int
    offset: int
    item: int
    at: str
    reason: str
    body_base64: str
    state: Literal["open", "discarded"]
    handled_at: str | None
    by: str | None
    note: str | None


class WorkerEntry(msgspec.Struct, kw_only=True):
    """A worker as engines hear it. `held`: task runs that it has. `state` gone: it was not heard of late."""

    id: str
    incarnation: str
    state: Literal["alive", "draining", "gone"]
    queues: list[str]
    labels: dict[str, str]
    kinds: list[str]
    slots: int
    held: int
    seen_at: str


class Waiting(msgspec.Struct, kw_only=True):
    """Ready task runs in the line, by class of priority."""

    high: int
    normal: int
    low: int


class QueueEntry(msgspec.Struct, kw_only=True):
    """A queue: who listens to it, and how much they hold. A worker of several queues counts for each. `waiting` is null where the
    engines that know it live elsewhere."""

    name: str
    workers: int
    draining: int
    slots: int
    held: int
    waiting: Waiting | None


class Stats(msgspec.Struct, kw_only=True):
    """Figures of a project and of the installation. `runs`: live ones by state, and those that ended within the last `minutes`;
    `ended_per_minute`: of these. `tasks`: by state, the task runs of live runs that are no longer pending, in their newest
    generation; the first 50,000, and `tasks_complete` says whether there are no more. `dead_letters`: open ones. `workers`, `slots` and `held` are the installation's."""

    minutes: int
    runs: dict[str, int]
    live: int
    ended: int
    ended_per_minute: float
    tasks: dict[str, int]
    tasks_complete: bool
    dead_letters: int
    workers: int
    slots: int
    held: int
    engines: int


def letter_fields(letter: DeadLetter, task: str) -> dict[str, Any]:
    """The fields of a LetterEntry."""
    return {
        "id": letter.id,
        "run": letter.run_id,
        "workflow": letter.workflow,
        "task": task,
        "generation": letter.generation,
        "attempt": letter.attempt,
        "at": instant(letter.at),
        "error": _error(letter.error),
        "fingerprint": letter.fingerprint,
        "state": letter.state,
        "handled_at": instant(letter.handled_at),
        "by": letter.by,
        "note": letter.note,
    }


def group_entry(group: LetterGroup) -> GroupEntry:
    """Dead letters of one kind."""
    return GroupEntry(
        fingerprint=group.fingerprint,
        workflow=group.workflow,
        task=group.task_id,
        letters=group.letters,
        open=group.open,
        first_at=instant(group.first_at),
        newest_at=instant(group.newest_at),
        newest=group.newest,
        error=_error(group.error),
    )


def poison_entry(letter: PoisonLetter) -> PoisonEntry:
    """A message that nobody could read."""
    state: Any = letter.state
    return PoisonEntry(
        id=letter.id,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        item=letter.item,
        at=instant(letter.at),
        reason=letter.reason,
        body_base64=base64.b64encode(letter.body).decode(),
        state=state,
        handled_at=instant(letter.handled_at),
        by=letter.by,
        note=letter.note,
    )


def worker_entry(worker: WorkerRow, alive: bool) -> WorkerEntry:
    """A worker; `alive`: it was heard of late."""
    return WorkerEntry(
        id=worker.id,
        incarnation=worker.incarnation,
        state="gone" if not alive else "draining" if worker.draining else "alive",
        queues=list(worker.queues),
        labels=worker.labels,
        kinds=list(worker.kinds),
        slots=worker.slots,
        held=worker.held,
        seen_at=instant(worker.seen_at),
    )


def live_states(counts: dict[int, int]) -> tuple[dict[str, int], int, int]:
    """Runs by state in words; how many of them live, and how many have ended."""
    words = {RunState(state).word: number for state, number in sorted(counts.items())}
    ended = sum(number for state, number in counts.items() if RunState(state).final)
    return words, sum(counts.values()) - ended, ended


def task_states(counts: dict[int, int]) -> dict[str, int]:
    """Task runs by state in words."""
    return {TaskState(state).word: number for state, number in sorted(counts.items())}


def _error(error: bytes) -> ErrorEntry:
    fields = msgspec.json.decode(error)
    return ErrorEntry(kind=str(fields.get("kind")), message=str(fields.get("message")))
