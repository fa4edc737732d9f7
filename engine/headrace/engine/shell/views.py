"""What people are shown of a run: every task run of its plan with its state, and every change as it happens.

A task run without a row is pending: rows are first written when something happens. Groups are not listed themselves,
their tasks are, except one that failed by its own `output`, which no task tells; a map that has not expanded, is empty or
was never entered is one entry without an index.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from headrace.engine.core.decision import Decision, Row, Transition
from headrace.engine.core.events import Event
from headrace.engine.core.keys import Key, child, unpack, written
from headrace.engine.core.machine.groups import by_itself, givers
from headrace.engine.core.machine.restoring import newest
from headrace.engine.core.plan import Plan
from headrace.engine.core.run import RunStatus
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import Kind
from headrace.engine.ports.artifacts import Artifacts
from headrace.engine.ports.cache import Move
from headrace.engine.ports.store import RunRow, Store, TaskRow
from headrace.engine.shell.aside import set_aside
from headrace.engine.shell.history import Recorded
from headrace.engine.shell.plans import Plans
from headrace.engine.shell.rows import artifact_of, machine_rows, run_status

_WORDS = tuple(state.word for state in TaskState)
_new = tuple.__new__
_KINDS = {kind: kind.value for kind in Kind}
_PENDING, _FINAL = TaskState.PENDING, TaskState.SUCCEEDED


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task run as the command line and the API show it. Times: seconds since the epoch, UTC."""

    id: str
    map: int  # packed, see core.keys
    map_path: tuple[int, ...]
    map_index: int | None  # the innermost
    kind: str
    state: str
    reason: str | None
    attempts: int
    generation: int
    started_at: float | None
    finished_at: float | None
    error: Mapping[str, str] | None  # kind, message
    child_run: str | None
    worker: str | None = None
    due_at: float | None = None
    by: str | None = None

    @property
    def written(self) -> str:
        """`price[7]`, as commands take it."""
        return written(self.id, self.map)

    @property
    def duration_seconds(self) -> float | None:
        if self.started_at is None or self.finished_at is None:
            return None
        return round(max(0.0, self.finished_at - self.started_at), 6)


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with all its task runs, in the plan's order. `aside`: why no engine goes on with it, where one has said so.
    `groups`: those of groups that something is stored of and that are not listed among the tasks."""

    run: RunRow
    plan: Plan
    tasks: tuple[TaskView, ...]
    aside: str | None = None
    groups: tuple[TaskView, ...] = ()

    def counts(self) -> dict[str, int]:
        """How many task runs are in each state that occurs."""
        found: dict[str, int] = {}
        for task in self.tasks:
            found[task.state] = found.get(task.state, 0) + 1
        return found


class RunUnknown(LookupError):
    """There is no such run."""


async def run_view(
    store: Store, run_no: int, plan: Plan | None = None, artifacts: Artifacts | None = None
) -> RunView:
    """A run and its task runs in their newest generation. Raises RunUnknown, PlanMissing, RowDamaged, and
    ArtifactMissing where the run's output is kept among the artifacts and is not there.

    `plan` spares building it from the store while it is the run's; with `artifacts` the run's output is given however large it is.
    """
    row = await store.run(run_no)
    if row is None:
        raise RunUnknown(f"There is no run number {run_no}.")
    if plan is None or plan.hash != row.plan:  # a rerun may have gone on with another version
        plan = (await Plans(store).get(row.plan)).plan
    kept = artifact_of(row.artifact)
    if kept is not None and artifacts is not None:
        row = row._replace(output=await artifacts.get(kept))
    aside = None if RunState(row.state).final else await set_aside(store, row)
    layout = Layout(plan, run_status(row), await store.task_rows(run_no))
    return RunView(row, plan, tuple(layout.views()), aside, tuple(layout.groups()))


def task_views(plan: Plan, status: RunStatus, rows: Sequence[TaskRow]) -> Iterator[TaskView]:
    """Every task run there is, in the plan's order and, within a map, by index."""
    return Layout(plan, status, rows).views()


