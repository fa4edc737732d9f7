"""The Workflow value: what a YAML file or a Python function says, checked key by key, with every default filled in.

Both spellings yield exactly these frozen values (through `headrace.dsl`), and the plan hash is taken from them.
Field names are the keys of the language (docs/language.md); a Python keyword gets a trailing underscore.
A field marked "template" holds JSON whose strings may contain `${{ … }}`; one marked "bare" holds one expression
without the enclosing `${{ }}`; both are canonical text (see `headrace.engine.core.expressions`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""None, bool, int (64 bits), float (finite), str, list[Json] or dict[str, Json]."""


class _Empty(Mapping[str, Any]):
    """The mapping with nothing in it: hashable, so that frozen values may have it as a default."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"

    def __reduce__(self) -> str:
        return "EMPTY"


EMPTY: Mapping[str, Any] = _Empty()


class Kind(StrEnum):
    """What a task does. Exactly one a task."""

    PYTHON = "python"
    SHELL = "shell"
    HTTP = "http"
    CONTAINER = "container"
    WORKFLOW = "workflow"
    SLEEP = "sleep"
    SIGNAL = "signal"
    APPROVAL = "approval"
    SWITCH = "switch"
    GATE = "gate"
    NOOP = "noop"
    GROUP = "group"


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class PythonCall:
    """`module:function`, called with the task's `with` as keywords."""

    function: str


@dataclass(frozen=True, slots=True)
class Shell:
    """Either `run` (program text, never a template) or `argv` (each element a template, always data)."""

    run: str | None = None
    argv: tuple[str, ...] | None = None
    interpreter: tuple[str, ...] = ("bash", "-eo", "pipefail", "-c")
    cwd: str | None = None


@dataclass(frozen=True, slots=True)
class Http:
    url: str  # template
    method: str = "GET"
    headers: Mapping[str, str] = EMPTY  # templates
    query: Json = None  # template: map
    json: Json = None  # template
    form: Json = None  # template: map
    body: str | None = None  # template
    has_json: bool = False  # tells `json: null` from no json
    expect: tuple[tuple[int, int], ...] = ((200, 299),)  # inclusive ranges of good statuses
    redirects: int = 0


@dataclass(frozen=True, slots=True)
class Container:
    image: str
    argv: tuple[str, ...] = ()  # templates
    cpu: str | None = None
    memory: str | None = None
    pull: str | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """Runs another workflow; the task's `with` gives its parameters."""

    name: str
    wait: bool = True
    on_cancel: str = "cancel"  # cancel | abandon
    version: str | int = "latest"


