"""A pilot flies one machine without a shell: it picks what is ready, plays the worker from a script, keeps what a
store would keep, and can be told to crash and go on from its rows. One thread, no clock but its own."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from headrace.engine.core import events as e
from headrace.engine.core.decision import (
    Abort,
    Decision,
    Need,
    Row,
    Send,
    SetTimer,
    StartChild,
    Transition,
    Value,
)
from headrace.engine.core.evaluation import Evaluator, Filled
from headrace.engine.core.keys import Key, written
from headrace.engine.core.machine import RunMachine
from headrace.engine.core.machine.board import FOUND_BY_OTHERS
from headrace.engine.core.machine.restoring import newest
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning.templates import signals
from headrace.engine.core.run import Answers, RunInfo
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Json, Kind
from headrace.engine.expressions import CelEvaluator


@dataclass
class Outcome:
    """What the body of a task does: `fails` times it raises, then it ends as `state` with `output`. `early`: so many times it
    has succeeded before with "early", which a poll may find wanting, and raised as often before each."""

    state: str = "succeeded"
    output: Json = None
    fails: int = 0
    early: int = 0

    def at(self, attempt: int) -> tuple[str, Json]:
        """State and output of one attempt."""
        rounds, before = divmod(attempt - 1, self.fails + 1)
        if rounds <= self.early and before < self.fails:
            return "failed", None
        return ("succeeded", "early") if rounds < self.early else (self.state, self.output)


SILENT = (e.Continued, e.Resumed, e.AttemptStarted, e.HandedBack, e.SlotsGranted, e.TimerFired)
"""Events that may be in time and yet say nothing."""


def _said(decision: Decision) -> tuple[int, ...]:
    """How much stands in a decision."""
    lists = (decision.transitions, decision.rows, decision.ready, decision.withdrawn, decision.effects)
    return (*map(len, lists), decision.run is not None, decision.more)


Body = Callable[[str, Filled, int], Outcome]
"""(written id, inputs, attempt) → outcome."""


def script(outcomes: Mapping[str, Outcome]) -> Body:
    """A body by written id; what is not named succeeds with null."""
    return lambda name, inputs, attempt: outcomes.get(name, Outcome())


@dataclass
class Pilot:
    """One run. `seed` shuffles the order in which attempts end; None keeps the order of dispatch."""

    plan: Plan
    body: Body = field(default_factory=lambda: script({}))
    params: Mapping[str, Json] = field(default_factory=dict)
    seed: int | None = None
    evaluator: Evaluator = field(default_factory=CelEvaluator)
    deaf: bool = False
    """Whether its workers hear nothing: what is told to stop goes on."""
    selected: tuple[str, ...] | None = None
    """Ids of the part that runs; None: all."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.info = RunInfo(
            1, "run-1", 1, self.params, "manual", 0.0, 0.0, "2026-01-01", selected=self.selected
        )
        self.machine = RunMachine(self.plan, self.info, self.evaluator)
        self.now = 0.0
        self.rows: dict[tuple[int, Key], Row] = {}
        self.transitions: list[Transition] = []
        self.history: list[Decision] = []
        self.line: list[Key] = []
        self.flying: list[Send] = []
        self.timers: list[SetTimer] = []
        self.started: list[str] = []
        self.children: list[StartChild] = []
        self.aborts: list[Abort] = []
        self.onto: Plan | None = None
        self.stale = 0
        self.n = 0
        self.output: bytes | None = None

    # -- driving ------------------------------------------------------------------------------------------------------

    def feed(self, *events: e.Event) -> Decision:
        """One batch: the events, what they make ready, and the commit."""
        decision = Decision()
        self._decide(decision, list(events))
        seen = 0
        while True:
            fresh = decision.ready[seen:]
            seen = len(decision.ready)
            self.line += [ready.key for ready in fresh]
            gone = set(decision.withdrawn)
            self.line = [key for key in self.line if key not in gone]
            decision.withdrawn.clear()
            if not self.line:
                break
            picks = []
            for key in self.line:
                self.n += 1
                picks.append(e.Picked(self.now, key, "w1", 1, self.n))
            self.line = []
            if any(isinstance(event, e.RerunAsked) for event in decision.events):
                self._commit(decision)
                decision, seen = Decision(), 0
            self._decide(decision, list(picks))
        self._commit(decision)
        if decision.more:
            self.feed(e.Continued(self.now))
        return decision

    def _decide(self, decision: Decision, events: list[e.Event]) -> None:
        before, stale = _said(decision), decision.stale
        deciding = self.machine.decide(decision, events)
        try:
            need = next(deciding)
            while True:
                need = deciding.send(self._answer(need, decision))
        except StopIteration:
            pass
        changed = _said(decision) != before
        if decision.stale - stale == len(events):
            assert not changed, f"{events} is counted as out of date, and changes something"
        elif len(events) == 1 and not isinstance(events[0], SILENT):
            assert changed, f"{events} changes nothing, and is not counted as out of date"

    def _answer(self, need: Need, decision: Decision) -> Answers:
        values = {}
        for key in need.outputs | need.inputs:
            row = decision.rows.get(key) or self.newest(key)
            if row is not None:
                output = None if row.output is None else json.loads(row.output)
                inputs = row.inputs or self.inputs(key)
                values[key] = Value(output, row.error, row.reason, row.child, inputs)
        if need.plan is not None:
            assert self.onto is not None
            rows = [(generation, key, row) for (generation, key), row in self.rows.items()]
            kept = newest(self.plan, self.machine.status, rows)
            self.plan = self.onto
            return Answers(plan=self.onto, rows={key: replace(row) for key, row in kept.items()})
        return Answers(values)

    def move(self, plan: Plan, keys: tuple[Key, ...] | None) -> None:
        """Rerun the run, which has ended, on another version."""
        self.onto = plan
        self.feed(e.RerunAsked(self.now, "me", keys, None, 2, plan.hash))

    def newest(self, key: Key) -> Row | None:
        base = self.machine.status.base
        rows = [(g, row) for (g, at), row in self.rows.items() if at == key and g >= base]
        return max(rows, key=lambda pair: pair[0])[1] if rows else None

    def inputs(self, key: Key) -> Filled | None:
        """The stored inputs: those of the newest generation that has any."""
        rows = sorted(
            (
                (generation, row.inputs)
                for (generation, at), row in self.rows.items()
                if at == key and row.inputs and generation >= self.machine.status.base
            ),
            key=lambda pair: pair[0],
        )
        return rows[-1][1] if rows else None

    def _commit(self, decision: Decision) -> None:
        for key, row in decision.rows.items():
            before = self.rows.get((decision.generation, key))
            if before is not None and row.inputs is None:
                row = replace(row, inputs=before.inputs)
            if before is not None and row.items is None:
                row = replace(row, items=before.items)
            self.rows[decision.generation, key] = row
        self.transitions += decision.transitions
        self.history.append(decision)
        self.stale += decision.stale
        if decision.run is not None:
            self.output = decision.run.output
        for effect in decision.effects:
            if isinstance(effect, Send):
                self.flying.append(effect)
                self.started.append(self.name(effect.key))
            elif isinstance(effect, SetTimer):
                self.timers = [t for t in self.timers if (t.key, t.kind) != (effect.key, effect.kind)] + [
                    effect
                ]
            elif isinstance(effect, StartChild):
                self.children.append(effect)
            elif isinstance(effect, Abort):
                self.aborts.append(effect)
                if self.deaf:
                    continue
                self.flying = [send for send in self.flying if send.key != effect.key]
                self.feed(
                    e.AttemptCancelled(
                        self.now, effect.key, effect.attempt, *self._delivery(effect.key), self.now, self.now
                    )
                )

    def _delivery(self, key: Key) -> tuple[int, int]:
        live = self.machine.board.live.get(key)
        return (live.epoch, live.n) if live is not None else (0, 0)

    def name(self, key: Key) -> str:
        return written(self.plan.ids[key.task], key.map)

    def land(self) -> None:
        """One attempt in flight ends as the body says."""
        index = self.random.randrange(len(self.flying)) if self.seed is not None else 0
        send = self.flying.pop(index)
        self.now += 1
        outcome = self.body(self.name(send.key), send.inputs, send.attempt)
        at, key, attempt, epoch, n = self.now, send.key, send.attempt, send.epoch, send.n
        state, given = outcome.at(attempt)
        if state == "failed":
            error = e.Error("ValueError", "scripted", ("ValueError", "Exception"))
            self.feed(e.AttemptFailed(at, key, attempt, epoch, n, at - 1, at, error, None, 0.5))
        elif state == "skipped":
            self.feed(e.AttemptSkipped(at, key, attempt, epoch, n, at - 1, at))
        else:
            output = None if given is None else json.dumps(given).encode()
            self.feed(e.AttemptSucceeded(at, key, attempt, epoch, n, at - 1, at, output))

    def fire(self) -> None:
        """The next timer falls due."""
        timer = min(self.timers, key=lambda timer: timer.due_at)
        self.timers.remove(timer)
        self.now = max(self.now, timer.due_at)
        self.feed(e.TimerFired(self.now, timer.key, timer.kind, timer.due_at))

    def fly(self) -> Pilot:
        """To the end of the run. Fails when nothing can move any more."""
        if self.machine.status.state.word == "queued":
            self.feed(e.Started(self.now))
        while not self.machine.final:
            if self.flying:
                self.land()
            elif self.timers:
                self.fire()
            elif waits := self.waits():
                self.answer(waits[0])
            else:
                raise AssertionError(f"stuck: {self.states()}")
        return self

    def waits(self) -> list[Key]:
        """The task runs that wait for people or signals."""
        live = self.machine.board.live
        return sorted(key for key in live if self.plan.kinds[key.task] in FOUND_BY_OTHERS)

    def answer(self, key: Key) -> None:
        """Everybody agrees, and every signal comes."""
        for number in range(len(signals(self.plan.tasks[key.task])) or 100):
            if key not in self.machine.board.live:
                return
            if self.plan.kinds[key.task] is Kind.APPROVAL:
                self.feed(e.Decided(self.now, f"person-{number}", key, True))
            else:
                self.feed(e.SignalArrived(self.now, key, number, number, "go", None, self.now, "ann"))

    def crash(self) -> None:
        """The engine dies; another loads what was committed. Attempts in flight go on."""
        self.restore()
        self.line = []
        self.feed(e.Resumed(self.now))

    def restore(self) -> None:
        """Another machine, of what was committed."""
        machine = self.machine
        rows = [(generation, key, row) for (generation, key), row in self.rows.items()]
        self.machine = RunMachine.restore(
            self.plan, self.info, self.evaluator, machine.status, rows, grants=machine.board.grants
        )

    def replayed(self) -> Pilot:
        """A second machine that decides the history again; fails where it differs."""
        again = Pilot(self.plan, self.body, self.params, evaluator=self.evaluator, selected=self.selected)
        again.rows = self.rows
        for before in self.history:
            decision = Decision()
            for start, end in pairwise([*before.rounds, len(before.events)]):
                again._decide(decision, before.events[start:end])
            assert decision.transitions == before.transitions
        assert again.states() == self.states()
        return again

    # -- looking ------------------------------------------------------------------------------------------------------

    def states(self) -> dict[str, str]:
        """Final (or present) state by written id. Groups are left out; an expanded map stands by its items."""
        found = {}
        board = self.machine.board
        for block, slot in board.slots():
            key = block.key(slot)
            if not board.static.is_group[key.task] and slot not in block.children:
                found[self.name(key)] = TaskState(block.state[slot]).word
        return found

    @property
    def state(self) -> str:
        return self.machine.status.state.word

    def attempts(self, name: str) -> int:
        return self.started.count(name)
