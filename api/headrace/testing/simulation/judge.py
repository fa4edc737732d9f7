"""Looks at everything that is committed and executed in a simulated world, and at its end at everything that is stored.

What it knows of the engine are its promises: the table of legal moves, the trigger rules as the page has them, the stored
rows, and who owned which part in which epoch. docs/reliability.md has the invariants I1 to I12.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from headrace.engine.core.keys import written
from headrace.engine.core.plan import Plan, Rule, Section
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import Group
from headrace.engine.ports.store import Batch, RunUpdate, TaskRow
from headrace.engine.shell import history
from headrace.runners.attempt import Attempt
from headrace.testing.simulation.bodies import CANARY, Bodies, Execution
from headrace.testing.simulation.histories import FLYING, Histories
from headrace.testing.simulation.shapes import POOLS, Shape
from headrace.testing.simulation.slots import Places, Slots
from headrace.testing.simulation.store import Database
from headrace.testing.simulation.timeline import ProcessLoop, Timeline

S, F, K, U, C = (
    TaskState.SUCCEEDED,
    TaskState.FAILED,
    TaskState.SKIPPED,
    TaskState.UPSTREAM_FAILED,
    TaskState.CANCELLED,
)
FAILED = (F, U, C)
REMEMBERED_SECONDS = 600.0
"""So long a worker knows what it has executed."""

PROMPT_SECONDS = 0.3
"""Virtual. In a calm world the end of an attempt is committed within so long."""

_RunKey = tuple[int, int, int, int]  # run, generation, task, map


class Known(NamedTuple):
    """A task run as it was last committed."""

    state: int
    attempt: int
    polled: int  # the last attempt that a poll found wanting


class Judge:
    """`broken` collects what should not be, each a sentence that begins with the invariant's name."""

    def __init__(
        self,
        timeline: Timeline,
        database: Database,
        bodies: Bodies,
        shapes: dict[str, Shape],
        *,
        calm: bool,
        told: bool,
    ) -> None:
        self.broken: list[str] = []
        self.story: list[str] = []
        self._timeline = timeline
        self._database = database
        self._bodies = bodies
        self._plans = {shape.plan.hash: shape.plan for shape in shapes.values()}
        self._calm = calm
        self._told = told
        self._ended: dict[_RunKey, tuple[Attempt, float]] = {}  # attempts that ended and are not committed
        self._digest = blake2b(digest_size=8)
        self._known: dict[_RunKey, Known] = {}
        self._of_run: dict[int, Plan] = {}
        self._seqs: dict[int, int] = {}
        self._slots = Slots(POOLS)
        self._places = Places()
        self.moved = True
        """Whether anything was committed since somebody last looked."""
        bodies.witness = self
        database.onlooker = self

    @property
    def hash(self) -> str:
        """Of everything that was committed and executed, in its order: equal for equal worlds."""
        return self._digest.hexdigest()

    def note(self, *words: object) -> None:
        """A line of the story, where somebody is to read it."""
        if self._told:
            self.story.append(f"{self._timeline.now:9.3f} s  " + " ".join(map(str, words)))

    def fault(self, what: str) -> None:
        self.broken.append(f"{self._timeline.now:.3f} s: {what}")
        self.note("!!!", what)

    # while it runs ----------------------------------------------------------------------------------------------

    def committed(self, by: ProcessLoop, batches: Sequence[Batch]) -> None:
        self.moved = True
        digest = self._digest
        for batch in batches:
            digest.update(b"%d %d %d" % (batch.part, batch.epoch, batch.seq))
            for row in batch.history:
                digest.update(row.body)
            self._owned(by, batch)
            known = self._known
            dispatched: list[TaskRow] = []
            for task in batch.tasks:
                key = task[:4]
                before = known.get(key)
                if before is not None:
                    if before.state >= S and task.state != before.state:
                        self.fault(
                            f"I4: {self._name(key)} was {_word(before.state)} and became {_word(task.state)}"
                        )
                    if task.attempt < before.attempt:
                        self.fault(
                            f"I3: {self._name(key)} went back from attempt {before.attempt} to {task.attempt}"
                        )
                polled = 0 if before is None else before.polled
                if task.attempt > 1 or before is None:
                    self._tried(task, polled)
                if task.state == TaskState.WAITING and task.reason == "polling":
                    polled = task.attempt
                known[key] = Known(task.state, task.attempt, polled)
                plan = self._plan(task.run)
                if plan is not None:
                    self._slots.moved(plan, task.task, None if before is None else before.state, task.state)
                if self._ended and task.state not in FLYING:
                    self._noticed(key, batch.epoch)
                if (
                    task.state == TaskState.DISPATCHED
                    and task.attempt == 1
                    and (before is None or before.state in (TaskState.PENDING, TaskState.QUEUED))
                ):
                    dispatched.append(task)
            for task in dispatched:
                self._allowed(task)
            for update in batch.runs:
                self._going(update)
            if self._told:
                self._tell(by, batch)
        for over in (*self._slots.over(), *self._places.over()):
            self.fault(over)

    def _going(self, update: RunUpdate) -> None:
        plan = self._plan(update.no)
        if plan is not None and (plan.workflow.concurrency or plan.workflow.limits.active_runs is not None):
            (run,) = self._database.lane.raw.execute(
                "SELECT id FROM runs WHERE no = ?", (update.no,)
            ).fetchone()
            self._places.moved(plan.workflow, run, update)

    def _owned(self, by: ProcessLoop, batch: Batch) -> None:
        row = self._database.lane.raw.execute(
            "SELECT epoch, seq FROM parts WHERE part = ?", (batch.part,)
        ).fetchone()
        if row[0] != batch.epoch:
            self.fault(f"I8: {by.name} wrote to part {batch.part} in epoch {batch.epoch}, and it is {row[0]}")
        expected = self._seqs.get(batch.part, 0) + 1
        if batch.seq != expected:
            self.fault(f"I8: {by.name} wrote batch {batch.seq} of part {batch.part}, and {expected} was next")
        self._seqs[batch.part] = batch.seq

    def started(self, attempt: Attempt, execution: Execution) -> None:
        """A worker has begun to execute."""
        key = attempt.key
        self._digest.update(repr((key, execution.by, self._timeline.now)).encode())
        known = self._known.get(key[:4])
        if known is None or known.attempt < key[4]:
            self.fault(f"I2: attempt {key[4]} of {self._name(key[:4])} was executed before it was committed")
        for other in self._bodies.executions[key]:
            same = other is not execution and other.incarnation == execution.incarnation
            if same and execution.began - other.began < REMEMBERED_SECONDS:
                self.fault(f"W3: {execution.by} executes attempt {key[4]} of {self._name(key[:4])} again")
        self.note(execution.by, "starts", self._name(key[:4]), "attempt", key[4])

    def ended(self, attempt: Attempt, execution: Execution) -> None:
        """A worker has executed one to its end. Where nothing goes wrong, that is soon committed."""
        if self._calm:
            self._ended[attempt.key[:4]] = attempt, self._timeline.now

    def _noticed(self, key: _RunKey, epoch: int) -> None:
        """By whoever owned the part all the time: a part that changes hands may wait for the next look of its new owner."""
        ended = self._ended.pop(key, None)
        if ended is None or ended[0].epoch != epoch:
            return
        late = self._timeline.now - ended[1]
        if late > PROMPT_SECONDS:
            attempt = ended[0].key[4]
            self.fault(
                f"late: the end of attempt {attempt} of {self._name(key)} was noticed after {late:.3f} s"
            )

    def _tried(self, task: TaskRow, polled: int) -> None:
        """`polled`: the last attempt that a poll found wanting, from which tries are counted."""
        plan = self._plan(task.run)
        if plan is not None and task.attempt - polled > plan.tasks[task.task].retry.attempts:
            self.fault(
                f"I3: {self._name(task[:4])} has come to attempt {task.attempt}, above what its policy allows"
            )

    # I2 ---------------------------------------------------------------------------------------------------------

    def _allowed(self, task: TaskRow) -> None:
        """Whether the rule held when the first attempt was dispatched, as far as the stored states tell by themselves."""
        run, generation, node, path = task[:4]
        if generation > 1 or path:
            return  # a rerun takes over what an earlier generation came to
        plan = self._plan(run)
        if plan is None:
            return
        section = plan.sections[node]
        if section != Section.MAIN:
            late = [
                key
                for key, known in self._known.items()
                if key[0] == run and known.state < S and plan.sections[key[2]] < section
            ]
            if late:
                self.fault(
                    f"I2: {self._name(task[:4])} was dispatched before {self._name(late[0])} was final"
                )
        states: list[int] = []
        for up in plan.upstream(node):
            found = self._states(plan, run, generation, up)
            if found is None:
                return
            states += found
        if not may_run(Rule(plan.rules[node]), states):
            told = ", ".join(map(_word, states))
            self.fault(f"I2: {self._name(task[:4])} was dispatched, and upstream is {told}")

    def _states(self, plan: Plan, run: int, generation: int, node: int) -> list[int] | None:
        """The states of an upstream; None where more than rows is needed to tell them."""
        if plan.home[node] != 0 or node in plan.items:
            return None
        if isinstance(plan.tasks[node].work, Group):
            return None
        known = self._known.get((run, generation, node, 0))
        return [TaskState.PENDING if known is None else known.state]

    # at its end -------------------------------------------------------------------------------------------------

    def after(self, accepted: Iterable[int]) -> None:
        """Everything that can be read off the tables, when all is over."""
        raw = self._database.lane.raw
        runs = {no: (state, plan) for no, state, plan in raw.execute("SELECT no, state, plan FROM runs")}
        for no in accepted:
            if no not in runs:
                self.fault(f"I1: run {no} was accepted and is not there")
        for no, (state, _) in runs.items():
            if not RunState(state).final:
                self.fault(f"I9: run {no} is {RunState(state).word}")
        rows = raw.execute(
            "SELECT run, generation, task, map, state, attempt, output FROM task_runs"
        ).fetchall()
        newest: dict[tuple[int, int, int], tuple[int, int]] = {}
        for run, generation, task, path, state, attempt, output in rows:
            place = run, task, path
            if place not in newest or newest[place][0] < generation:
                newest[place] = generation, state
            self._executed((run, generation, task, path), state, attempt, output)
        for (run, task, path), (generation, state) in newest.items():
            if RunState(runs[run][0]).final and state < S:
                self.fault(
                    f"I5: run {run} is final, {self._name((run, generation, task, path))} is {_word(state)}"
                )
        for table in ("inbox", "timers"):
            left = raw.execute(f"SELECT * FROM {table} LIMIT 3").fetchall()
            if left:
                self.fault(f"I10: {table} is not empty: {left}")
        Histories(self._name, self.fault).read(raw)
        if self._database.contains(CANARY.encode()):
            self.fault("I11: the secret is in the database")
        for slots in self._slots.left():
            self.fault(slots)

    def _executed(self, key: _RunKey, state: int, attempt: int, output: bytes | None) -> None:
        if state != S or not attempt:
            return
        plan = self._plan(key[0])
        executions = self._bodies.executions.get((*key, attempt))
        if plan is None or executions is None:
            return  # a person, the cache or the engine itself has said so
        ended = [each for each in executions if each.kind == "succeeded"]
        if not ended:
            by = self._database.lane.raw.execute(
                'SELECT "by" FROM task_runs WHERE run = ? AND generation = ? AND task = ? AND map = ?', key
            ).fetchone()
            if by is None or by[0] is None:
                self.fault(f"I3: {self._name(key)} succeeded, and no execution of attempt {attempt} did")

    def executed_once(self) -> None:
        """Where only engines fail no attempt is executed twice."""
        for key, executions in self._bodies.executions.items():
            if len(executions) > 1:
                self.fault(
                    f"E9: attempt {key[4]} of {self._name(key[:4])} was executed {len(executions)} times"
                )

    # in words ---------------------------------------------------------------------------------------------------

    def _plan(self, run: int) -> Plan | None:
        plan = self._of_run.get(run)
        if plan is None:
            row = self._database.lane.raw.execute("SELECT plan FROM runs WHERE no = ?", (run,)).fetchone()
            if row is None or row[0] not in self._plans:
                return None
            plan = self._of_run[run] = self._plans[row[0]]
        return plan

    def _name(self, key: Sequence[int]) -> str:
        plan = self._plan(key[0])
        task = str(key[2]) if plan is None else written(plan.ids[key[2]], key[3])
        return f"{task} (run {key[0]}, generation {key[1]})"

    def _tell(self, by: ProcessLoop, batch: Batch) -> None:
        told = [f"{by.name} commits batch {batch.seq} of part {batch.part}, epoch {batch.epoch}:"]
        told += [f"run {row.no} {RunState(row.state).word};" for row in batch.runs]
        told += [
            f"{self._name(task[:4])} {_word(task.state)}"
            + (f" attempt {task.attempt} ({task.epoch}, {task.n}) {task.worker}" if task.attempt else "")
            + (f" [{task.reason}];" if task.reason else ";")
            for task in batch.tasks
        ]
        if batch.inbox_done:
            told.append(f"inbox done {batch.inbox_done}")
        if batch.inbox_new:
            told.append(f"inbox new {[row.kind for row in batch.inbox_new]}")
        self.note(*told)
        content = history.NoContent()
        for written_ in batch.history:
            past = history.decode(written_.body, content)
            for event in past.events:
                self.note(f"    run {written_.run}: {event}")
            for refusal in past.refused:
                self.note(f"    run {written_.run} refuses: {refusal}")


