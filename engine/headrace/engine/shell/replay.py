"""Replay: a run decided again from its history, compared with what was decided and stored then.

A machine is built from nothing and fed the recorded events, batch by batch and round by round; what it lacks it is
given from the rows that it decided itself. Nothing is written. Where code, plan and history agree there is no
difference, whatever crashed, was repeated or came late while the run was live.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

from headrace.engine.core.decision import Decision, Need, StartChild, Value
from headrace.engine.core.evaluation import Artifact, Evaluator
from headrace.engine.core.events import Event, Resumed
from headrace.engine.core.keys import Key, written
from headrace.engine.core.machine import RunMachine
from headrace.engine.core.machine.restoring import newest
from headrace.engine.core.plan import Plan
from headrace.engine.core.run import Answers, RunInfo, RunStatus
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.ports.artifacts import Artifacts
from headrace.engine.ports.store import RunRow, Store, StoredValue, TaskRow
from headrace.engine.shell import history
from headrace.engine.shell.history import Recorded, UnknownHistory
from headrace.engine.shell.plans import PlanMissing, Plans
from headrace.engine.shell.rows import (
    artifact_of,
    generations_of,
    machine_rows,
    run_info,
    task_rows,
    value_of,
    whole_rows,
)
from headrace.engine.shell.values import ValueCache

_KEPT = ("inputs", "items", "child")
"""Columns that a row without a value leaves as they are."""
_Rows = dict[tuple[int, Key], TaskRow]


async def replay(
    store: Store,
    evaluator: Evaluator,
    run_no: int,
    *,
    artifacts: Artifacts | None = None,
    plans: Plans | None = None,
) -> list[str]:
    """Decide the run's history again. Every difference is one line; none means that all agrees. `plans`: where plans may be
    known already.

    Raises LookupError for an unknown run, RowDamaged for a damaged history.
    """
    row = await store.run(run_no)
    if row is None:
        raise LookupError(f"There is no run number {run_no}.")
    plans = plans or Plans(store)
    generations = generations_of(row.generations)
    moves = [generation.moved for generation in generations if generation.moved is not None]
    try:
        plan = (await plans.get(moves[0].from_plan if moves else row.plan)).plan
        later = {moved.plan: (await plans.get(moved.plan)).plan for moved in moves}
    except PlanMissing as missing:
        return [str(missing)]
    first = row._replace(version=moves[0].from_version, plan=plan.hash) if moves else row
    stored = await store.task_rows(run_no)
    content = _Content(row, stored)
    try:
        recorded = [(past.seq, history.decode(past.body, content)) for past in await store.history(run_no)]
    except UnknownHistory as unknown:
        return [str(unknown)]
    limited = any(moved.reason == "pool" for _, past in recorded for moved in past.transitions)
    again = _Again(first, plan, later, evaluator, stored, ValueCache(artifacts), grants=limited)
    differences: list[str] = []
    for seq, past in recorded:
        try:
            found = await again.batch(past, content)
        except Exception as fault:
            differences.append(f"batch {seq}: deciding it again raised {type(fault).__name__}: {fault}")
            return differences
        differences.extend(f"batch {seq}: {line}" for line in found)
    differences.extend(_rows_differ(again.plans, again.rows, stored))
    differences.extend(_run_differs(again.status, row))
    return differences


class _Content:
    """Payloads by hash, from everything that is stored of the run."""

    def __init__(self, row: RunRow, tasks: Iterable[TaskRow]) -> None:
        self._outputs: dict[bytes, bytes] = {}
        self._artifacts: dict[str, Artifact] = {}
        for output, artifact in [(row.output, row.artifact), *((t.output, t.artifact) for t in tasks)]:
            for data in (output, b"null"):
                if data is not None:
                    self._outputs[history.digest_of(data)] = data
            found = artifact_of(artifact)
            if found is not None:
                self._artifacts[found.digest] = found

    def output(self, digest: bytes) -> bytes | None:
        return self._outputs.get(digest)

    def artifact(self, digest: str) -> Artifact | None:
        return self._artifacts.get(digest)


class _Again:
    """The run as it is decided again. `rows`: what that wrote, by generation and key."""

    def __init__(
        self,
        row: RunRow,
        plan: Plan,
        later: Mapping[str, Plan],
        evaluator: Evaluator,
        stored: Iterable[TaskRow],
        loader: ValueCache,
        *,
        grants: bool,
    ) -> None:
        self._no = row.no
        self._plan = plan
        self._later = later  # by hash: what reruns went on with
        self.plans = {1: plan}  # by the first generation that has it
        self._info: RunInfo = run_info(row)
        self._evaluator = evaluator
        self._loader = loader
        self._children = {(t.generation, Key(t.task, t.map)): t.child for t in stored if t.child is not None}
        self._machine: RunMachine | None = None
        self._grants = grants
        self.rows: _Rows = {}
        self.status = RunStatus()

    async def batch(self, past: Recorded, content: _Content) -> list[str]:
        """Decide one batch again; answers with how it differs."""
        machine = self._machine_for(past)
        decision = Decision(generation=machine.generation)
        start = 0
        for end in past.rounds or [len(past.events)]:
            await self._round(machine, decision, past.events[start:end], past, content)
            start = end
        for row in task_rows(self._no, decision):
            key = Key(row.task, row.map)
            before = self.rows.get((row.generation, key))
            if before is not None:
                kept = {name: getattr(before, name) for name in _KEPT if getattr(row, name) is None}
                row = row._replace(**kept)
            self.rows[row.generation, key] = row
        self.status = machine.status
        if machine.plan is not self._plan:
            self._plan, self._info = machine.plan, machine.info
            self.plans[machine.generation] = machine.plan
        return list(_batch_differs(self._plan, past, decision))

    def _machine_for(self, past: Recorded) -> RunMachine:
        """The machine to go on with. Where the engine had loaded the run anew, so is it here."""
        machine = self._machine
        if machine is None:
            machine = RunMachine(self._plan, self._info, self._evaluator, grants=self._grants)
        elif machine.final or (past.events and isinstance(past.events[0], Resumed)):
            machine = RunMachine.restore(
                self._plan,
                self._info,
                self._evaluator,
                machine.status,
                machine_rows(self.rows.values()),
                grants=self._grants,
            )
        self._machine = machine
        return machine

    async def _round(
        self,
        machine: RunMachine,
        decision: Decision,
        events: list[Event],
        past: Recorded,
        content: _Content,
    ) -> None:
        known = len(decision.effects)
        deciding: Generator[Need, Answers, None] = machine.decide(decision, events)
        try:
            need = next(deciding)
            while True:
                need = deciding.send(await self._answers(need, decision, past, content))
        except StopIteration:
            pass
        for effect in decision.effects[known:]:
            if isinstance(effect, StartChild):  # the shell names children, not the machine
                decision.rows[effect.key].child = self._children.get((decision.generation, effect.key))

    async def _answers(self, need: Need, decision: Decision, past: Recorded, content: _Content) -> Answers:
        if need.plan is not None:
            rows = whole_rows(self.rows.values())
            return Answers(plan=self._later[need.plan], rows=newest(self._plan, self.status, rows))
        fresh = {Key(row.task, row.map): row for row in task_rows(self._no, decision)}
        values: dict[Key, Value] = {}
        for key in need.outputs | need.inputs:
            row = fresh.get(key)
            before = self._newest(key, decision.generation, self.status.base)
            if row is not None and row.inputs is None and before is not None:
                row = row._replace(inputs=before.inputs)
            row = row or before
            if row is not None:
                values[key] = value_of(_stored(row))
        for key in need.load:
            value = values.get(key)
            if value is not None and isinstance(value.output, Artifact):
                values[key] = value._replace(output=await self._loader.load(value.output))
        hits: dict[str, bytes | Artifact] = {}
        for name in need.cache:
            digest = past.cache.get(name)
            output = None if digest is None else content.output(digest)
            hit = output if name not in past.artifacts else content.artifact(past.artifacts[name])
            if hit is not None:
                hits[name] = hit
        return Answers(values, hits, contents=await self._loader.contents(need.contents))

    def _newest(self, key: Key, generation: int, base: int) -> TaskRow | None:
        """What the store would answer: the newest row, and the newest inputs, which a map keeps in the generation that
        expanded it."""
        newest: TaskRow | None = None
        for number in range(generation, base - 1, -1):
            row = self.rows.get((number, key))
            if row is not None:
                if newest is None:
                    newest = row
                if row.inputs is not None:
                    return newest._replace(inputs=row.inputs)
        return newest


def _stored(row: TaskRow) -> StoredValue:
    return StoredValue(
        row.run,
        row.generation,
        row.task,
        row.map,
        row.state,
        row.reason,
        row.output,
        row.artifact,
        row.error,
        row.inputs,
        row.child,
    )


# -- comparing ---------------------------------------------------------------------------------------------------


def _batch_differs(plan: Plan, past: Recorded, decision: Decision) -> Iterator[str]:
    if decision.generation != past.generation:
        yield f"generation {past.generation} then, {decision.generation} now"
    now, then = decision.transitions, past.transitions
    for index in range(max(len(now), len(then))):
        told = [
            "nothing"
            if index >= len(side)
            else f"{_name(plan, side[index].key)} {_word(side[index].before)} → {_word(side[index].after)}"
            f" ({side[index].reason}, attempt {side[index].attempt})"
            for side in (then, now)
        ]
        if index >= len(now) or index >= len(then) or now[index] != then[index]:
            yield f"transition {index + 1}: {told[0]} then, {told[1]} now"
            return  # what follows the first difference follows from it
    change = decision.run
    if (change is None) != (past.run is None):
        yield f"the run {'moved' if past.run else 'stood'} then, it {'moves' if change else 'stands'} now"
    elif change is not None and past.run is not None:
        before = RunState(past.run["state"])
        if (before, past.run["reason"]) != (change.state, change.reason):
            yield f"the run became {before.word} then, {change.state.word} now"


def _rows_differ(plans: Mapping[int, Plan], decided: _Rows, stored: Iterable[TaskRow]) -> Iterator[str]:
    left = dict(decided)
    for row in stored:
        key = Key(row.task, row.map)
        name = f"{_name(_plan_of(plans, row.generation), key)} of generation {row.generation}"
        again = left.pop((row.generation, key), None)
        if again is None:
            yield f"{name}: stored as {_word(row.state)}, but nothing decides it"
            continue
        for column, then, now in zip(TaskRow._fields, row, again, strict=True):
            if then != now:
                yield f"{name}: {column} is {_short(column, then)} in the store, {_short(column, now)} when decided again"
    for (generation, key), row in left.items():
        yield f"{_name(_plan_of(plans, generation), key)} of generation {generation}: decided as {_word(row.state)}, but not stored"


def _plan_of(plans: Mapping[int, Plan], generation: int) -> Plan:
    return plans[max(first for first in plans if first <= generation)]


def _run_differs(status: RunStatus, row: RunRow) -> Iterator[str]:
    then = RunState(row.state), row.reason, row.generation, row.started_at, row.finished_at
    now = status.state, status.reason, status.generation, status.started_at, status.finished_at
    if then != now:
        yield f"the run is stored as {_run_text(*then)}, decided again it is {_run_text(*now)}"


def _run_text(state: RunState, reason: str | None, generation: int, *_: float | None) -> str:
    return f"{state.word} ({reason}, generation {generation})"


def _name(plan: Plan, key: Key) -> str:
    return written(plan.ids[key.task], key.map)


def _word(state: int) -> str:
    return TaskState(state).word


def _short(column: str, value: Any) -> str:
    if column == "state":
        return _word(value)
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
