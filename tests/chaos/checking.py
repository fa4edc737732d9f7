"""The history checker: holds what a world left behind against what is promised (docs/reliability.md, I1 to I10).

It knows nothing of how engines decide: only the legal moves, the trigger rules as the page has them, and who wrote what where.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from headrace.engine.core.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CancelAsked,
    PauseAsked,
    Picked,
    Redelivered,
    RerunAsked,
    ResumeAsked,
    TaskAsked,
)
from headrace.engine.core.plan import Rule, Section
from headrace.engine.core.states import MOVES, RunState, TaskState
from headrace.engine.core.workflow import Group, PythonCall
from headrace.testing.simulation.judge import may_run
from tests.chaos.evidence import AttemptKey, Effect, Evidence, TaskKey, Told

FLYING = (TaskState.DISPATCHED, TaskState.RUNNING)
AGAIN = (*FLYING, TaskState.QUEUED, TaskState.WAITING)
ASKED = (CancelAsked, PauseAsked, ResumeAsked, RerunAsked, TaskAsked)
ENDS = {TaskState.SUCCEEDED: "succeeded", TaskState.FAILED: "failed", TaskState.SKIPPED: "skipped"}


def check(evidence: Evidence) -> list[str]:
    """What was broken, each a sentence that begins with the invariant's name. Nothing: all promises were kept."""
    journal = _Journal(evidence.effects)
    found = [*_nothing_lost(evidence), *_all_ended(evidence), *_answered_once(evidence)]
    for told in evidence.told():
        found += _moves(told)
        found += _rules(told)
        found += _order(told, journal)
        found += _results(told, journal)
        found += _owners(told)
    found += _executed(evidence, journal)
    found += _carried(evidence)
    found += _letters(evidence)
    found += [f"I6: {line}" for line in evidence.differences]
    return found


class _Journal:
    """The lines of each attempt, and where they stand in the file: appended whole, so their order is that of what happened."""

    def __init__(self, effects: Iterable[Effect]) -> None:
        self.lines: defaultdict[tuple[str, int], list[tuple[int, Effect]]] = defaultdict(list)
        self.begun: dict[str, int] = {}
        for place, effect in enumerate(effects):
            self.lines[effect.key, effect.attempt].append((place, effect))
            if effect.kind == "begin":
                self.begun.setdefault(effect.key, place)

    def ended(self, key: str, attempt: int, kind: str) -> int | None:
        """Where an execution of that attempt first came to that end."""
        return next((place for place, effect in self.lines[key, attempt] if effect.kind == kind), None)


def _word(state: int) -> str:
    return TaskState(state).word


# I1, I5, I9, I10 ------------------------------------------------------------------------------------------------------


def _nothing_lost(evidence: Evidence) -> Iterator[str]:
    for asked, no in evidence.accepted.items():
        if no not in evidence.runs:
            yield f"I1: run {no}, which {asked} was answered with, is not there"
    wanted = set(evidence.accepted.values())
    if len(wanted) < len(evidence.accepted):
        yield "I1: two requests were answered with the same run"
    for told in evidence.told():
        if told.row.no not in wanted and told.row.parent is None:
            yield f"I1: nobody has asked for run {told.row.no}"
    children = Counter(told.row.parent for told in evidence.told() if told.row.parent is not None)
    for parent, times in children.items():
        if times > 1:
            yield f"I1: {parent} has begun {times} runs in place of one"


def _all_ended(evidence: Evidence) -> Iterator[str]:
    for told in evidence.told():
        if not RunState(told.row.state).final:
            yield f"I9: run {told.row.no} ({told.row.workflow}) is {RunState(told.row.state).word}"
            continue
        newest: dict[tuple[int, int], tuple[int, int]] = {}
        for task in told.tasks:
            place = task.task, task.map
            newest[place] = max(newest.get(place, (0, 0)), (task.generation, task.state))
        for (task_index, path), (generation, state) in newest.items():
            if not TaskState(state).final:
                yield f"I5: run {told.row.no} is final, {told.name(generation, task_index, path)} is {_word(state)}"
    for table, rows in evidence.left.items():
        if rows:
            yield f"I10: {table} holds {rows} rows, and nothing is left to do"


def _answered_once(evidence: Evidence) -> Iterator[str]:
    answers: Counter[str] = Counter()
    for told in evidence.told():
        for entry in told.history:
            answers.update(event.by for event in entry.past.events if isinstance(event, ASKED))
            answers.update(refusal.by for refusal in entry.past.refused)
    for by, no in evidence.commands.items():
        if answers[by] != 1:
            yield f"I3: what {by} asked for in run {no} was answered {answers[by]} times"


# I2, I4 ---------------------------------------------------------------------------------------------------------------


