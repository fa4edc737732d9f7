"""What users call a run and a task run: an id's beginning or `last`; `price`, `price[7]`, `each.encode[2,1]`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from headrace.cli.failure import Stop
from headrace.cli.output import instant
from headrace.engine.core.problems import did_you_mean
from headrace.engine.core.states import RunState
from headrace.engine.ports.store import RunRow, Store

_ITEM = re.compile(r"(?P<task>.+?)\[(?P<items>\d+(?:,\d+)*)\]")
_ID = re.compile(r"[0-9a-fA-F-]{1,36}")


class TaskRef(NamedTuple):
    """A task run as named: the full id, and the indexes of the enclosing maps (empty: the task itself, or all items)."""

    task: str
    items: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.task}[{','.join(map(str, self.items))}]" if self.items else self.task


def task_ref(text: str, known: Iterable[str]) -> TaskRef:
    """Read `price[7]`. Raises Stop when the workflow has no such task, naming the nearest."""
    found = _ITEM.fullmatch(text)
    ref = TaskRef(found["task"], tuple(map(int, found["items"].split(",")))) if found else TaskRef(text)
    known = tuple(known)
    if ref.task not in known:
        listed = f"Tasks: {', '.join(known[:12])}{', …' if len(known) > 12 else ''}"
        raise Stop(f'the run has no task "{ref.task}".', hint=did_you_mean(ref.task, known) or listed)
    return ref


async def find_run(store: Store, project: str, text: str) -> RunRow:
    """The run that `text` names. Raises Stop when none does, or more than one."""
    if text == "last":
        newest = await store.list_runs(project, limit=1)
        if not newest:
            raise Stop("there is no run yet.", hint="headrace run FILE")
        return newest[0]
    if not _ID.fullmatch(text):
        raise Stop(
            f'"{text}" is no run.', hint="Give the beginning of a run's id, or last: headrace runs list"
        )
    found = await store.find_runs(project, text.lower())
    if not found:
        raise Stop(f'no run begins with "{text}".', hint="headrace runs list")
    if len(found) > 1:
        listed = "\n".join(
            f"  {row.id}  {row.workflow}  {RunState(row.state).word}  {instant(row.created_at)}"
            for row in found
        )
        raise Stop(f'"{text}" is the beginning of several runs:\n{listed}', hint="Type more of the id.")
    return found[0]


def is_whole_id(text: str) -> bool:
    """Whether it is a run's id and no beginning of one."""
    return len(text) == 36 and _ID.fullmatch(text) is not None


def short(run: str) -> str:
    """The beginning of a run's id that people are shown: it holds the time to the millisecond, so it is rarely shared."""
    return run[:13]
