"""Decisions: what the core answers. Transitions and rows to commit, effects to perform after the commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from headrace.engine.core.evaluation import Artifact, Filled
from headrace.engine.core.events import Error, Event
from headrace.engine.core.keys import Key
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.waiting import Asked, Listening
from headrace.engine.core.workflow import Json


class Transition(NamedTuple):
    """One move of one task run. History keeps it beside the event that caused it."""

    event: int  # position of the cause in the batch's events
    key: Key
    before: int
    after: int
    reason: str | None
    attempt: int


@dataclass(slots=True)
class Row:
    """A task run as the store keeps it, written once a batch with its last state."""

    state: TaskState = TaskState.PENDING
    reason: str | None = None
    attempt: int = 0
    epoch: int = 0
    n: int = 0
    worker: str | None = None
    ready_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    due_at: float | None = None  # when a retry, a sleep or a poll goes on
    output: bytes | None = None  # JSON text; before the end: what a wait has come to so far
    artifact: Artifact | None = None
    error: Error | None = None
    inputs: Filled | None = None  # judged once; None here leaves what is stored untouched
    child: str | None = None  # id of the child run
    items: int | None = None  # a mapped node's head: how many items it expanded to
    by: str | None = None  # who asked, when a person moved it


class Ready(NamedTuple):
    """To the line: this task run may be dispatched."""

    key: Key
    since: float


class Send(NamedTuple):
    """An attempt to dispatch, once committed."""

    key: Key
    attempt: int
    epoch: int
    n: int
    worker: str
    inputs: Filled


class Abort(NamedTuple):
    """Stop the attempt: SIGTERM, after `grace` seconds SIGKILL."""

    key: Key
    attempt: int
    worker: str
    grace: float


class SetTimer(NamedTuple):
    key: Key | None
    kind: str
    due_at: float


class ClearTimers(NamedTuple):
    key: Key | None


class StartChild(NamedTuple):
    key: Key
    workflow: str
    version: str | int
    params: Filled
    wait: bool


class CancelChild(NamedTuple):
    key: Key
    child: str
    kill: bool


class RequestSlots(NamedTuple):
    key: Key
    pool: str
    cost: int


class ReleaseSlots(NamedTuple):
    key: Key
    pool: str
    cost: int


class Await(NamedTuple):
    """Others are to find that this task run waits for them; told again, it replaces what was said before. `known`: they
    find it already, and what has come meanwhile is all there is to look for."""

    key: Key
    wait: Asked | Listening
    known: bool = False


class Awaited(NamedTuple):
    """It waits no more."""

    key: Key


class StoreCache(NamedTuple):
    cache_key: str
    output: bytes | None
    artifact: Artifact | None
    expires_at: float


class DeadLetter(NamedTuple):
    """An attempt that failed for good."""

    key: Key
    attempt: int
    error: Error


Effect = (
    Send
    | Abort
    | SetTimer
    | ClearTimers
    | StartChild
    | CancelChild
    | RequestSlots
    | ReleaseSlots
    | Await
    | Awaited
    | StoreCache
    | DeadLetter
)


class RunChange(NamedTuple):
    """The run's own row after the batch."""

    state: RunState
    reason: str | None
    generation: int
    started_at: float | None
    finished_at: float | None
    output: bytes | None
    artifact: Artifact | None
    paused: bool


@dataclass(slots=True, init=False)
class Decision:
    """One run's share of a batch. `rows` is keyed by (generation, key): a rerun's rows belong to the new one."""

    events: list[Event]
    transitions: list[Transition]
    rows: dict[Key, Row]
    generation: int
    ready: list[Ready]
    withdrawn: list[Key]  # ready before, no longer (cancelled, paused)
    effects: list[Effect]
    run: RunChange | None
    stale: int  # events that were out of date and changed nothing
    more: bool  # a slice ended: feed `Continued` after the commit
    rounds: list[int]  # where in `events` each call of `decide` began

    # One for each run that a turn touches: what dataclass makes of default factories takes twice as long.
    def __init__(
        self,
        events: list[Event] | None = None,
        transitions: list[Transition] | None = None,
        rows: dict[Key, Row] | None = None,
        generation: int = 1,
        run: RunChange | None = None,
    ) -> None:
        self.events = [] if events is None else events
        self.transitions = [] if transitions is None else transitions
        self.rows = {} if rows is None else rows
        self.generation = generation
        self.ready = []
        self.withdrawn = []
        self.effects = []
        self.run = run
        self.stale = 0
        self.more = False
        self.rounds = []


class Need(NamedTuple):
    """Values the core lacks. The shell answers with {key: Value} and {cache key: bytes | None}."""

    outputs: frozenset[Key]  # whose stored output (and error, reason, child) an expression reads
    load: frozenset[Key]  # those of `outputs` whose artifact, if any, must be loaded
    inputs: frozenset[Key]  # whose stored inputs a further attempt sends again
    cache: frozenset[str]
    plan: str | None = None  # hash of a plan to go on with; with it, the rows that count now
    contents: frozenset[Artifact] = frozenset()  # what they hold: an output that is no task run's (yet)


class Value(NamedTuple):
    """What the store holds of one task run, as expressions see it."""

    output: Json | Artifact
    error: Error | None = None
    reason: str | None = None
    child: str | None = None
    inputs: Filled | None = None
