"""The messages of docs/messages.md: envelopes of items, one per worker or per part. Encoding is the adapter's business."""

from __future__ import annotations

from typing import Any

import msgspec

VERSION = 1


class Limits(msgspec.Struct, frozen=True, array_like=True):
    """Seconds. `attempt` None: no limit."""

    attempt: float | None = None
    heartbeat: float = 30.0
    grace: float = 10.0


class Job(msgspec.Struct, frozen=True):
    """What all attempts of one task of one plan share: made once a plan and task, never per attempt."""

    workflow: str
    task_id: str
    kind: str  # python shell http container, or switch (its python form)
    work: dict[
        str, Any
    ]  # python, switch: {"function"}; shell: {"run", "interpreter", "cwd"}; http: {"method", "expect", "redirects"}
    limits: Limits
    isolation: str = "thread"
    on_lost: str = "rerun"
    folder: str | None = None  # embedded: the workflow file's folder


class Hole(msgspec.Struct, frozen=True, array_like=True):
    """Where the worker fills in: `parts` are texts, {"secret": name} or {"artifact": uri, "digest", "size"}."""

    path: list[str | int]
    parts: list[str | dict[str, Any]]


class Dispatch(msgspec.Struct, frozen=True):
    """One attempt to make. `inputs` holds the filled templates by language key: with env argv url headers query json form body title."""

    run: int
    run_id: str
    generation: int
    task: int
    map: int
    attempt: int
    epoch: int
    n: int
    job: Job
    inputs: dict[str, Any]
    holes: list[Hole] = []
    priority: int = 1  # 0 high, 1 normal, 2 low
    trace: str | None = None


class Dispatches(msgspec.Struct, frozen=True, tag=True):
    to: str
    part: int
    epoch: int
    items: list[Dispatch]


class Abort(msgspec.Struct, frozen=True, tag=True):
    """`keys`: [run, generation, task, map, attempt]; `deliveries`: beside each, the [epoch, n] that is current.

    A worker that does not know the attempt reports it cancelled with that delivery: any other is stale.
    """

    to: str
    part: int
    epoch: int
    keys: list[tuple[int, int, int, int, int]]
    grace: float
    deliveries: list[tuple[int, int]] = []


class Ask(msgspec.Struct, frozen=True, tag=True):
    """`keys` None: everything held for this part. `deliveries`: beside each key, the [epoch, n] that is current.

    The worker adopts it if it is higher than its own, and answers `unknown` with it: any other is stale.
    """

    to: str
    part: int
    epoch: int
    keys: list[tuple[int, int, int, int, int]] | None
    deliveries: list[tuple[int, int]] = []


class Drain(msgspec.Struct, frozen=True, tag=True):
    """The worker is to take nothing more, finish what it holds, and leave. Said again until its beats say `draining`; another
    incarnation than the one that is named passes it over."""

    to: str
    part: int
    epoch: int
    incarnation: str


class Hello(msgspec.Struct, frozen=True, tag=True):
    """A worker says to its own inbox that it begins. Whoever reads this there behind a Hello of its own, from another
    incarnation, has lost the name to it, and ends."""

    to: str
    incarnation: str


class ErrorInfo(msgspec.Struct, frozen=True):
    kind: str
    message: str
    kinds: list[str] = []
    exit_code: int | None = None
    status: int | None = None
    reason: str | None = (
        None  # timed_out invalid_input invalid_output not_found secret_not_found lease_lost artifact_error ...
    )
    retryable: bool = True
    traceback: str | None = None  # goes to the attempt's log, not to history


class ArtifactRef(msgspec.Struct, frozen=True):
    uri: str
    digest: str
    size: int


class Report(msgspec.Struct, frozen=True):
    """`kind`: started succeeded failed skipped cancelled handed_back unknown. Times: seconds since the epoch, UTC."""

    run: int
    generation: int
    task: int
    map: int
    attempt: int
    epoch: int
    n: int
    kind: str
    started_at: float | None = None
    finished_at: float | None = None
    output: bytes | None = None  # JSON text of the value, None for null
    artifact: ArtifactRef | None = None
    error: ErrorInfo | None = None
    retry_after: float | None = None


class Reports(msgspec.Struct, frozen=True, tag=True):
    worker: str
    incarnation: str
    items: list[Report]


class Alive(msgspec.Struct, frozen=True, tag=True):
    """The held keys of one part, renewing their leases, and by queue the highest epoch of the part seen on its topic."""

    worker: str
    incarnation: str
    part: int
    seen: dict[str, int]
    held: list[tuple[int, int, int, int, int]]


class Nudge(msgspec.Struct, frozen=True, tag=True):
    """Look at the inbox now."""

    part: int


class Beat(msgspec.Struct, frozen=True, tag=True):
    worker: str
    incarnation: str
    inbox: int
    queues: list[str]
    labels: dict[str, str]
    slots: int
    ahead: int  # how many more than its slots it will start within 100 ms
    held: int
    draining: bool = False
    kinds: list[str] = []  # of tasks it can execute; none named: all


class Lines(msgspec.Struct, frozen=True, tag=True):
    """How many attempts wait in one engine's lines, by queue and class (high, normal, low). Sent on change of which queues
    have work, and every 2 s while any has."""

    engine: str
    depths: dict[str, tuple[int, int, int]]


class Log(msgspec.Struct, frozen=True):
    """One line an attempt wrote. `stream`: stdout stderr log."""

    run_id: str
    task_id: str
    map: int
    generation: int
    attempt: int
    at: float
    stream: str
    text: str


ToWorker = Dispatches | Abort | Ask | Drain
ToEngine = Reports | Alive | Nudge