def _moves(told: Told) -> Iterator[str]:
    last: dict[TaskKey, int] = {}
    ends: set[AttemptKey] = set()
    for place, entry in enumerate(told.history):
        if entry.seq != place + 1:
            yield f"I4: entry {place + 1} of run {told.row.no}'s history is numbered {entry.seq}"
            return
        past = entry.past
        for move in past.transitions:
            key = told.row.no, past.generation, move.key.task, move.key.map
            name = told.name(*key[1:])
            before = last.get(key, TaskState.PENDING if past.generation == 1 else move.before)
            if move.before != before:
                yield f"I4: {name} moved from {_word(move.before)} and was {_word(before)}"
            if move.after not in MOVES[TaskState(move.before)]:
                yield f"I4: {name} moved from {_word(move.before)} to {_word(move.after)}"
            if move.before in FLYING and move.after not in AGAIN:
                if (*key, move.attempt) in ends:
                    yield f"I3: attempt {move.attempt} of {name} ended twice"
                ends.add((*key, move.attempt))
            last[key] = move.after
    for task in told.tasks:
        key = task[:4]
        if last.get(key, task.state) != task.state:
            yield f"I6: {told.name(*key[1:])} is stored as {_word(task.state)}, and history left it {_word(last[key])}"


def _plain(told: Told, node: int) -> bool:
    """Whether the task has one task run, whose row says all there is to say."""
    plan = told.plan
    work = plan.tasks[node].work
    return plan.home[node] == 0 and node not in plan.items and not isinstance(work, Group)


def _rules(told: Told) -> Iterator[str]:
    """Whether the rule held at each first dispatch, as far as the states alone tell it; the first generation, outside of maps."""
    plan = told.plan
    states: dict[int, int] = {}
    for entry in told.history:
        if entry.past.generation > 1:
            return
        for move in entry.past.transitions:
            node = move.key.task
            if move.key.map:
                continue
            states[node] = move.after
            waited = move.before in (TaskState.PENDING, TaskState.QUEUED)
            if move.after != TaskState.DISPATCHED or not waited or move.attempt > 1:
                continue
            early = [
                other
                for other, state in states.items()
                if plan.sections[other] < plan.sections[node] and not TaskState(state).final
            ]
            if plan.sections[node] != Section.MAIN and early:
                yield f"I2: {told.name(1, node, 0)} was dispatched before {plan.ids[early[0]]} was final"
            above = list(plan.upstream(node))
            if all(_plain(told, up) for up in above):
                found = [states.get(up, TaskState.PENDING) for up in above]
                if not may_run(Rule(plan.rules[node]), found):
                    yield f"I2: {told.name(1, node, 0)} was dispatched, and upstream is {', '.join(map(_word, found))}"


def _order(told: Told, journal: _Journal) -> Iterator[str]:
    """The same from outside: no body began before those it waits for had written that they had succeeded."""
    plan = told.plan
    first = {task.task: task for task in told.tasks if task.generation == 1 and not task.map}
    for node in first:
        began = journal.begun.get(told.effect_key(1, node, 0))
        if began is None or Rule(plan.rules[node]) != Rule.ALL_SUCCESS or not _plain(told, node):
            continue
        for up in plan.upstream(node):
            row = first.get(up)
            if row is None or not _by_worker(told, up, row.by, row.attempt) or not _plain(told, up):
                continue
            ended = journal.ended(told.effect_key(1, up, 0), row.attempt, "succeeded")
            if ended is None or ended > began:
                yield f"I2: {told.name(1, node, 0)} began before {plan.ids[up]} had succeeded"


def _by_worker(told: Told, node: int, by: str | None, attempt: int) -> bool:
    """Whether a body was called for its end: not a person, the cache or the engine said so."""
    return by is None and attempt > 0 and isinstance(told.plan.tasks[node].work, PythonCall)


# I3, I7, I8 -----------------------------------------------------------------------------------------------------------


def _results(told: Told, journal: _Journal) -> Iterator[str]:
    """What was accepted is what an execution of that very attempt came to."""
    for task in told.tasks:
        name = told.name(*task[1:4])
        most = told.plan.tasks[task.task].retry.attempts
        tries = task.attempt - _polled(told, task[:4])
        if tries > most and not _retried(told, task[:4]):
            yield f"I3: {name} has come to try {tries}, above the {most} that its policy allows"
        kind = ENDS.get(TaskState(task.state))
        if kind is None or not _by_worker(told, task.task, task.by, task.attempt):
            continue
        if task.state == TaskState.FAILED and task.reason != "task_failed":
            continue  # timed out, lost: nobody came to that end
        if task.state == TaskState.SKIPPED and task.reason != "task_skipped":
            continue
        key = told.effect_key(*task[1:4])
        place = journal.ended(key, task.attempt, kind)
        if place is None:
            told_error = f" ({task.error.decode()})" if task.error is not None else ""
            yield f"I3: {name} {kind} in attempt {task.attempt}, and no execution of that did{told_error}"
        elif kind == "succeeded" and task.artifact is None:
            outputs = {e.output for _, e in journal.lines[key, task.attempt] if e.kind == kind}
            stored = "null" if task.output is None else task.output.decode()
            if stored not in outputs:
                yield f"I3: {name} has the output {stored}, and its executions came to {sorted(map(str, outputs))}"