class Layout:
    """The task runs of a run in the plan's order and, within a map, by index: cheap to lay, and looked at one by one.

    `nodes`, `paths` and `states` say of each what it is: the task's index in the plan, its packed indexes and its state.
    """

    def __init__(self, plan: Plan, status: RunStatus, rows: Sequence[TaskRow]) -> None:
        laid = list(machine_rows(rows))
        self.plan = plan
        self.nodes = array("i")
        self.paths = array("q")
        self.states = bytearray()
        self._generation = status.generation
        self._stored = {id(row): full for (_, _, row), full in zip(laid, rows, strict=True)}
        self._current = current = newest(plan, status, laid)
        self._unentered: dict[int, TaskState] = {}
        for node in range(len(plan.ids)):
            if plan.kinds[node] is Kind.GROUP:
                for path in _failed_by_themselves(plan, current, node):
                    self._lay(node, path, TaskState.FAILED)
                continue
            for path, state in _paths(plan, current, node):
                if state is not None:
                    self._unentered[len(self.nodes)] = state
                else:
                    row = current.get(Key(node, path))
                    state = _PENDING if row is None else row.state
                self._lay(node, path, state)

    def _lay(self, node: int, path: int, state: TaskState) -> None:
        self.nodes.append(node)
        self.paths.append(path)
        self.states.append(state)

    def __len__(self) -> int:
        return len(self.nodes)

    def views(self) -> Iterator[TaskView]:
        """All, in order."""
        return map(self.view, range(len(self)))

    def groups(self) -> Iterator[TaskView]:
        """Those of groups that something is stored of and that are not among the rest, in the plan's order."""
        kinds = self.plan.kinds
        for key in sorted(key for key in self._current if kinds[key.task] is Kind.GROUP):
            if self.find(*key) is None:
                yield self._seen(*key, None)

    def after(self, node: int, path: int) -> int:
        """The place of the first task run behind that one, whether or not that one is there."""
        begin, end = bisect_left(self.nodes, node), bisect_right(self.nodes, node)
        return bisect_right(self.paths, path, begin, end)

    def find(self, node: int, path: int) -> int | None:
        """The place of that very task run."""
        at = self.after(node, path) - 1
        return at if at >= 0 and (self.nodes[at], self.paths[at]) == (node, path) else None

    def places(self, node: int) -> range:
        """Those of a task."""
        return range(bisect_left(self.nodes, node), bisect_right(self.nodes, node))

    def view(self, at: int) -> TaskView:
        """The task run at that place."""
        return self._seen(self.nodes[at], self.paths[at], self._unentered.get(at))

    def head(self, key: Key) -> TaskView | None:
        """A mapped task itself, in place of its items, or a group; None when nothing is stored of it."""
        return self._seen(*key, None) if key in self._current else None

    def row(self, node: int, path: int) -> TaskRow | None:
        """What is stored of a task run and counts now."""
        row = self._current.get(Key(node, path))
        return None if row is None else self._stored.get(id(row))

    def _seen(self, node: int, path: int, state: TaskState | None) -> TaskView:
        row = self._current.get(Key(node, path)) if state is None else None
        full = None if row is None else self._stored.get(id(row))
        return _task_view(self.plan, node, path, state, row, full, self._generation)


def _task_view(
    plan: Plan,
    node: int,
    path: int,
    state: TaskState | None,
    row: Row | None,
    full: TaskRow | None,
    generation: int,
) -> TaskView:
    indexes: tuple[int, ...] = ()
    index = None
    if path:
        indexes = unpack(path)
        if len(indexes) == _depth(plan, node):
            index = indexes[-1]
    kind = _KINDS[plan.kinds[node]]
    name = plan.ids[node]
    if row is None or full is None:
        reached = state if state is not None else row.state if row is not None else _PENDING
        return TaskView(
            name, path, indexes, index, kind, reached.word, None, 0, generation, None, None, None, None
        )
    return TaskView(
        name,
        path,
        indexes,
        index,
        kind,
        _WORDS[full.state],
        full.reason,
        full.attempt,
        full.generation,
        full.started_at,
        full.finished_at,
        None if full.error is None else brief(full.error),
        full.child,
        full.worker,
        full.due_at,
        full.by,
    )


def brief(error: bytes) -> dict[str, str]:
    """The kind and message of a stored error."""
    fields = msgspec.json.decode(error)
    return {"kind": fields["kind"], "message": fields["message"]}


def _depth(plan: Plan, node: int) -> int:
    """In how many maps a task run of the node lies, its own included."""
    return plan.regions[plan.home[node]].level + (node in plan.items)


