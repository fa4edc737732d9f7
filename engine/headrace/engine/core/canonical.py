"""The canonical document of a workflow, and the plan hash taken from it.

A document is plain JSON in the words of the language. It is compact and deterministic: a key stands in it exactly when its
value differs from the default of the frozen dataclass (which is complete: defaults depend on nothing outside it), so two
workflows that mean the same have the same document, and `from_document(to_document(w)) == w`.

It can be read as a workflow file with one exception: canonical JSON sorts keys, but the order of a `product` has a meaning,
so it is written as a list of one-key maps. `language_document` writes it as the language does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from itertools import islice
from json import JSONEncoder
from operator import attrgetter
from typing import Any, TypeAlias

from headrace.engine.core.units import format_duration, format_share, parse_duration, parse_share
from headrace.engine.core.workflow import (
    OUTSIDE_HASH,
    Approval,
    Cache,
    Case,
    Child,
    Concurrency,
    Container,
    Gate,
    Group,
    Http,
    Json,
    Kind,
    Limits,
    Loop,
    Map,
    Noop,
    Poll,
    Pool,
    Priority,
    PythonCall,
    Retry,
    RetryRule,
    Shell,
    Signal,
    Sleep,
    Switch,
    Task,
    Timeouts,
    Work,
    Workflow,
)

Document: TypeAlias = dict[str, Any]

_ENCODER = JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
_CHUNK = 1_000  # tasks encoded at a time while hashing: keeps a plan of a million tasks out of memory as a document


# -- the public face -------------------------------------------------------------------------------------------------


def to_document(workflow: Workflow) -> Document:
    """The workflow as plain JSON, everything included."""
    document = _head(workflow)
    for key, tasks in _sections(workflow):
        if tasks or key == "tasks":
            document[key] = {task.id: _task_out(task) for task in tasks}
    return document


def from_document(document: Mapping[str, Any]) -> Workflow:
    """The exact inverse of `to_document`. Raises KeyError, TypeError or ValueError on what it did not write."""
    values: dict[str, Any] = {"name": document["workflow"]}
    for key in ("tasks", "on_failure", "finally"):
        tasks = document.get(key, {})
        values[_attribute(key)] = tuple(_task_in(name, tasks[name]) for name in sorted(tasks))
    values.update(_WORKFLOW.values(document))
    return Workflow(**values)


def language_document(workflow: Workflow) -> Document:
    """As `to_document`, with each `product` as the map that the language reads, its order kept by insertion."""
    document = to_document(workflow)
    pending = [document[key] for key, _ in _sections(workflow) if key in document]
    while pending:
        for task in pending.pop().values():
            if "product" in task.get("map", ()):
                product = {name: value for entry in task["map"]["product"] for name, value in entry.items()}
                task["map"] = {**task["map"], "product": product}
            if "tasks" in task:
                pending.append(task["tasks"])
    return document


def canonical_json(document: Json) -> bytes:
    """Sorted keys, no blanks, UTF-8. Raises ValueError for NaN and infinity."""
    return _ENCODER.encode(document).encode("utf-8", "surrogatepass")


def plan_hash(workflow: Workflow) -> str:
    """`sha256:…` over all but what lies outside the hash: see `OUTSIDE_HASH`, and the descriptions of tasks."""
    digest = hashlib.sha256()
    head: Document = {key: value for key, value in _head(workflow).items() if key not in OUTSIDE_HASH}
    sections = {key: tasks for key, tasks in _sections(workflow) if tasks or key == "tasks"}
    opening = b"{"
    for key in sorted((*head, *sections)):
        digest.update(opening + canonical_json(key) + b":")
        opening = b","
        if key in sections:
            for piece in _encoded(sections[key]):
                digest.update(piece)
        else:
            digest.update(canonical_json(head[key]))
    digest.update(b"}")
    return f"sha256:{digest.hexdigest()}"


def _encoded(tasks: Sequence[Task]) -> Iterator[bytes]:
    """The canonical JSON of a section without descriptions, a chunk of tasks at a time."""
    opening = b"{"
    ordered = iter(sorted(tasks, key=attrgetter("id")))
    while chunk := {task.id: _task_out(task, described=False) for task in islice(ordered, _CHUNK)}:
        yield opening + canonical_json(chunk)[1:-1]
        opening = b","
    yield b"}" if opening == b"," else b"{}"


def _head(workflow: Workflow) -> Document:
    return {"workflow": workflow.name, **_WORKFLOW.document(workflow)}


def _sections(workflow: Workflow) -> tuple[tuple[str, tuple[Task, ...]], ...]:
    return (
        ("tasks", workflow.tasks),
        ("on_failure", workflow.on_failure),
        ("finally", workflow.finally_),
    )


# -- one record: a dataclass as a document of its non-default fields -----------------------------------------------------

Convert: TypeAlias = Callable[[Any], Any]


def _attribute(key: str) -> str:
    return f"{key}_" if key in {"with", "as", "finally", "self"} else key


class _Record:
    """How the fields of one dataclass are written and read. Fields not named by `ways` are plain values."""

    def __init__(self, of: type, *, leave: tuple[str, ...] = (), **ways: tuple[Convert, Convert]) -> None:
        self.of = of
        self.names = tuple(f.name for f in fields(of) if f.name not in leave)
        self.keys = tuple(name.removesuffix("_") for name in self.names)
        self.outs = tuple(ways.get(name, (None, None))[0] for name in self.names)
        self.ins = {
            key: (name, ways.get(name, (None, None))[1])
            for key, name in zip(self.keys, self.names, strict=True)
        }
        self.defaults = tuple(f.default for f in fields(of) if f.name not in leave)
        get = attrgetter(*self.names)
        self.read: Callable[[Any], tuple[Any, ...]] = (
            get if len(self.names) > 1 else lambda value: (get(value),)
        )

    def document(self, value: Any) -> Document:
        found = self.read(value)
        if found == self.defaults:  # compares at the speed of C, by identity first: most tasks end here
            return {}
        document: Document = {}
        for key, item, default, out in zip(self.keys, found, self.defaults, self.outs, strict=True):
            if default is MISSING or (item is not default and item != default):
                if out is not None:
                    item = out(item)
                elif isinstance(item, Mapping):
                    item = dict(item)
                elif isinstance(item, tuple):
                    item = list(item)
                document[key] = item
        return document

    def values(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments for the dataclass; keys that are not its own are passed over."""
        values: dict[str, Any] = {}
        for key, item in document.items():
            entry = self.ins.get(key)
            if entry is not None:
                name, convert = entry
                if convert is not None:
                    item = convert(item)
                elif isinstance(item, list) and name in self.sequences:
                    item = tuple(item)
                values[name] = item
        return values

    sequences = frozenset(
        (
            *("teardown_of", "tags", "argv", "interpreter", "roles"),
            *("then", "default", "triggers", "notify"),
        )
    )

    def value(self, document: Mapping[str, Any]) -> Any:
        return self.of(**self.values(document))

    @property
    def one(self) -> tuple[Convert, Convert]:
        """The way of a field that holds one such record, or none."""
        return (
            lambda value: None if value is None else self.document(value),
            lambda document: None if document is None else self.value(document),
        )

    @property
    def many(self) -> tuple[Convert, Convert]:
        """The way of a field that holds a tuple of such records."""
        return (
            lambda values: [self.document(value) for value in values],
            lambda documents: tuple(self.value(document) for document in documents),
        )


