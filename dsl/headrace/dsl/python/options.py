"""The keys that a task, a group and a child workflow take in Python, and how they are written into the document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, TypedDict

from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.formulas import View
from headrace.dsl.python.policies import (
    Cache,
    Concurrency,
    Condition,
    Duration,
    Loop,
    Map,
    Policy,
    Poll,
    Pool,
    Retry,
    Timeouts,
    Write,
    as_duration,
    nested,
    policy,
    sequence,
)
from headrace.dsl.python.references import Reference, formula
from headrace.dsl.python.tracing import Document, ItemView, Node, Scope, scope_of
from headrace.dsl.python.values import bare, listed, written
from headrace.engine.core.problems import did_you_mean
from headrace.engine.core.workflow import Json

TriggerRule: TypeAlias = (
    Literal[
        "all_success",
        "all_failed",
        "all_done",
        "all_done_min_one_success",
        "all_done_setup_success",
        "one_success",
        "one_failed",
        "one_done",
        "none_failed",
        "none_failed_min_one_success",
        "none_skipped",
        "all_skipped",
        "always",
    ]
    | str
)
"""One of the thirteen names, or a rule expression such as `"success(a) && rate(b) >= 0.9"`."""


class _Common(TypedDict, total=False):
    id: str
    depends_on: object
    """What a task call gave, an id, or a list of them."""
    trigger_rule: TriggerRule
    when: Condition
    max_parallel: int
    tolerate: int | str
    fail_fast: bool
    on_empty: Literal["skip", "succeed"]
    as_: str
    label: str
    max_items: int
    tags: Sequence[str]
    description: str


class TaskOptions(_Common, total=False):
    """Every key that a task takes beside its kind; `as_`, `label` and `max_items` belong to its map."""

    env: Mapping[str, object]
    map: object
    retry: int | Retry
    timeout: Duration
    timeouts: Timeouts
    queue: str
    labels: Mapping[str, str]
    pool: str | Pool
    cache: Cache
    poll: Poll
    teardown_of: object
    fails_run: bool
    compensate: object
    priority: Literal["high", "normal", "low"]
    concurrency: Sequence[Concurrency]
    on_lost: Literal["rerun", "fail"]
    isolation: Literal["thread", "process"]


class GroupOptions(_Common, total=False):
    """The keys of a group."""

    loop: Loop


class ChildOptions(_Common, total=False):
    """The keys of a task that runs another workflow."""

    wait: bool
    on_cancel: Literal["cancel", "abandon"]
    version: str | int
    timeout: Duration
    timeouts: Timeouts
    teardown_of: object
    fails_run: bool
    compensate: object
    priority: Literal["high", "normal", "low"]
    concurrency: Sequence[Concurrency]


TASK = frozenset(TaskOptions.__annotations__)
GROUP = frozenset(GroupOptions.__annotations__)
CHILD = frozenset(ChildOptions.__annotations__)

Options: TypeAlias = dict[str, Any]

_REFERABLE = frozenset(("depends_on", "teardown_of", "map", "label", "env", "compensate"))
_OUTSIDE = frozenset(("id", "map", "as_", "label", "max_items", "wait", "on_cancel", "version"))


def checked(options: Mapping[str, Any], known: Iterable[str], what: str) -> Options:
    """The options that were given. Raises BuildError for an unknown one, and for a condition decided by Python."""
    names = frozenset(known)
    for name, value in options.items():
        if name not in names:
            raise BuildError(f'{what} has no option "{name}".', did_you_mean(name, names), code="schema")
        if name == "when":
            if value is not None and (isinstance(value, bool) or not isinstance(value, str | Reference)):
                bare(value, None, "when")
        elif isinstance(value, Reference) and name not in _REFERABLE:
            raise BuildError(
                f"{name} cannot be a reference: it is fixed when the workflow is built",
                "Give a plain value.",
                code="schema",
            )
    return dict(options)


def upstream_ids(value: object, scope: Scope, key: str) -> list[str]:
    """The ids that `depends_on` or `teardown_of` names in `scope`: of references, tasks' texts, or a list of them.

    Raises BuildError for what is no task.
    """
    if isinstance(value, list | tuple | set | frozenset):
        found = [name for one in value for name in upstream_ids(one, scope, key)]
    elif isinstance(value, str):
        found = [str(value)]
    else:
        node = getattr(value, "__node__", None) if not isinstance(value, Reference) else None
        roots = (
            formula(value).roots() if isinstance(value, Reference) else ((node,) if node is not None else ())
        )
        found = [root.name_at(scope) for root in roots if isinstance(root, Node)]
        if not found:
            raise BuildError(
                f"{key} takes what a task call gave, or an id; {_shown(value)} comes from no task",
                code="schema",
            )
    return list(dict.fromkeys(found))


def _shown(value: object) -> str:
    name = getattr(value, "__name__", None) if not isinstance(value, Reference) else None
    return str(name if name is not None else value)


def write_options(
    options: Options, document: Document, scope: Scope, item: str | None, over: Json | None
) -> None:
    """Adds the options to a task's document. `item`: the name of the map's item; `over`: the map as it goes."""
    inner = ItemView(scope, item)
    if over is not None:
        document["map"] = _map(options, over, item, inner)
    elif "map" in options:
        document["map"] = _given_map(options, scope, item, inner)
    for key, value in options.items():
        if value is not None and key not in _OUTSIDE:
            write = _WRITERS.get(key)
            document[key] = written(value, inner) if write is None else write(value, inner, key)


def item_name(options: Options, fallback: str = "item") -> str:
    """The name that the item takes in a mapped task."""
    given = options.get("map")
    named = getattr(given, "as_", None) if isinstance(given, Map) else None
    return str(options.get("as_") or named or fallback)


def _map(options: Options, over: Json, item: str | None, inner: ItemView) -> Json:
    """The short form where nothing else is said."""
    extra: dict[str, Json] = {
        key: written(options[key], inner) for key in ("label", "max_items") if key in options
    }
    if item != "item":
        extra["as"] = item
    if not extra:
        return over
    return {**(over if isinstance(over, dict) else {"over": over}), **extra}


def _given_map(options: Options, scope: Scope, item: str | None, inner: ItemView) -> Json:
    given = options["map"]
    if not isinstance(given, Map | Mapping):
        return _map(options, listed(given, scope), item, inner)
    made = policy(Map, given, "map")
    document = made.document(scope)
    if made.label is not None:
        document["label"] = written(made.label, inner)
    return _map(options, document, item, inner)


def _retry(value: object, view: View | None, key: str) -> Json:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return policy(Retry, value, key).document(view)


def _pool(value: object, view: View | None, key: str) -> Json:
    return value if isinstance(value, str) else policy(Pool, value, key).document(view)


def _compensation(value: Any, view: View | None, key: str) -> Json:
    """The task that undoes this one: an `@task`, or a task as a dict of the language's keys."""
    if isinstance(value, Mapping):
        return written(value, view)
    if isinstance(value, Reference) or view is None or not hasattr(value, "undoing"):
        raise BuildError(
            f"{key} takes a task itself, not {_shown(value)}", "Leave out the call.", code="schema"
        )
    return value.undoing(scope_of(view))