@dataclass(frozen=True, slots=True)
class Sleep:
    """Either a duration or a moment (`until`: template giving an RFC 3339 time)."""

    duration: timedelta | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """One awaited signal (`name`), or several under `any`/`all`."""

    name: str | None = None
    key: str | None = None  # bare
    match: str | None = None  # bare
    lookback: timedelta = timedelta(0)
    expires: timedelta | None = None
    on_expiry: str = "fail"
    any: tuple[Signal, ...] = ()
    all: tuple[Signal, ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's decision."""

    title: str | None = None  # template
    form: Mapping[str, Json] = EMPTY
    roles: tuple[str, ...] = ()
    approvers: int = 1
    self_: bool = False
    expires: timedelta | None = None
    on_expiry: str = "fail"
    on_reject: str = "fail"


@dataclass(frozen=True, slots=True)
class Case:
    when: str  # bare
    then: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Switch:
    """The first true case names the direct downstream tasks that go on; or a Python function returns their ids."""

    cases: tuple[Case, ...] = ()
    default: tuple[str, ...] = ()
    python: str | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    when: str  # bare
    respect_trigger_rules: bool = False


@dataclass(frozen=True, slots=True)
class Noop:
    pass


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks that enter, map and loop together. Their ids are written here without the group's prefix."""

    tasks: tuple[Task, ...]
    output: Json = None  # template
    loop: Loop | None = None


@dataclass(frozen=True, slots=True)
class Loop:
    """Repeats a group. Not run yet."""

    until: str  # bare
    max: int
    delay: timedelta = timedelta(0)


Work: TypeAlias = (
    PythonCall | Shell | Http | Container | Child | Sleep | Signal | Approval | Switch | Gate | Noop | Group
)


@dataclass(frozen=True, slots=True)
class Map:
    """One run of the task (or group) per element. Exactly one of over, product, zip."""

    over: Json = None  # template: a list, or one lone template
    product: Mapping[str, Json] | None = None  # templates, in written order
    zip: Mapping[str, Json] | None = None  # templates
    as_: str = "item"
    label: str | None = None  # template
    max_items: int = 100_000


@dataclass(frozen=True, slots=True)
class RetryRule:
    on: str | None  # bare over `error`; None matches everything
    then: str = "retry"  # retry | fail | skip
    delay: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """`attempts` counts tries. The n-th wait is min(max_delay, delay·factor^(n-1)), jittered."""

    attempts: int = 1
    delay: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    max_delay: timedelta = timedelta(minutes=5)
    jitter: str = "full"  # full | none
    rules: tuple[RetryRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """`queue`: ready to started. `attempt`: one try. `total`: ready to final. `heartbeat`: lease. `grace`: TERM to KILL."""

    queue: timedelta | None = None
    attempt: timedelta | None = None
    total: timedelta | None = None
    heartbeat: timedelta = timedelta(seconds=30)
    grace: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Pool:
    name: str
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Cache:
    ttl: timedelta
    key: Json = None  # template; None: the inputs
    version: str = ""


@dataclass(frozen=True, slots=True)
class Poll:
    """Run again until the condition over `output` holds. Not run yet."""

    every: timedelta
    until: str  # bare


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most `limit` runs whose key comes to the same; `strategy`: see `core.limits`."""

    key: str  # bare
    limit: int = 1
    strategy: str = "queue"


@dataclass(frozen=True, slots=True)
class Task:
    """A node of the graph as written. `id` is local to its group; the full id is `group.task`."""

    id: str
    work: Work
    depends_on: tuple[str, ...] = ()  # ids as written, each once, in written order
    trigger_rule: str = "all_success"  # a rule's name, or a rule expression
    when: str | None = None  # bare
    with_: Mapping[str, Json] = EMPTY  # templates
    env: Mapping[str, Json] = EMPTY  # templates
    map: Map | None = None
    max_parallel: int | None = None
    tolerate: int | float = 0  # an int: items; a float in 0..1: a share of the items
    fail_fast: bool = False
    on_empty: str = "skip"  # skip | succeed
    retry: Retry = Retry()
    timeouts: Timeouts = Timeouts()
    queue: str = "default"
    labels: Mapping[str, str] = EMPTY
    pool: Pool | None = None
    cache: Cache | None = None
    poll: Poll | None = None
    teardown_of: tuple[str, ...] | None = None  # None: no teardown; () is a teardown without setups
    fails_run: bool = False
    compensate: Task | None = None
    priority: Priority | None = None  # None: the run's
    concurrency: tuple[Concurrency, ...] = ()
    on_lost: str = "rerun"  # rerun | fail (docs/design/protocol.md)
    isolation: str = "thread"  # thread | process; python only
    tags: tuple[str, ...] = ()
    description: str | None = None  # outside the hash

    @property
    def kind(self) -> Kind:
        return KINDS[type(self.work)]


KINDS: dict[type, Kind] = {
    PythonCall: Kind.PYTHON,
    Shell: Kind.SHELL,
    Http: Kind.HTTP,
    Container: Kind.CONTAINER,
    Child: Kind.WORKFLOW,
    Sleep: Kind.SLEEP,
    Signal: Kind.SIGNAL,
    Approval: Kind.APPROVAL,
    Switch: Kind.SWITCH,
    Gate: Kind.GATE,
    Noop: Kind.NOOP,
    Group: Kind.GROUP,
}

WORKER_KINDS = frozenset((Kind.PYTHON, Kind.SHELL, Kind.HTTP, Kind.CONTAINER))
"""The kinds that a worker executes; a switch in its `python` form is executed too. All others the engine decides."""


@dataclass(frozen=True, slots=True)
class Limits:
    active_runs: int | None = None
    active_tasks: int | None = None


@dataclass(frozen=True, slots=True)
class Workflow:
    """One workflow as written. `tasks`, `on_failure` and `finally_` are sorted by id: writing order has no meaning."""

    name: str
    tasks: tuple[Task, ...]
    params: Mapping[str, Mapping[str, Json]] = (
        EMPTY  # name → JSON Schema 2020-12; `default` may be a template
    )
    limits: Limits = Limits()
    concurrency: tuple[Concurrency, ...] = ()
    priority: Priority = Priority.NORMAL
    deadline: timedelta | None = None
    on_failure: tuple[Task, ...] = ()
    finally_: tuple[Task, ...] = ()
    output: Json = None  # template
    # outside the hash:
    description: str | None = None
    tags: tuple[str, ...] = ()
    triggers: tuple[Mapping[str, Json], ...] = ()  # checked, defaults filled in, durations as text
    retention: Mapping[str, Json] | None = None
    notify: tuple[Mapping[str, Json], ...] = field(default=())


OUTSIDE_HASH = frozenset(("description", "tags", "triggers", "retention", "notify"))
"""Top-level keys whose change does not make a new version (language.md, section 13); of a task: `description`."""