def _duration_out(value: Any) -> Any:
    return None if value is None else format_duration(value)


def _duration_in(value: Any) -> Any:
    return None if value is None else parse_duration(value)


def _ranges_out(ranges: Sequence[tuple[int, int]]) -> list[int | str]:
    return [low if low == high else f"{low}-{high}" for low, high in ranges]


def _ranges_in(ranges: Sequence[int | str]) -> tuple[tuple[int, int], ...]:
    found = []
    for item in ranges:
        low, _, high = str(item).partition("-")
        found.append((int(low), int(high or low)))
    return tuple(found)


_DURATION = (_duration_out, _duration_in)
_PRIORITY: tuple[Convert, Convert] = (
    lambda priority: priority.value,
    lambda word: None if word is None else Priority(word),
)
_FLOAT = (float, float)
_TOLERATE: tuple[Convert, Convert] = (
    lambda value: format_share(value) if isinstance(value, float) else value,
    lambda value: parse_share(value) if isinstance(value, str) else value,
)
_PRODUCT: tuple[Convert, Convert] = (
    lambda product: [{name: value} for name, value in product.items()],
    lambda entries: {name: value for entry in entries for name, value in entry.items()},
)

_CONCURRENCY = _Record(Concurrency)
_RETRY = _Record(
    Retry,
    delay=_DURATION,
    max_delay=_DURATION,
    factor=_FLOAT,
    rules=_Record(RetryRule, delay=_DURATION).many,
)
_TIMEOUTS = _Record(
    Timeouts, queue=_DURATION, attempt=_DURATION, total=_DURATION, heartbeat=_DURATION, grace=_DURATION
)
_LOOP = _Record(Loop, delay=_DURATION)
_GROUP = _Record(Group, leave=("tasks",), loop=_LOOP.one)
_SIGNALS: tuple[Convert, Convert] = (  # a signal may hold signals
    lambda values: [_SIGNAL.document(value) for value in values],
    lambda documents: tuple(_SIGNAL.value(document) for document in documents),
)
_SIGNAL: _Record = _Record(Signal, lookback=_DURATION, expires=_DURATION, any=_SIGNALS, all=_SIGNALS)