def _upstreams(value: object, view: View | None, key: str) -> Json:
    assert view is not None
    return upstream_ids(value, scope_of(view), key)


@dataclass(frozen=True, kw_only=True)
class Defaults(Policy):
    """What every task of the workflow takes that its kind knows; retry, timeouts, labels and env merge key by key."""

    writes: ClassVar[Mapping[str, Write]] = {
        "pool": _pool,
        "retry": _retry,
        "timeout": as_duration,
        "timeouts": nested(Timeouts),
    }

    queue: str | None = None
    labels: Mapping[str, str] | None = None
    pool: str | Pool | None = None
    retry: int | Retry | None = None
    timeout: Duration | None = None
    timeouts: Timeouts | None = None
    env: Mapping[str, object] | None = None
    priority: Literal["high", "normal", "low"] | None = None
    max_parallel: int | None = None
    tolerate: int | str | None = None


_WRITERS: dict[str, Write] = {
    "when": bare,
    "depends_on": _upstreams,
    "teardown_of": _upstreams,
    "retry": _retry,
    "timeout": as_duration,
    "timeouts": nested(Timeouts),
    "pool": _pool,
    "cache": nested(Cache),
    "poll": nested(Poll),
    "loop": nested(Loop),
    "concurrency": sequence(Concurrency),
    "compensate": _compensation,
}
