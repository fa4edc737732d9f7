"""The workloads of the measures, with Python no-op tasks."""

from __future__ import annotations

from datetime import timedelta

from headrace.engine.core.workflow import PythonCall, Retry, Sleep, Task, Workflow


def _noop(id: str, *after: str, function: str) -> Task:
    return Task(id, PythonCall(f"bench.noops:{function}"), depends_on=after, retry=Retry())


def chain(length: int, function: str = "noop") -> Workflow:
    """A sequence."""
    ids = [f"c{number:06}" for number in range(length)]
    after = [(), *((id,) for id in ids)]
    return Workflow(
        f"chain_{length}",
        tuple(_noop(id, *up, function=function) for id, up in zip(ids, after, strict=False)),
    )


def fan(width: int, function: str = "noop") -> Workflow:
    """One, then `width - 2` at once, then one."""
    middle = [f"m{number:06}" for number in range(width - 2)]
    tasks = [_noop("a", function=function), *(_noop(id, "a", function=function) for id in middle)]
    return Workflow(f"fan_{width}", (*tasks, _noop("z", *middle, function=function)))


def diamond(function: str = "noop") -> Workflow:
    """A, then B and C, then D."""
    return Workflow(
        "diamond",
        (
            _noop("a", function=function),
            _noop("b", "a", function=function),
            _noop("c", "a", function=function),
            _noop("d", "b", "c", function=function),
        ),
    )


def layers(depth: int, width: int, function: str = "noop") -> Workflow:
    """`depth` layers of `width` tasks, each of which waits for the whole layer before it."""
    rows = [[f"l{row:03}_{column:03}" for column in range(width)] for row in range(depth)]
    tasks = [
        _noop(id, *(rows[row - 1] if row else ()), function=function)
        for row, ids in enumerate(rows)
        for id in ids
    ]
    return Workflow(f"layers_{depth}x{width}", tuple(tasks))


def half(tasks: int, function: str = "noop") -> Workflow:
    """One half ends at once; the other waits for a task that waits for an hour, each for a few of the first half too."""
    first = [f"f{number:06}" for number in range(tasks // 2)]
    wait = Task("wait", Sleep(timedelta(hours=1)))
    rest = (
        _noop(f"r{number:06}", "wait", *first[number : number + 3], function=function)
        for number in range(tasks - len(first) - 1)
    )
    return Workflow(f"half_{tasks}", (wait, *(_noop(id, function=function) for id in first), *rest))


def sleeper() -> Workflow:
    """A single task that waits for an hour."""
    return Workflow("sleeper", (Task("wait", Sleep(timedelta(hours=1))),))
