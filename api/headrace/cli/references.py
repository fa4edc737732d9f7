"""What users call a run and a task run: an id's beginning or `last`; `price`, `price[7]`, `each.encode[2,1]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from headrace.cli.failure import Stop
from headrace.cli.output import instant
from headrace.engine.core.problems import did_you_mean
from headrace.engine.core.states import RunState
from headrace.engine.ports.store import RunRow, Store

_ITEM = re.compile(r"(?P<task>.+?)\[(?P<items>\d+(?:,\d+)*)\]")
_ID = re.compile(r"[0-9a-fA-F-]{1,36}")
ONCE_FOUND = 10
"""Runs of one beginning that are listed."""


class TaskRef(NamedTuple):
    """A task run as named: the full id, and the indexes of the enclosing maps (empty: the task itself, or all items)."""

    task: str
    items: tuple[int, ...] = ()

    def means(self, other: TaskRef) -> bool:
        """Whether that task run is meant: without an index, all items are."""
        return self.task == other.task and other.items[: len(self.items)] == self.items

    def __str__(self) -> str:
        return f"{self.task}[{','.join(map(str, self.items))}]" if self.items else self.task


def reference(text: str) -> TaskRef:
    """Read `price[7]`."""
    found = _ITEM.fullmatch(text)
    return TaskRef(found["task"], tuple(map(int, found["items"].split(",")))) if found else TaskRef(text)


def task_ref(text: str, known: Iterable[str]) -> TaskRef:
    """Read `price[7]`. Raises Stop when the workflow has no such task, naming the nearest."""
    ref = reference(text)
    known = tuple(known)
    if ref.task not in known:
        listed = f"Tasks: {', '.join(known[:12])}{', …' if len(known) > 12 else ''}"
        raise Stop(f'the run has no task "{ref.task}".', hint=did_you_mean(ref.task, known) or listed)
    return ref


def beginning(text: str) -> str:
    """The beginning of a run's id as it was typed, in small letters. Raises Stop for what cannot be one."""
    if not _ID.fullmatch(text):
        raise Stop(
            f'"{text}" is no run.', hint="Give the beginning of a run's id, or last: headrace runs list"
        )
    return text.lower()


class Named(Protocol):
    """As much of a run as telling it from others takes."""

    @property
    def run(self) -> str: ...
    @property
    def workflow(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def created_at(self) -> str: ...


R = TypeVar("R", bound=Named)


def one_of(found: Sequence[R], text: str) -> R:
    """The one run that begins with `text`. Raises Stop when none does, or more than one."""
    if not found:
        raise no_run(text)
    if len(found) > 1:
        listed = "\n".join(f"  {one.run}  {one.workflow}  {one.state}  {one.created_at}" for one in found)
        raise Stop(f'"{text}" is the beginning of several runs:\n{listed}', hint="Type more of the id.")
    return found[0]


def no_run(text: str) -> Stop:
    """There is none of that name."""
    return Stop(f'no run begins with "{text}".', hint="headrace runs list")


def nothing_ran() -> Stop:
    """There is no last run."""
    return Stop("there is no run yet.", hint="headrace run FILE")


async def find_run(store: Store, project: str, text: str) -> RunRow:
    """The run of the store that `text` names. Raises Stop when none does, or more than one."""
    if text == "last":
        newest = await store.list_runs(project, limit=1)
        if not newest:
            raise nothing_ran()
        return newest[0]
    found = {row.id: row for row in await store.find_runs(project, beginning(text))}
    named = [
        _Named(row.id, row.workflow, RunState(row.state).word, instant(row.created_at))
        for row in found.values()
    ]
    return found[one_of(named, text).run]


class _Named(NamedTuple):
    run: str
    workflow: str
    state: str
    created_at: str


def is_whole_id(text: str) -> bool:
    """Whether it is a run's id and no beginning of one."""
    return len(text) == 36 and _ID.fullmatch(text) is not None


class Placed(Protocol):
    """A task run, as much as its name takes."""

    @property
    def id(self) -> str: ...
    @property
    def map_path(self) -> Sequence[int]: ...


def written_of(task: Placed) -> str:
    """`price[7]`, as commands and routes take it."""
    return str(TaskRef(task.id, tuple(task.map_path)))


def short(run: str) -> str:
    """The beginning of a run's id that people are shown: it holds the time to the millisecond, so it is rarely shared."""
    return run[:13]