def _retried(told: Told, key: TaskKey) -> bool:
    """Whether a person has asked for another attempt."""
    return any(
        isinstance(event, TaskAsked) and event.action == "retry" and event.key == key[2:]
        for entry in told.history
        for event in entry.past.events
    )


def _polled(told: Told, key: TaskKey) -> int:
    """The last attempt that found what is polled for wanting: tries are counted from there."""
    if told.plan.tasks[key[2]].poll is None:
        return 0
    return max(
        (
            move.attempt
            for entry in told.history
            if entry.past.generation == key[1]
            for move in entry.past.transitions
            if move.key == key[2:] and move.before in FLYING and move.after == TaskState.WAITING
        ),
        default=0,
    )


def _owners(told: Told) -> Iterator[str]:
    """Deliveries only go up: whoever wrote with a lower epoch had lost the part."""
    last = 0
    for entry in told.history:
        for event in entry.past.events:
            if isinstance(event, Picked | Redelivered):
                if event.epoch < last:
                    yield f"I8: run {told.row.no} was decided in epoch {event.epoch} after {last}"
                last = max(last, event.epoch)


def _executed(evidence: Evidence, journal: _Journal) -> Iterator[str]:
    sent = {each.key for each in evidence.dispatches}
    dispatched: dict[tuple[str, int], AttemptKey] = {}
    for told in evidence.told():
        for entry in told.history:
            for move in entry.past.transitions:
                if move.after == TaskState.DISPATCHED:
                    where = entry.past.generation, move.key.task, move.key.map
                    dispatched[told.effect_key(*where), move.attempt] = (told.row.no, *where, move.attempt)
    for (key, attempt), lines in journal.lines.items():
        attempt_key = dispatched.get((key, attempt))
        if attempt_key is None:
            yield f"I2: attempt {attempt} of {key} was executed, and history never sent it"
        elif attempt_key not in sent:
            yield f"I7: attempt {attempt} of {key} was executed, and no message of it is in Kafka"
        by = Counter(effect.pid for _, effect in lines if effect.kind == "begin")
        again = [pid for pid, times in by.items() if times > 1]
        if again:
            yield f"W3: process {again[0]} executed attempt {attempt} of {key} {by[again[0]]} times"
        if evidence.only_engines and by.total() > 1:
            yield f"E9: attempt {attempt} of {key} was executed {by.total()} times, and only engines failed"


def _carried(evidence: Evidence) -> Iterator[str]:
    """What Kafka carried and what was decided belong together."""
    for each in evidence.dispatches:
        if each.epoch > evidence.epochs.get(each.part, 0):
            yield f"I8: part {each.part} was dispatched from in epoch {each.epoch}, which it never had"
    sent = {each.key for each in evidence.dispatches}
    reported = {
        (r.run, r.generation, r.task, r.map, r.attempt, r.epoch, r.n, r.kind) for r in evidence.reports
    }
    for told in evidence.told():
        for entry in told.history:
            for event in entry.past.events:
                if not isinstance(event, AttemptSucceeded | AttemptStarted):
                    continue
                kind = "succeeded" if isinstance(event, AttemptSucceeded) else "started"
                key = told.row.no, entry.past.generation, *event.key, event.attempt
                name = told.name(*key[1:4])
                if key not in sent:
                    yield f"I7: attempt {event.attempt} of {name} was reported {kind}, and no message of it is in Kafka"
                if (*key, event.epoch, event.n, kind) not in reported:
                    yield f"I3: attempt {event.attempt} of {name} counts as {kind}, and no worker has reported that"


def _letters(evidence: Evidence) -> Iterator[str]:
    """Every attempt that a worker said has failed for good is a dead letter, once, and was published; nothing that goes on is one.

    What nobody executes any more is none: a timeout of the whole task, a child that failed.
    """
    kept = Counter(letter.key for letter in evidence.letters)
    failed: set[AttemptKey] = set()
    reported: set[AttemptKey] = set()
    for told in evidence.told():
        for entry in told.history:
            for move in entry.past.transitions:
                if move.after == TaskState.FAILED and move.before in FLYING:
                    key = told.row.no, entry.past.generation, *move.key, move.attempt
                    failed.add(key)
                    if isinstance(entry.past.events[move.event], AttemptFailed):
                        reported.add(key)
    for key, times in kept.items():
        if times > 1:
            yield f"I3: {key} is a dead letter {times} times"
        if key not in failed:
            yield f"I3: {key} is a dead letter and has not failed for good"
    for key in sorted(reported - kept.keys()):
        yield f"I1: {key} has failed for good and is no dead letter"
    for letter in evidence.letters:
        if letter.id not in evidence.published:
            yield f"I1: dead letter {letter.id} was never published"
