"""Policies as values: how a task is retried, timed, pooled, cached. What is left out keeps the language's default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.formulas import View
from headrace.dsl.python.values import bare, duration, listed, moment, written
from headrace.engine.core.problems import did_you_mean
from headrace.engine.core.workflow import Json

Duration: TypeAlias = str | timedelta
"""`"1h30m"` or a timedelta."""

Moment: TypeAlias = str | datetime
"""RFC 3339, or a datetime with its time zone."""

Condition: TypeAlias = int | str
"""A comparison of references (a bool to the type checker; ~ makes an int of it), or the text of an expression."""

Write: TypeAlias = Callable[[Any, View | None, str], Json]
"""Writes a value of one key as the language has it."""


class Policy:
    """A frozen dataclass whose fields are the keys of the language; None means not given."""

    writes: ClassVar[Mapping[str, Write]] = {}  # keys that are not plain values

    def document(self, view: View | None) -> dict[str, Json]:
        """The keys that were given, in the words of the language."""
        document = {}
        for item in fields(self):  # type: ignore[arg-type]  # every policy is a dataclass
            value = getattr(self, item.name)
            if value is not None:
                key = item.name.removesuffix("_")
                document[key] = self.writes.get(key, _plain)(value, view, key)
        return document


P = TypeVar("P", bound=Policy)


def policy(of: type[P], value: object, key: str) -> P:
    """`value` as a policy: itself, or made from a dict of its keys. Raises BuildError for an unknown key."""
    if isinstance(value, of):
        return value
    if isinstance(value, Mapping):
        known = {item.name.removesuffix("_"): item.name for item in fields(of)}  # type: ignore[arg-type]
        for name in value:
            if name not in known:
                raise BuildError(f'{key} has no key "{name}".', did_you_mean(str(name), known), code="schema")
        try:
            return of(**{known[name]: item for name, item in value.items()})
        except TypeError as problem:
            raise BuildError(f"{key}: {problem}", code="schema") from None
    raise BuildError(f"{key} takes {of.__name__}(…) or a dict of its keys, not {value!r}", code="schema")


def nested(of: type[Policy]) -> Write:
    """Writes one policy of this type."""
    return lambda value, view, key: policy(of, value, key).document(view)


def sequence(of: type[Policy]) -> Write:
    """Writes a list of policies of this type, or one alone."""
    return lambda values, view, key: [
        policy(of, value, key).document(view)
        for value in (values if isinstance(values, list | tuple) else [values])
    ]


def _plain(value: object, view: View | None, key: str) -> Json:
    return written(value, view)


def as_duration(value: object, view: View | None, key: str) -> Json:
    """Writes a duration."""
    return duration(value, key)


def as_moment(value: object, view: View | None, key: str) -> Json:
    """Writes a point in time."""
    return moment(value, key, view)


def _lists(value: object, view: View | None, key: str) -> Json:
    if not isinstance(value, Mapping):
        raise BuildError(f"{key} names its lists: {key}={{'a': […], 'b': […]}}", code="schema")
    return {name: listed(values, view) for name, values in value.items()}


def as_list(value: object, view: View | None, key: str) -> Json:
    """Writes what a map goes over."""
    return listed(value, view)


@dataclass(frozen=True, kw_only=True)
class Rule(Policy):
    """What to do about an error: the first rule whose `on` (over `error`) holds decides."""

    writes: ClassVar[Mapping[str, Write]] = {"on": bare, "delay": as_duration}

    on: Condition | None = None
    then: Literal["retry", "fail", "skip"] | None = None
    delay: Duration | None = None


@dataclass(frozen=True)
class Retry(Policy):
    """`attempts` counts tries, not repeats. The n-th wait is min(max_delay, delay·factor^(n-1)), jittered."""

    writes: ClassVar[Mapping[str, Write]] = {
        "delay": as_duration,
        "max_delay": as_duration,
        "rules": sequence(Rule),
    }

    attempts: int | None = None
    _: KW_ONLY
    delay: Duration | None = None
    factor: float | None = None
    max_delay: Duration | None = None
    jitter: Literal["full", "none"] | None = None
    rules: Sequence[Rule] | None = None


@dataclass(frozen=True, kw_only=True)
class Timeouts(Policy):
    """`queue`: ready to started. `attempt`: one try. `total`: ready to final. `heartbeat`: lease. `grace`: TERM to KILL."""

    writes: ClassVar[Mapping[str, Write]] = dict.fromkeys(
        ("queue", "attempt", "total", "heartbeat", "grace"), as_duration
    )

    queue: Duration | None = None
    attempt: Duration | None = None
    total: Duration | None = None
    heartbeat: Duration | None = None
    grace: Duration | None = None


@dataclass(frozen=True)
class Pool(Policy):
    """A task run holds `cost` of the pool's slots while it is out."""

    name: str
    cost: int | None = None


