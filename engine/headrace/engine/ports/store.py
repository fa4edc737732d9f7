"""The store: the truth. One contract suite (tests/contracts/test_store.py) runs on SQLite and on PostgreSQL.

Every row belongs to a project. Times are seconds since the epoch (UTC). JSON travels as bytes. Ids of runs are
UUIDv7 text beside a bigint `no`, which keys everything hot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from headrace.engine.ports.acts import Act
from headrace.engine.ports.backfills import Backfills
from headrace.engine.ports.letters import DeadLetterRow, DeadLetters, PoisonRow
from headrace.engine.ports.ownership import Owning
from headrace.engine.ports.pools import PoolBook
from headrace.engine.ports.registry import Registry
from headrace.engine.ports.roster import Roster
from headrace.engine.ports.schedules import Schedules
from headrace.engine.ports.waits import WaitKey, WaitRow, Waits
from headrace.engine.ports.workflow_settings import Settings

DEFAULT_PROJECT = "default"


class StoreUnavailable(Exception):
    """The store cannot be used: what, why and what to do, in one message (exit status 3)."""


class StoreLost(StoreUnavailable):
    """The store is gone from below its user and will not come back by itself: waiting for it is no use."""


class OutcomeUnknown(Exception):
    """The connection died after a commit was sent. `Store.settle` finds out what happened."""


class RowDamaged(Exception):
    """A stored payload does not match its checksum. Concerns one run only."""

    def __init__(self, run: int, what: str) -> None:
        self.run = run
        super().__init__(
            f"run {run}: stored {what} is damaged (its checksum differs). Other runs are not touched."
        )


class TaskRow(NamedTuple):
    """One row of task_runs, in column order. `inputs`, `items`, `child` None leave what is stored untouched."""

    run: int
    generation: int
    task: int
    map: int
    state: int
    reason: str | None
    attempt: int
    epoch: int
    n: int
    worker: str | None
    ready_at: float | None
    started_at: float | None
    finished_at: float | None
    due_at: float | None
    output: bytes | None  # JSON text; an artifact reference is {"uri","digest","size"} in `artifact`
    artifact: bytes | None
    error: bytes | None
    inputs: bytes | None
    child: str | None
    items: int | None
    by: str | None


class RunUpdate(NamedTuple):
    """The run's own columns that a batch may change; all are written."""

    no: int
    state: int
    reason: str | None
    generation: int
    started_at: float | None
    finished_at: float | None
    output: bytes | None
    artifact: bytes | None
    paused: bool
    generations: bytes | None  # JSON: what each rerun reset; None leaves it untouched
    version: int | None = None  # given when a rerun goes on with another version; None leaves it untouched
    plan: str | None = None  # the same for its plan's hash


class HistoryRow(NamedTuple):
    """A run's share of one batch: events and the transitions they caused, encoded by `engine.shell.history`."""

    run: int
    seq: int  # 1, 2, 3, ... per run
    at: float
    body: bytes


class Timer(NamedTuple):
    """What falls due for a run. Identity: (run, generation, task, map, kind); task -1 is the run's own."""

    run: int
    generation: int
    task: int
    map: int
    kind: str
    due_at: float


class TimerKey(NamedTuple):
    """Clears every timer of a task run (`kind` None) or one kind of it."""

    run: int
    generation: int
    task: int
    map: int
    kind: str | None = None


