"""A flight of the machine and of the reference model side by side: one random course of events, compared after each."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from headrace.engine.core import events as e
from headrace.engine.core.decision import Send
from headrace.engine.core.keys import Key, pack, unpack
from headrace.engine.core.machine import RunMachine
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.planning.templates import signals
from headrace.engine.core.states import MOVES, TaskState
from headrace.engine.core.workflow import Approval, Map, Switch, Workflow
from tests.support.model import FINAL, Model, Run, written
from tests.support.model_graph import Graph
from tests.support.pilot import Outcome, Pilot
from tests.support.strategies import Script, spelled

WORDS = {
    "pending": {"pending", "ready"},
    "queued": {"again"},
    "dispatched": {"running"},
    "running": {"running"},
    "retrying": {"retrying", "again"},
    "waiting": {"waiting", "polling", "again"},
}
"""What the model calls what the machine calls so; final states have one word."""

MISCHIEF = ("crash", "repeat", "started", "back", "again", "lost", "pause")
"""What may happen at any moment and changes no final state, but for `lost`, which costs an attempt."""


MOST_STEPS = 2_000
"""More than any small run takes: one that takes more goes round in circles."""


@dataclass
class Course:
    """What happens during a flight, beside the landing of attempts: shares of a hundred."""

    mischief: int = 30
    cancel: int = 0
    kill: int = 0
    reruns: int = 0
    wanted: tuple[str, ...] = MISCHIEF


class Flight:
    """Machine and model under the same events in the same order."""

    def __init__(self, workflow: Workflow, seed: int, course: Course | None = None) -> None:
        self.workflow, self.course = workflow, course or Course()
        self.plan: Plan = build_plan(workflow)[0]
        self.random = random.Random(seed)
        self.model = Model(workflow)
        self.script = script(workflow, seed)
        self.pilot = Pilot(self.plan, lambda name, inputs, attempt: self.script.outcome(name), seed=seed)
        self.past: list[e.Event] = []  # reports already given
        self.told = 0  # decisions of the pilot whose sends the model knows
        self.accepted: set[tuple[int, Run, int]] = set()

    # -- one whole flight --------------------------------------------------------------------------------------------

    def fly(self) -> Flight:
        try:
            self.start()
            self.to_the_end()
            for _ in range(self.course.reruns):
                self.rerun()
                self.to_the_end()
        except AssertionError as error:
            error.add_note(spelled(self.workflow))
            raise
        return self

    def to_the_end(self) -> None:
        for _ in range(MOST_STEPS):
            if self.pilot.machine.final:
                break
            self.step()
        self.at_the_end()

    def start(self) -> None:
        self.model.start()
        self.pilot.feed(e.Started(0.0))
        self.agree()

    def step(self) -> None:
        """One thing happens: now and then mischief, else the next attempt ends or the next timer falls due."""
        roll = self.random.randrange(100)
        if roll < self.course.mischief:
            self.mischief()
        elif roll < self.course.mischief + self.course.cancel:
            self.cancel(kill=False)
        elif roll < self.course.mischief + self.course.cancel + self.course.kill:
            self.cancel(kill=True)
        elif (waits := self.pilot.waits()) and (
            self.random.random() < 0.3 or not (self.pilot.flying or self.pilot.timers)
        ):
            self.tell(self.random.choice(waits))
        elif self.pilot.flying and (not self.pilot.timers or self.random.random() < 0.8):
            self.land()
        elif self.pilot.timers:
            self.fire()
        elif self.paused:
            self.pilot.feed(e.ResumeAsked(self.pilot.now, "me"))
        else:
            raise AssertionError(f"stuck: {self.pilot.states()}; the model says {self.model.states()}")
        self.agree()

    # -- what happens ------------------------------------------------------------------------------------------------

    def land(self) -> None:
        before = list(self.pilot.flying)
        index = self.random.randrange(len(before))
        self.pilot.flying[:] = [before[index], *(before[:index] + before[index + 1 :])]
        send = before[index]
        run = self.run(send.key)
        state, output = self.script.outcome(written(run)).at(send.attempt)
        self.accept(run, send.attempt)
        self.model.ended(run, state, output)
        seed, self.pilot.seed = self.pilot.seed, None
        self.pilot.land()
        self.pilot.seed = seed
        self.past += [event for event in self.pilot.history[-1].events[:1] if hasattr(event, "attempt")]

    def tell(self, key: Key) -> None:
        """Somebody decides, or a signal comes: one that is waited for, or one that has come before."""
        work, run, at = self.plan.tasks[key.task].work, self.run(key), self.pilot.now
        if isinstance(work, Approval):
            by, approved = self.random.choice(("ann", "bob", "cyd")), self.random.random() < 0.85
            self.model.said(run, by, approved)
            self.pilot.feed(e.Decided(at, by, key, approved))
        else:
            place = self.random.randrange(len(signals(self.plan.tasks[key.task])))
            self.model.signalled(run, place)
            self.pilot.feed(e.SignalArrived(at, key, place, 1, "go", None, at, "ann"))

    def accept(self, run: Run, attempt: int) -> None:
        """I3: at most one accepted terminal result per attempt."""
        result = (self.model.generation, run, attempt)
        assert result not in self.accepted
        self.accepted.add(result)

    def fire(self) -> None:
        timer = min(self.pilot.timers, key=lambda timer: timer.due_at)
        if timer.key is not None:
            self.model.fired(self.run(timer.key), timer.kind)
        self.pilot.fire()

    def cancel(self, *, kill: bool) -> None:
        self.model.cancel(kill=kill)
        self.pilot.feed(e.CancelAsked(self.pilot.now, "me", kill))

    def mischief(self) -> None:
        what = self.random.choice(self.course.wanted)
        pilot, at = self.pilot, self.pilot.now
        if what == "crash":
            self.crash()
        elif what == "repeat" and self.past:
            before, stale = self.picture(), pilot.stale
            pilot.feed(self.random.choice(self.past))
            assert self.picture() == before, "a stale report changed something"
            assert pilot.stale == stale + 1
        elif what == "pause":
            pilot.feed(e.ResumeAsked(at, "me") if self.paused else e.PauseAsked(at, "me"))
        elif pilot.flying:
            send = self.random.choice(pilot.flying)
            run, there = self.run(send.key), (send.key, send.attempt, send.epoch, send.n)
            started = TaskState(self.machine_state(send.key)) is TaskState.RUNNING
            if what == "started":
                self.past.append(e.AttemptStarted(at, *there))
                pilot.feed(self.past[-1])
            elif what == "back" and not started:
                pilot.flying.remove(send)
                self.model.handed_back(run)
                self.past.append(e.HandedBack(at, *there))
                pilot.feed(self.past[-1])
            elif what == "again" and not started:
                pilot.flying.remove(send)
                pilot.feed(e.Redelivered(at, send.key, "w2", 2, self.random.randrange(1_000_000)))
            elif what == "lost":
                pilot.flying.remove(send)
                self.accept(run, send.attempt)
                self.model.ended(run, "failed", kinds=("lost",))
                self.past.append(e.AttemptSucceeded(at, *there, at, at, b"1"))
                pilot.feed(e.WorkerLost(at, send.key, send.attempt, 0.5))

    def rerun(self) -> None:
        """From failed: what runs again has other outcomes than before."""
        self.script.seed += 1
        self.pilot.timers.clear()
        self.past.clear()
        self.model.rerun()
        self.pilot.feed(e.RerunAsked(self.pilot.now, "me", None))
        self.agree()

    def crash(self) -> None:
        """The board that another owner lays from the rows equals the one that is lost, tallies included. What has fallen
        due by then goes on at once."""
        pilot = self.pilot
        rows = [(generation, key, row) for (generation, key), row in pilot.rows.items()]
        status = pilot.machine.status
        laid = RunMachine.restore(self.plan, pilot.info, pilot.evaluator, status, rows)
        before, after = tallies(pilot, pilot.machine), tallies(pilot, laid)
        differing = {
            k: (before.get(k), after.get(k)) for k in before | after if before.get(k) != after.get(k)
        }
        assert not differing, f"(lost, laid): {differing}"
        for timer in pilot.timers:
            between = timer.kind in ("retry", "poll") and timer.due_at <= pilot.now
            if timer.key is not None and between:
                self.model.fired(self.run(timer.key), timer.kind)
        pilot.crash()

    # -- comparing ---------------------------------------------------------------------------------------------------

    def run(self, key: Key) -> Run:
        return self.plan.ids[key.task], unpack(key.map)

    def key(self, run: Run) -> Key:
        return Key(self.plan.index[run[0]], pack(run[1]))

    @property
    def paused(self) -> bool:
        return self.pilot.machine.status.paused

    def machine_state(self, key: Key) -> int:
        place = self.pilot.machine.board.locate(key)
        assert place is not None
        block, slot = place
        return block.state[slot]

    def picture(self) -> tuple[object, ...]:
        return self.pilot.states(), self.pilot.state, len(self.pilot.transitions), len(self.pilot.flying)

    def agree(self) -> None:
        """The model is told what was sent to workers, which it refuses when it may not be (I2); then states are equal."""
        for decision in self.pilot.history[self.told :]:
            for effect in decision.effects:
                if isinstance(effect, Send):
                    run = self.run(effect.key)
                    if self.model.at(run) != "running" or self.model.attempts[run] != effect.attempt:
                        self.model.begin(run, effect.attempt)
            for move in decision.transitions:  # I4
                assert move.after in MOVES[TaskState(move.before)]
        self.told = len(self.pilot.history)
        machine, model = self.pilot.states(), self.model.states()
        different = {
            name: (machine.get(name), model.get(name))
            for name in machine | model
            if model.get(name) not in WORDS.get(machine.get(name, ""), {machine.get(name)})
        }
        assert not different, f"(machine, model): {different}"
        assert set(map(written, self.model.under_way())) == {
            self.pilot.name(s.key) for s in self.pilot.flying
        }
        limit = self.workflow.limits.active_tasks
        if self.paused or (limit is not None and len(self.pilot.flying) >= limit):
            return
        waiting = {written(run) for run in self.model.ready()}
        assert not waiting, f"ready and not started: {waiting}"

    def at_the_end(self) -> None:
        assert self.pilot.machine.final
        assert self.pilot.state == self.model.run_state, (self.pilot.state, self.model.run_state)
        for name, state in self.pilot.states().items():  # I5
            assert state in FINAL, (name, state)
        board = self.pilot.machine.board
        known = {block.key(slot) for block, slot in board.slots()}
        newest = {key: self.pilot.newest(key) for _, key in self.pilot.rows if key in known}
        rows = {key: row.attempt for key, row in newest.items() if row is not None and row.attempt}
        mine = {self.key(run): n for run, n in self.model.attempts.items() if n}
        assert rows == mine
        limit = self.workflow.limits.active_tasks
        assert limit is None or limit > 0


def tallies(pilot: Pilot, machine: RunMachine) -> dict[str, object]:
    """All that a board keeps beside its states, as far as it still matters."""
    found: dict[str, object] = {}
    for block, slot in machine.board.slots():
        name = f"{pilot.name(block.key(slot))}{'*' if slot in block.children else ''}"
        state = TaskState(block.state[slot])
        found[f"{name} state"] = state
        if state is TaskState.PENDING:
            found[f"{name} unmet"] = block.unmet[slot]
            found[f"{name} seen"] = block.seen[slot]
        inner = block.children.get(slot)
        if inner is not None:
            for what in (
                "ended",
                "succeeded",
                "failed",
                "skipped",
                "cancelled",
                "exceeded",
                "given",
                "held",
            ):
                found[f"{name} {what}"] = getattr(inner, what)
    return found


def script(workflow: Workflow, seed: int) -> Script:
    """What the bodies of this workflow do under this seed."""
    graph = Graph.of(workflow)
    choices = {
        node.id: [
            other.task.id
            for other in graph.nodes.values()
            if node.id in graph.up[other.id] and other.around == node.around
        ]
        for node in graph.nodes.values()
        if isinstance(node.task.work, Switch) and node.task.work.python
    }
    sources = set()
    for node in graph.nodes.values():
        if isinstance(node.task.map, Map) and isinstance(node.task.map.over, str):
            sources.add(graph.find(node.task.map.over.split(".")[1], node).id)
    polls = frozenset(node.id for node in graph.nodes.values() if node.task.poll is not None)
    return Script(seed, choices, frozenset(sources), polls)


Body = Callable[[str], Outcome]