def _paths(plan: Plan, rows: Mapping[Key, Row], node: int) -> list[tuple[int, TaskState | None]]:
    """The packed indexes of a node's task runs; with a state where only an enclosing map says what became of it."""
    maps = [node] if node in plan.items else []
    region = plan.regions[plan.home[node]]
    while region.owner >= 0:
        maps.append(region.owner)
        region = plan.regions[region.parent]
    maps.reverse()
    level = [0]
    found: list[tuple[int, TaskState | None]] = []
    for depth, owner in enumerate(maps):
        below: list[int] = []
        for path in level:
            head = rows.get(Key(owner, path))
            count = head.items if head is not None else None
            if count:
                below.extend(child(path, item, depth) for item in range(count))
            else:
                found.append((path, None if owner == node else _unentered(head)))
        level = below
    found.extend((path, None) for path in level)
    if len(maps) > 1:
        found.sort()  # packed indexes order as their paths do; no two are equal
    return found


def _failed_by_themselves(plan: Plan, rows: Mapping[Key, Row], group: int) -> Iterator[int]:
    """The packed indexes at which a group failed although none of its leaves did."""
    region = plan.regions[plan.items.get(group, plan.home[group])]
    giver = next((giver for giver in givers(plan)[region.index] if giver.node == group), None)
    if giver is None:
        return
    for path, _ in _paths(plan, rows, group):
        row = rows.get(Key(group, path))
        below = (rows.get(Key(region.nodes[leaf], path)) for leaf in giver.leaves)
        if row is not None and by_itself(row.state, (leaf.state if leaf else _PENDING for leaf in below)):
            yield path


def _unentered(head: Row | None) -> TaskState:
    """What a task inside a map without items is: as good as its map, which it never ran for."""
    if head is None or head.state < _FINAL:
        return _PENDING
    if head.state in (TaskState.SUCCEEDED, TaskState.FAILED):
        return TaskState.SKIPPED if head.state is TaskState.SUCCEEDED else TaskState.UPSTREAM_FAILED
    return head.state


# -- changes -----------------------------------------------------------------------------------------------------


class Change(NamedTuple):
    """One move of a task run, named as written, or of the run itself (`task` None). `at`: seconds since the epoch."""

    at: float
    task: str | None
    before: str
    after: str
    reason: str | None = None
    attempt: int = 0


class Changes:
    """Tells the changes of one run, decision after decision, or history row after history row."""

    def __init__(self, plan: Plan, state: RunState = RunState.QUEUED) -> None:
        self._plan = plan
        self._state = state

    @property
    def final(self) -> bool:
        """Whether the run has been told to be final."""
        return self._state.final

    def decided(self, decision: Decision) -> list[Change]:
        """What a committed decision changed."""
        change = decision.run
        run = None if change is None else {"state": int(change.state), "reason": change.reason}
        return self._told(decision.events, decision.transitions, run)

    def recorded(self, recorded: Recorded) -> list[Change]:
        """What a row of history changed."""
        return self._told(recorded.events, recorded.transitions, recorded.run)

    def heard(self, moves: Iterable[Move]) -> list[Change]:
        """What a commit changed, as the cache tells it."""
        changes = [Change(*move) for move in moves]
        for change in changes:
            if change.task is None:
                self._state = RunState[change.after.upper()]
        return changes

    def _told(
        self, events: Sequence[Event], transitions: Iterable[Transition], run: Mapping[str, Any] | None
    ) -> list[Change]:
        ids = self._plan.ids
        at = [_at(event) for event in events]
        changes: list[Change] = [
            _new(
                Change,
                (
                    at[cause],
                    written(ids[task], path) if path else ids[task],
                    _WORDS[before],
                    _WORDS[after],
                    reason,
                    attempt,
                ),
            )
            for cause, (task, path), before, after, reason, attempt in transitions
        ]
        if run is not None and (after := RunState(run["state"])) is not self._state:
            began = Change(at[-1] if at else 0.0, None, self._state.word, after.word, run["reason"])
            if after.final:
                changes.append(began)
            else:
                changes.insert(0, began)
            self._state = after
        return changes


def _at(event: Event) -> float:
    return getattr(event, "at", 0.0)
