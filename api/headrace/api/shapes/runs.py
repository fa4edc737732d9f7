"""Runs, as the API shows them and as it is asked for them. No Litestar here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from headrace.api.showing.documents import standing_word, state_word
from headrace.api.showing.times import instant
from headrace.api.veiling import Veil
from headrace.engine.core.states import RunState
from headrace.engine.ports.cache import Degraded, Status
from headrace.engine.ports.store import RunRow

RunStateWord = Literal["queued", "running", "paused", "cancelling", "succeeded", "failed", "cancelled"]
PriorityWord = Literal["high", "normal", "low"]
OnConflict = Literal["use_existing", "reject", "cancel_existing"]
BulkAction = Literal["cancel", "kill", "pause", "resume", "rerun"]

NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,99}$"
"""Of a workflow."""
TEXT = r"^[^\x00]*$"
"""Text that a database can keep."""
Text = Annotated[str, Meta(min_length=1, max_length=500, pattern=TEXT)]
Reason = Annotated[str, Meta(min_length=1, max_length=2000, pattern=TEXT)]
Number = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Name = Annotated[str, Meta(pattern=NAME)]
Moment = Annotated[str, Meta(max_length=40, description="RFC 3339, with Z or an offset")]

ONCE = "once"
"""In a stored trigger: which Idempotency-Key has begun the run, as a hash. Nobody is shown it."""
INLINE_OUTPUT = 64 * 1024
"""Bytes of output that a run shows by itself; more than that is read from /output."""


class RunEntry(msgspec.Struct, kw_only=True):
    """A run, without its tasks. `redacted`: `params` and `output` are null because your role does not see values."""

    run: str
    workflow: str
    version: int
    plan: str
    state: RunStateWord
    reason: str | None
    generation: int
    priority: str
    key: str | None
    params: dict[str, Any] | None
    trigger: dict[str, Any]
    created_at: str
    scheduled_at: str
    started_at: str | None
    finished_at: str | None
    duration_seconds: float | None
    redacted: bool


class RunDetail(RunEntry, kw_only=True):
    """A run with its output. `output_size`: its bytes when it is too large to stand here; it is read from /output then.
    `set_aside`: why no engine goes on with it, where one has said so; another one tries it again."""

    output: Any = None
    output_size: int | None = None
    set_aside: str | None = None


def run_entry(row: RunRow, veil: Veil) -> RunEntry:
    """The run as lists show it."""
    return RunEntry(**_fields(row, veil))


def run_detail(
    row: RunRow, veil: Veil, artifact_size: int | None = None, aside: str | None = None
) -> RunDetail:
    """The run by itself. `artifact_size`: of its output, when that is kept among the artifacts; `aside`: see RunDetail."""
    size = artifact_size if artifact_size is not None else len(row.output or b"")
    large = artifact_size is not None or size > INLINE_OUTPUT
    return RunDetail(
        **_fields(row, veil),
        output=None if large else veil.value(row.output),
        output_size=size if large else None,
        set_aside=aside,
    )


def begun_entry(row: RunRow, veil: Veil) -> RunEntry:
    """The run as it was when it had just been created: the same whenever, and however often, that is told."""
    state = RunState.QUEUED
    born = row._replace(
        state=state, reason=None, generation=1, paused=False, started_at=None, finished_at=None
    )
    return run_entry(born, veil)


def _fields(row: RunRow, veil: Veil) -> dict[str, Any]:
    began, ended = row.started_at, row.finished_at
    return {
        "run": row.id,
        "workflow": row.workflow,
        "version": row.version,
        "plan": row.plan,
        "state": state_word(row),
        "reason": row.reason,
        "generation": row.generation,
        "priority": row.priority,
        "key": row.key,
        "params": veil.value(row.params),
        "trigger": _trigger(row.trigger),
        "created_at": instant(row.created_at),
        "scheduled_at": instant(row.scheduled_at),
        "started_at": instant(began),
        "finished_at": instant(ended),
        "duration_seconds": None if ended is None or began is None else round(ended - began, 6),
        "redacted": veil.redacted,
    }


def _trigger(data: bytes) -> dict[str, Any]:
    trigger: dict[str, Any] = msgspec.json.decode(data)
    trigger.pop(ONCE, None)
    return trigger


class DegradedCache(msgspec.Struct, kw_only=True):
    """The cache cannot be used, so answers come from the database: why, and since when."""

    why: str
    since: str


class RunStatus(msgspec.Struct, kw_only=True):
    """How a run stands. `tasks`: how many task runs are in each state that occurs. At most ten seconds old."""

    run: str
    workflow: str
    version: int
    state: RunStateWord
    reason: str | None
    generation: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    tasks: dict[str, int]
    degraded: DegradedCache | None


def run_status(status: Status, degraded: Degraded | None) -> RunStatus:
    """The status that the cache or the store told."""
    word: Any = standing_word(status)
    return RunStatus(
        run=status.run,
        workflow=status.workflow,
        version=status.version,
        state=word,
        reason=status.reason,
        generation=status.generation,
        created_at=instant(status.created_at),
        started_at=instant(status.started_at),
        finished_at=instant(status.finished_at),
        tasks=status.tasks,
        degraded=None if degraded is None else DegradedCache(why=degraded.why, since=instant(degraded.since)),
    )


# -- asked for -------------------------------------------------------------------------------------------------------


class StartBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a run is started with. `key`: a business key, of which one run of the workflow lives at a time; `on_conflict` says
    what happens when one does. `scheduled_at`: the moment that the run is for (`run.scheduled_at`, `run.date`), now or past.
    `version`: of the workflow; the newest when left out. `select`, `exclude`: selectors (`a`,
    `+a`, `a+`, `tag:x`) of the part of the graph that runs; the rest is skipped."""

    params: dict[str, Any] = {}
    version: Number | None = None
    priority: PriorityWord | None = None
    key: Text | None = None
    on_conflict: OnConflict = "use_existing"
    select: list[Text] = []
    exclude: list[Text] = []
    scheduled_at: Moment | None = None


class InlineBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A run of a graph that comes with it. `workflow`: the document, as an object or as YAML text; it becomes a version of the
    workflow that it names. The rest is as for a registered workflow."""

    workflow: dict[str, Any] | str
    params: dict[str, Any] = {}
    priority: PriorityWord | None = None
    key: Text | None = None
    on_conflict: OnConflict = "use_existing"
    select: list[Text] = []
    exclude: list[Text] = []
    scheduled_at: Moment | None = None

    @property
    def start(self) -> StartBody:
        """All but the graph."""
        return StartBody(
            params=self.params,
            priority=self.priority,
            key=self.key,
            on_conflict=self.on_conflict,
            select=self.select,
            exclude=self.exclude,
            scheduled_at=self.scheduled_at,
        )


class CancelBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why; it is kept with the decision."""

    reason: Reason | None = None


class RerunBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """`from`: `failed`, or task runs as written (`price`, `price[7]`); everything downstream of them runs again too.
    `inputs`: what these tasks are given in place of their `with`. `version`: of the workflow to go on with, or `latest`; the
    run's own when left out."""

    from_: Annotated[
        Literal["failed"] | list[Annotated[str, Meta(min_length=1, max_length=300)]],
        Meta(description="failed, or task runs as written"),
    ] = "failed"
    inputs: dict[str, Any] | None = None
    version: Number | Literal["latest"] | None = None


class RunFilter(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The runs that are meant; those for which everything given is true."""

    workflow: Name | None = None
    state: RunStateWord | None = None
    tag: Text | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    text: Text | None = None


class BulkBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """First `action` and `filter`: the answer is a plan. Then `confirm` with its `plan_id`, alone: it is applied."""

    action: BulkAction | None = None
    filter: RunFilter | None = None
    reason: Reason | None = None
    confirm: Annotated[str, Meta(min_length=1, max_length=200_000)] | None = None


class BulkPlan(msgspec.Struct, kw_only=True):
    """What would be done: to how many runs, and to which first. `matched`: how many runs the filter finds; those that the
    action means nothing to (a run that has ended cannot be paused) are left out. Good until `expires_at`."""

    plan_id: str
    action: BulkAction
    matched: int
    runs: int
    states: dict[str, int]
    sample: list[RunEntry]
    expires_at: str


class Unmoved(msgspec.Struct, kw_only=True):
    """A run of the plan that was left alone."""

    run: str
    why: str


class BulkApplied(msgspec.Struct, kw_only=True):
    """What was asked of the engines: `posted` runs got the command now, `earlier` had it from this plan before. `skipped`: the
    first hundred of those that were left alone; `skipped_runs` says how many."""

    action: BulkAction
    posted: int
    earlier: int
    skipped_runs: int
    skipped: list[Unmoved]
