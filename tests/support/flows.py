"""Short spellings for workflows in tests: `flow(py("a"), py("b", "a"))` is b after a."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.workflow import (
    Child,
    Gate,
    Group,
    Map,
    Noop,
    PythonCall,
    Retry,
    Sleep,
    Switch,
    Task,
    Workflow,
)


def py(id: str, *after: str, **keys: Any) -> Task:
    """A Python task that tries once unless told otherwise."""
    return Task(id, PythonCall("bodies:body"), depends_on=after, **keys)


def noop(id: str, *after: str, **keys: Any) -> Task:
    return Task(id, Noop(), depends_on=after, **keys)


def gate(id: str, when: str, *after: str, respect: bool = False, **keys: Any) -> Task:
    return Task(id, Gate(when, respect), depends_on=after, **keys)


def switch(
    id: str, *after: str, default: tuple[str, ...] = (), cases: tuple[Any, ...] = (), **keys: Any
) -> Task:
    return Task(id, Switch(cases, default), depends_on=after, **keys)


def sleep(id: str, seconds: float, *after: str, **keys: Any) -> Task:
    return Task(id, Sleep(timedelta(seconds=seconds)), depends_on=after, **keys)


def child(id: str, name: str, *after: str, wait: bool = True, **keys: Any) -> Task:
    return Task(id, Child(name, wait), depends_on=after, **keys)


def group(id: str, *tasks: Task, after: tuple[str, ...] = (), output: Any = None, **keys: Any) -> Task:
    return Task(id, Group(tuple(sorted(tasks, key=lambda task: task.id)), output), depends_on=after, **keys)


def over(value: Any, **keys: Any) -> Map:
    return Map(over=value, **keys)


def tries(attempts: int, delay: float = 1.0, **keys: Any) -> Retry:
    return Retry(attempts, timedelta(seconds=delay), jitter="none", **keys)


def flow(*tasks: Task, **keys: Any) -> Plan:
    """The plan of a workflow `w`; `on_failure`, `finally_` and the other top-level keys by name."""
    for section in ("on_failure", "finally_"):
        if section in keys:
            keys[section] = tuple(sorted(keys[section], key=lambda task: task.id))
    plan, _ = build_plan(Workflow("w", tuple(sorted(tasks, key=lambda task: task.id)), **keys))
    return plan
