"""Where a task may hold expressions: every spot with what may be named there (docs/language.md, sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import NamedTuple

from headrace.engine.core.problems import Path
from headrace.engine.core.workflow import (
    EMPTY,
    Approval,
    Container,
    Gate,
    Group,
    Http,
    Json,
    Noop,
    PythonCall,
    Shell,
    Signal,
    Sleep,
    Switch,
    Task,
)


class Slot(NamedTuple):
    """One spot. `extra` are roots that only this spot knows; `item`: the task's own map is in sight;
    `inside`: ids mean members of this group; `edges`: naming a task means waiting for it."""

    path: Path  # below the task
    source: Json
    bare: bool = False  # one expression, else a template
    extra: tuple[str, ...] = ()
    item: bool = True
    secrets: bool = False
    inside: bool = False
    edges: bool = True


# What a task without any expression has in all the fields that may hold one: most tasks are told by one comparison.
_QUIET = attrgetter(
    "when", "with_", "env", "map", "cache", "poll", "compensate", "concurrency", "retry.rules", "trigger_rule"
)
_DEFAULTS = (None, EMPTY, EMPTY, None, None, None, None, (), (), "all_success")


def silent(task: Task) -> bool:
    """Whether the task surely holds no expression and no rule but the usual one. False says nothing."""
    kind = type(task.work)
    return (kind is Noop or kind is PythonCall) and _QUIET(task) == _DEFAULTS


def slots(task: Task) -> Iterator[Slot]:
    """Every spot of the task that holds something, constants included."""
    if task.when is not None:
        yield Slot(("when",), task.when, bare=True)
    for key, values in (("with", task.with_), ("env", task.env)):
        for name, value in values.items():
            yield Slot((key, name), value, secrets=True)
    yield from _of_work(task)
    if task.map is not None:
        fan = task.map
        if fan.product is not None or fan.zip is not None:
            for key, named in (("product", fan.product), ("zip", fan.zip)):
                for name, value in (named or {}).items():
                    yield Slot(("map", key, name), value, item=False)
        else:
            yield Slot(("map", "over"), fan.over, item=False)
        if fan.label is not None:
            yield Slot(("map", "label"), fan.label)
    for position, rule in enumerate(task.retry.rules):
        if rule.on is not None:
            yield Slot(("retry", "rules", position, "on"), rule.on, bare=True, extra=("error",))
    if task.cache is not None and task.cache.key is not None:
        yield Slot(("cache", "key"), task.cache.key)
    if task.poll is not None:
        yield Slot(("poll", "until"), task.poll.until, bare=True, extra=("output",))
    for position, gate in enumerate(task.concurrency):
        yield Slot(("concurrency", position, "key"), gate.key, bare=True)
    if task.compensate is not None:
        for slot in slots(task.compensate):
            yield slot._replace(
                path=("compensate", *slot.path), extra=(*slot.extra, "output"), edges=False, item=True
            )


def _of_work(task: Task) -> Iterator[Slot]:
    work = task.work
    match work:
        case Shell() if work.argv:
            for position, text in enumerate(work.argv):
                yield Slot(("shell", "argv", position), text)
        case Container():
            for position, text in enumerate(work.argv):
                yield Slot(("container", "argv", position), text)
        case Http():
            yield Slot(("http", "url"), work.url)
            if work.headers:
                yield Slot(("http", "headers"), dict(work.headers), secrets=True)
            for key, value in http_bodies(work).items():
                yield Slot(("http", key), value, secrets=key != "body")
        case Sleep() if work.until is not None:
            yield Slot(("sleep", "until"), work.until)
        case Signal():
            yield from _of_signal(work, ("signal",))
        case Approval() if work.title is not None:
            yield Slot(("approval", "title"), work.title)
        case Switch():
            for position, case in enumerate(work.cases):
                yield Slot(("switch", "cases", position, "when"), case.when, bare=True)
        case Gate():
            yield Slot(("gate", "when"), work.when, bare=True)
        case Group():
            looped = ("loop",) if work.loop is not None else ()
            if work.output is not None:
                yield Slot(("output",), work.output, extra=looped, inside=True, edges=False)
            if work.loop is not None:
                yield Slot(
                    ("loop", "until"),
                    work.loop.until,
                    bare=True,
                    extra=("loop", "output"),
                    inside=True,
                    edges=False,
                )


def _of_signal(signal: Signal, path: Path) -> Iterator[Slot]:
    if signal.key is not None:
        yield Slot((*path, "key"), signal.key, bare=True)
    if signal.match is not None:
        yield Slot((*path, "match"), signal.match, bare=True, extra=("payload", "signal"))
    for key, several in (("any", signal.any), ("all", signal.all)):
        for position, one in enumerate(several):
            yield from _of_signal(one, (*path, key, position))


def http_bodies(work: Http) -> Mapping[str, Json]:
    """The parts of a request beside url and headers, by language key, as far as they are there."""
    found: dict[str, Json] = {}
    for key in ("query", "form", "body"):
        value = getattr(work, key)
        if value is not None:
            found[key] = value
    if work.has_json:
        found["json"] = work.json
    return found