def _word(state: int) -> str:
    return TaskState(state).word


def may_run(rule: Rule, states: Sequence[int]) -> bool:
    """Whether a task of this rule may run with its upstreams in these states, by the table of docs/trigger_rules.md."""
    if not states:
        return True
    count = len(states)
    done = sum(state >= S for state in states)
    succeeded = states.count(S)
    skipped = states.count(K)
    failed = sum(state in FAILED for state in states)
    match rule:
        case Rule.ALL_SUCCESS:
            return succeeded == count
        case Rule.ALL_FAILED:
            return failed == count
        case Rule.ALL_DONE | Rule.ALL_DONE_SETUP_SUCCESS:
            return done == count
        case Rule.ALL_DONE_MIN_ONE_SUCCESS:
            return done == count and not skipped and succeeded >= 1
        case Rule.ONE_SUCCESS:
            return succeeded >= 1
        case Rule.ONE_FAILED:
            return failed >= 1
        case Rule.ONE_DONE:
            return succeeded + sum(state in (F, C) for state in states) >= 1
        case Rule.NONE_FAILED:
            return succeeded + skipped == count
        case Rule.NONE_FAILED_MIN_ONE_SUCCESS:
            return succeeded + skipped == count and skipped < count
        case Rule.NONE_SKIPPED:
            return done == count and not skipped
        case Rule.ALL_SKIPPED:
            return skipped == count
    return True