_WORKS: dict[Kind, _Record] = {
    Kind.SHELL: _Record(Shell),
    Kind.HTTP: _Record(Http, leave=("json", "has_json"), expect=(_ranges_out, _ranges_in)),
    Kind.CONTAINER: _Record(Container),
    Kind.WORKFLOW: _Record(Child),
    Kind.SLEEP: _Record(Sleep, duration=_DURATION),
    Kind.SIGNAL: _SIGNAL,
    Kind.APPROVAL: _Record(Approval, expires=_DURATION),
    Kind.SWITCH: _Record(Switch, cases=_Record(Case).many),
    Kind.GATE: _Record(Gate),
}
_MAP = _Record(Map, leave=("over",), product=_PRODUCT)
_TASK = _Record(
    Task,
    leave=("id", "work", "depends_on", "compensate"),
    map=(lambda value: _map_out(value), lambda document: _map_in(document)),
    tolerate=_TOLERATE,
    retry=(_RETRY.document, _RETRY.value),
    timeouts=(_TIMEOUTS.document, _TIMEOUTS.value),
    pool=_Record(Pool).one,
    cache=_Record(Cache, ttl=_DURATION).one,
    poll=_Record(Poll, every=_DURATION).one,
    priority=_PRIORITY,
    concurrency=_CONCURRENCY.many,
)
_WORKFLOW = _Record(
    Workflow,
    leave=("name", "tasks", "on_failure", "finally_"),
    limits=_Record(Limits).one,
    concurrency=_CONCURRENCY.many,
    priority=_PRIORITY,
    deadline=_DURATION,
)


# -- tasks -----------------------------------------------------------------------------------------------------------


def _task_out(task: Task, *, described: bool = True) -> Document:
    document = _work_out(task.work, described)
    if task.depends_on:
        document["depends_on"] = list(task.depends_on)
    document.update(_TASK.document(task))
    if "retry" in document:  # the language's default is another once the key is there
        document["retry"]["attempts"] = task.retry.attempts
    if isinstance(task.work, Http):  # whose attempts the language bounds unless told otherwise
        document.setdefault("timeouts", {})["attempt"] = _duration_out(task.timeouts.attempt)
    if task.compensate is not None:
        document["compensate"] = _task_out(task.compensate, described=described)
        if task.compensate.id != task.id:
            document["compensate"]["id"] = task.compensate.id
    if not described:
        document.pop("description", None)
    return document


def _task_in(name: str, document: Mapping[str, Any]) -> Task:
    values = _TASK.values(document)
    if "depends_on" in document:
        values["depends_on"] = tuple(document["depends_on"])
    undo = document.get("compensate")
    if undo is not None:
        values["compensate"] = _task_in(undo.get("id", name), undo)
    return Task(id=name, work=_work_in(document), **values)


def _work_out(work: Work, described: bool) -> Document:
    match work:
        case PythonCall():
            return {"python": work.function}
        case Noop():
            return {"noop": {}}
        case Group():
            tasks = {task.id: _task_out(task, described=described) for task in work.tasks}
            return {"tasks": tasks, **_GROUP.document(work)}
        case Sleep(duration=duration, until=None) if duration is not None:
            return {"sleep": format_duration(duration)}
        case Http():
            document = _WORKS[Kind.HTTP].document(work)
            if work.has_json:
                document["json"] = work.json
            return {"http": document}
    for kind, record in _WORKS.items():
        if isinstance(work, record.of):
            return {kind.value: record.document(work)}
    raise TypeError(f"no kind of work: {work!r}")


def _work_in(document: Mapping[str, Any]) -> Work:
    if "python" in document:
        return PythonCall(document["python"])
    if "tasks" in document:
        tasks = document["tasks"]
        return Group(
            tasks=tuple(_task_in(name, tasks[name]) for name in sorted(tasks)), **_GROUP.values(document)
        )
    if "noop" in document:
        return Noop()
    for kind, record in _WORKS.items():
        if kind.value in document:
            inner = document[kind.value]
            if kind is Kind.SLEEP and isinstance(inner, str):
                return Sleep(duration=parse_duration(inner))
            values = record.values(inner)
            if kind is Kind.HTTP and "json" in inner:
                values.update(json=inner["json"], has_json=True)
            work: Work = record.of(**values)
            return work
    raise ValueError(f"a task without work: {sorted(document)}")


def _map_out(value: Map) -> Document:
    document = _MAP.document(value)
    if value.product is None and value.zip is None:
        document["over"] = value.over
    return document


def _map_in(document: Mapping[str, Any]) -> Map:
    return Map(over=document.get("over"), **_MAP.values(document))