class InboxRow(NamedTuple):
    """A command for the engine that owns `part`. `id` is assigned by the store, in insertion order."""

    id: int
    part: int
    run: int | None
    kind: str  # start cancel kill pause resume rerun task child_ended ...
    body: bytes  # JSON object
    at: float


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to create. `key`: a business key, unique among live runs of its workflow. `idempotency`: unique for ever.

    `parent`: (run no, generation, task, map) of the task run that started it.
    """

    id: str
    project: str
    workflow: str
    version: int
    plan: str  # plan hash
    part: int
    params: bytes
    trigger: bytes  # JSON: {"kind": "manual" | "parent" | ..., "by": ..., ...}
    created_at: float
    scheduled_at: float
    priority: str
    event: bytes | None = None
    key: str | None = None
    idempotency: str | None = None
    parent: tuple[int, int, int, int] | None = None
    depth: int = 0
    folder: str | None = None  # embedded: where the workflow file lies
    file: str | None = None
    tags: tuple[str, ...] = ()


class RunRow(NamedTuple):
    """A run as stored."""

    no: int
    id: str
    project: str
    workflow: str
    version: int
    plan: str
    part: int
    state: int
    reason: str | None
    generation: int
    paused: bool
    params: bytes
    trigger: bytes
    event: bytes | None
    key: str | None
    parent: tuple[int, int, int, int] | None
    depth: int
    priority: str
    created_at: float
    scheduled_at: float
    started_at: float | None
    finished_at: float | None
    output: bytes | None
    artifact: bytes | None
    generations: bytes | None
    folder: str | None
    file: str | None
    seq: int  # its last history row


class CacheRow(NamedTuple):
    project: str
    key: str
    output: bytes | None
    artifact: bytes | None
    expires_at: float


class VersionRow(NamedTuple):
    """One registered version of a workflow. `document`: the canonical document, JSON, of which `plan` is the hash."""

    project: str
    name: str
    version: int
    plan: str
    document: bytes
    description: str | None
    tags: tuple[str, ...]
    created_at: float


class VersionNote(NamedTuple):
    """A registered version without its document, as lists show it."""

    project: str
    name: str
    version: int
    plan: str
    description: str | None
    tags: tuple[str, ...]
    created_at: float


@dataclass(slots=True)
class Batch:
    """What one engine commits at once for one part: all or nothing, and nothing when the part is no longer its own.

    `seq` is the part's counter after this batch, one more than before it; the store compares and writes it with the fence, so that
    an unknown outcome can be settled by reading it, and a database that has gone back (a standby that lagged, a restored
    copy) is not written to as if nothing had happened: such a part is lost, to be claimed again from what there is.
    """

    part: int
    epoch: int
    seq: int
    at: float
    next_offset: int | None = None
    tasks: list[TaskRow] = field(default_factory=list)  # upserted; each (run, generation, task, map) once
    runs: list[RunUpdate] = field(default_factory=list)
    history: list[HistoryRow] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)  # upserted, after `cleared`
    cleared: list[TimerKey] = field(default_factory=list)
    inbox_done: list[int] = field(default_factory=list)
    inbox_new: list[InboxRow] = field(default_factory=list)  # id is ignored
    runs_new: list[NewRun] = field(default_factory=list)  # one whose `idempotency` exists is left as it is
    cache: list[CacheRow] = field(default_factory=list)
    dead: list[DeadLetterRow] = field(default_factory=list)
    poison: list[PoisonRow] = field(default_factory=list)
    waits: dict[WaitKey, list[WaitRow]] = field(default_factory=dict)  # upserted by task run and place
    waited: list[WaitKey] = field(default_factory=list)  # task runs of which no wait is kept any more


@dataclass(slots=True)
class Loaded:
    """A run with everything its machine needs: rows of every generation, newest last; its timers."""

    run: RunRow
    tasks: list[
        TaskRow
    ]  # without error, inputs and the output of what has ended (all None): values() reads those when needed
    timers: list[Timer]


class StoredValue(NamedTuple):
    run: int
    generation: int
    task: int
    map: int
    state: int
    reason: str | None
    output: bytes | None
    artifact: bytes | None
    error: bytes | None
    inputs: bytes | None
    child: str | None


class Created(NamedTuple):
    no: int
    id: str
    existed: bool


class Store(Owning, Registry, DeadLetters, Roster, Settings, Schedules, Backfills, Waits, PoolBook, Protocol):
    """One open database. Only the owner of a part may `commit` for it; everybody may read and post to the inbox."""

    async def close(self) -> None: ...

    # the hot path ----------------------------------------------------------------------------------------------
    async def commit(self, batches: Sequence[Batch]) -> list[int]:
        """Write each batch in one transaction, whole, and durably. Returns the parts that were lost (epoch or counter differ):
        if there is any, nothing of any batch was written. Raises OutcomeUnknown, StoreUnavailable; anything else says that what
        was given cannot be written, however often it is tried, and that nothing was."""

    async def settle(self, batches: Sequence[Batch]) -> bool:
        """After OutcomeUnknown: True when the batches were written, False when not. A part that was claimed meanwhile tells
        nothing, and is found lost by the next commit; when that is every part: False."""

    async def values(self, keys: Sequence[tuple[int, int, int, int]]) -> list[StoredValue]:
        """Stored values by (run, generation, task, map), one query; missing ones are left out."""

    async def cached(
        self, project: str, keys: Sequence[str], now: float
    ) -> dict[str, tuple[bytes | None, bytes | None]]:
        """Unexpired cache entries: key → (output, artifact)."""

    # loading ---------------------------------------------------------------------------------------------------
    async def live_runs(self, part: int) -> list[int]:
        """Numbers of the runs of the part that are not final."""

    async def load(self, runs: Sequence[int]) -> list[Loaded]:
        """Runs with what their machines need, in the order asked for; unknown ones are left out. One without history has nothing
        yet but its row, and nothing else is looked for. Raises RowDamaged."""

    async def inbox(self, part: int, after: int, limit: int) -> list[InboxRow]: ...

    async def inboxes(self, after: Mapping[int, int], limit: int) -> list[InboxRow]:
        """The same for several parts in one query: `after` by part. At most `limit` rows of each, by part and id."""

    async def changed(self) -> Any:
        """A cheap token that differs when another process may have written (SQLite: data_version)."""

    # writing from outside (anyone) -----------------------------------------------------------------------------
    # With an act, its line of the audit and its key are written in the same transaction: Repeated, when the key is known. Such a
    # change is not done a second time when its answer was lost: OutcomeUnknown, and the key tells whoever asks again.

    async def create_run(
        self, run: NewRun, on_conflict: str = "use_existing", *, act: Act | None = None
    ) -> Created:
        """The run row (queued) and its `start` inbox row in one transaction. `on_conflict` when `key` is taken by a
        live run: use_existing | reject (raises KeyTaken). An act about this run (`object`: run, its id) is noted about the one that
        existed when there was one."""

    async def post(self, row: InboxRow, *, act: Act | None = None) -> int:
        """Insert a command; returns its id. Raises OutcomeUnknown."""

    async def post_all(self, rows: Sequence[InboxRow], *, act: Act | None = None) -> list[int]:
        """Insert commands, all or none; returns their ids, in the order given. Raises OutcomeUnknown."""

    # reading (anyone) ------------------------------------------------------------------------------------------
    async def run(self, no: int) -> RunRow | None: ...

    async def runs_of(self, project: str, numbers: Sequence[int]) -> list[RunRow]:
        """Those of these numbers that are runs of the project, in no order. Not checked, so that none hides the others."""

    async def existing(self, runs: Sequence[int]) -> list[int]:
        """Those of these numbers that are runs, live or ended."""

    async def waiting_for(self, part: int, run: int, kind: str) -> list[InboxRow]:
        """What stands in the part's inbox for one run, of one kind, oldest first."""

    async def unapplied(self, kind: str, most: int) -> int:
        """How many commands of a kind no engine has taken yet, counted up to `most`."""

    async def find_runs(self, project: str, prefix: str) -> list[RunRow]:
        """Runs whose id starts with `prefix` (at most 10). A whole id means one run, which is checked: raises RowDamaged."""

    async def list_runs(
        self,
        project: str,
        *,
        workflow: str | None = None,
        state: int | None = None,
        tag: str | None = None,
        created_after: float | None = None,
        created_before: float | None = None,
        text: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[RunRow]:
        """Newest first; `before` is a run number (keyset paging). `created_after` is within, `created_before` is not; `text` is the
        beginning of the run's workflow, id or key."""

    async def count_runs(self, project: str, since: float) -> dict[int, int]:
        """How many runs there are by state: those that live, and of those that ended the ones that did at `since` or later."""

    async def count_tasks(self, project: str, most: int) -> dict[int, int]:
        """How many task runs of the newest generation of live runs there are by state; those that have no row yet (pending) are
        not counted. At most `most` rows are looked at."""

    async def task_rows(self, run: int) -> list[TaskRow]:
        """Every stored task run of every generation, whole (outputs, errors and inputs too)."""

    async def history(self, run: int, after: int = 0, limit: int | None = None) -> list[HistoryRow]:
        """Rows with seq above `after`, in order, at most `limit` of them. Raises RowDamaged."""

    async def children(self, run: int) -> list[RunRow]: ...

    # what is kept ----------------------------------------------------------------------------------------------
    async def tend(self, before: float | None = None) -> None:
        """Make room for the coming weeks and drop whole partitions of what is older than `before`; delete what is over by itself:
        cached results and keys of requests that have expired, workers and engines that went away a day ago. Safe when two do
        it at once; daily is enough."""

    async def expire(self, before: float, limit: int = 100) -> int:
        """Delete at most `limit` runs that ended before `before`, with everything of theirs, and what was over by itself then. Runs
        with an open dead letter stay. Returns how many runs were deleted."""


class KeyTaken(Exception):
    """A live run has this business key already."""

    def __init__(self, key: str, run: str) -> None:
        self.key, self.run = key, run
        super().__init__(f'run {run} is live and has the key "{key}".')