@dataclass(frozen=True)
class Cache(Policy):
    """For `ttl`, a task run with the same key (the inputs, if none is given) and version takes the earlier output."""

    writes: ClassVar[Mapping[str, Write]] = {"ttl": as_duration}

    ttl: Duration
    _: KW_ONLY
    key: object = None
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Poll(Policy):
    """Run again every so often until the condition over `output` holds."""

    writes: ClassVar[Mapping[str, Write]] = {"every": as_duration, "until": bare}

    every: Duration
    until: Condition


@dataclass(frozen=True, kw_only=True)
class Loop(Policy):
    """Repeat a group until the condition holds, at most `max` times."""

    writes: ClassVar[Mapping[str, Write]] = {"until": bare, "delay": as_duration}

    until: Condition
    max: int
    delay: Duration | None = None


@dataclass(frozen=True, kw_only=True)
class Concurrency(Policy):
    """At most `limit` at once of what has the same key."""

    writes: ClassVar[Mapping[str, Write]] = {"key": bare}

    key: Condition
    limit: int | None = None
    strategy: Literal["queue", "round_robin", "cancel_newest", "cancel_in_progress", "keep_newest"] | None = (
        None
    )


@dataclass(frozen=True)
class Map(Policy):
    """One run per element of `over`, of every pair (`product`), or of what stands side by side (`zip`).

    For constructors such as `shell`; a task's own `.map(…)` and `.product(…)` also fill its arguments.
    """

    writes: ClassVar[Mapping[str, Write]] = {"over": as_list, "product": _lists, "zip": _lists}

    over: object = None
    _: KW_ONLY
    product: Mapping[str, object] | None = None
    zip: Mapping[str, object] | None = None
    as_: str | None = None
    label: str | None = None
    max_items: int | None = None


@dataclass(frozen=True, kw_only=True)
class Limits(Policy):
    """How many runs of the workflow, and how many task runs in one run, may be active at once."""

    active_runs: int | None = None
    active_tasks: int | None = None


@dataclass(frozen=True)
class Signal(Policy):
    """A signal to wait for, by name; or several under `any` or `all`."""

    writes: ClassVar[Mapping[str, Write]] = {
        "key": bare,
        "match": bare,
        "lookback": as_duration,
        "expires": as_duration,
        # itself: looked up when it is used
        "any": lambda value, view, key: sequence(Signal)(value, view, key),
        "all": lambda value, view, key: sequence(Signal)(value, view, key),
    }

    name: str | None = None
    _: KW_ONLY
    key: Condition | None = None
    match: Condition | None = None
    lookback: Duration | None = None
    expires: Duration | None = None
    on_expiry: Literal["fail", "skip", "continue"] | None = None
    any: Sequence[Signal] | None = None
    all: Sequence[Signal] | None = None


@dataclass(frozen=True, kw_only=True)
class Retention(Policy):
    """How long finished runs, their logs and outputs are kept; the last `keep_last` always are."""

    writes: ClassVar[Mapping[str, Write]] = dict.fromkeys(
        ("success", "failed", "logs", "outputs"), as_duration
    )

    success: Duration | None = None
    failed: Duration | None = None
    logs: Duration | None = None
    outputs: Duration | None = None
    keep_last: int | None = None
