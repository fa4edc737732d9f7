"""Limits over several engines: task runs that want slots of one pool, their owners, the owner of the home part, and the inbox.

Every task run is in a part of its own, and so has an owner of its own. An engine that owns several parts and dies is several
owners that die one after the other. What is read and decided, and what is committed, are two steps of the home part's owner: in
between others write into its inbox.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, NamedTuple

from tests.simulation.protocol.checker import Explorer, Move, Symmetry, Verdict
from tests.simulation.protocol.slots_rules import (
    FREED,
    HELD,
    WANTED,
    Claim,
    Commit,
    Home,
    Row,
    SlotRules,
    grant,
    read,
)

# A task run as stored. DELAYED: it has failed, and waits for its next attempt.
QUEUED, FLYING, DELAYED, ENDED = range(4)
PHASES = ("queued", "flying", "delayed", "ended")


class Task(NamedTuple):
    """A task run and what its part's inbox holds for it. `ready`: its owner remembers that it was granted a slot."""

    phase: int
    attempt: int
    ready: bool
    grants: tuple[int, ...]  # by the attempt that each names


class SlotBudget(NamedTuple):
    """How often each misfortune may still happen."""

    home_dies: int = 0  # and another engine claims the home part
    owner_dies: int = 0  # of a task run's part
    failure: int = 0  # of an attempt; another follows
    cancel: int = 0  # of a task run that has not started

    def spend(self, what: str) -> SlotBudget:
        return self._replace(**{what: getattr(self, what) - 1})


class SlotState(NamedTuple):
    """`commit`: what the home part's owner is about to write; `stale`: what its predecessors still may, without the fence."""

    tasks: tuple[Task, ...]
    inbox: tuple[Row, ...]
    home: Home
    commit: Commit
    stale: tuple[Commit, ...]
    budget: SlotBudget


class Happened(NamedTuple):
    """The label of a step."""

    name: str
    task: int = -1


@dataclass(frozen=True, slots=True)
class SlotSizes:
    """`costs`: by task run; `size`: of the pool."""

    costs: tuple[int, ...]
    size: int
    budget: SlotBudget


class SlotWorld:
    """What the checker explores."""

    def __init__(self, sizes: SlotSizes, rules: SlotRules | None = None) -> None:
        self._sizes = sizes
        self._rules = rules or SlotRules()
        self._count = len(sizes.costs)

    def start(self) -> SlotState:
        """Every task run has asked, in a row of its own."""
        return SlotState(
            (Task(QUEUED, 1, False, ()),) * self._count,
            tuple(Row(task + 1, WANTED, task, 1) for task in range(self._count)),
            Home((Claim(),) * self._count),
            Commit(),
            (),
            self._sizes.budget,
        )

    def moves(self, state: SlotState) -> Iterator[Move[SlotState]]:
        for happened, fair, after in self._steps(state):
            yield Move(happened, fair, _renumbered(after), self._broken(after))

    def good(self, state: SlotState) -> bool:
        """Everything has ended, and nothing of it is left anywhere."""
        return (
            all(task.phase == ENDED and not task.grants for task in state.tasks)
            and not state.inbox
            and not state.commit
            and state.home.claims == (Claim(),) * self._count
        )

    def _broken(self, state: SlotState) -> str | None:
        flying = [
            cost for cost, task in zip(self._sizes.costs, state.tasks, strict=True) if task.phase == FLYING
        ]
        return "over the limit" if len(flying) > 1 and sum(flying) > self._sizes.size else None

    def _steps(self, state: SlotState) -> Iterator[tuple[Happened, bool, SlotState]]:
        for number, task in enumerate(state.tasks):
            yield from self._owner(state, number, task)
        yield from self._home(state)

    # -- the owners of the task runs --------------------------------------------------------------------------------

    def _owner(self, state: SlotState, number: int, task: Task) -> Iterator[tuple[Happened, bool, SlotState]]:
        budget, rules = state.budget, self._rules
        if task.grants:
            counts = task.phase == QUEUED and (
                task.grants[0] == task.attempt or not rules.grant_names_attempt
            )
            heard = task._replace(ready=task.ready or counts, grants=task.grants[1:])
            yield Happened("a grant is read", number), True, _with(state, number, heard)
        if task.phase == QUEUED:
            if task.ready:
                flying = _with(state, number, task._replace(phase=FLYING, ready=False))
                yield Happened("dispatch", number), True, flying
            if budget.cancel:
                ended = self._over(state, number, task._replace(phase=ENDED, ready=False))
                yield Happened("cancelled while it waits", number), False, _spent(ended, "cancel")
        elif task.phase == FLYING:
            yield Happened("ends", number), True, self._over(state, number, task._replace(phase=ENDED))
            if budget.owner_dies and not rules.freed_with_the_end:
                lost = self._reloaded(_with(state, number, task._replace(phase=ENDED)), number)
                yield Happened("ends, and another engine claims the run's part", number), False, lost
            if budget.failure:
                failed = self._over(state, number, task._replace(phase=DELAYED))
                yield Happened("fails", number), False, _spent(failed, "failure")
        elif task.phase == DELAYED:
            again = _with(state, number, task._replace(phase=QUEUED, attempt=task.attempt + 1))
            yield Happened("asks again, for its next attempt", number), True, _posted(again, WANTED, number)
        if budget.owner_dies:
            yield (
                Happened("another engine claims the run's part", number),
                False,
                self._reloaded(state, number),
            )

    def _over(self, state: SlotState, number: int, task: Task) -> SlotState:
        state = _with(state, number, task)
        return _posted(state, FREED, number)

    def _reloaded(self, state: SlotState, number: int) -> SlotState:
        state = _spent(state, "owner_dies")
        task = state.tasks[number]
        state = _with(state, number, task._replace(ready=False))
        return _posted(state, WANTED, number) if task.phase == QUEUED and self._rules.asked_again else state

    # -- the owner of the home part ---------------------------------------------------------------------------------

    def _home(self, state: SlotState) -> Iterator[tuple[Happened, bool, SlotState]]:
        if state.commit:
            yield Happened("the home part commits"), True, self._written(state, state.commit)
        else:
            yield from self._decided(state)
        if state.budget.home_dies:
            stale = state.stale
            if not self._rules.fence and state.commit:
                stale = tuple(sorted((*stale, state.commit)))
            dead = state._replace(home=Home((Claim(),) * self._count), commit=Commit(), stale=stale)
            yield Happened("another engine claims the home part"), False, _spent(dead, "home_dies")
        for index, commit in enumerate(state.stale):
            others = (*state.stale[:index], *state.stale[index + 1 :])
            late = self._written(state._replace(stale=others), commit)
            yield (
                Happened("a stale owner of the home part commits"),
                False,
                late._replace(commit=state.commit),
            )

    def _decided(self, state: SlotState) -> Iterator[tuple[Happened, bool, SlotState]]:
        """A turn reads any number of rows; it grants when it has read them all."""
        home, commit, rules = state.home, Commit(), self._rules
        unread = [row for row in state.inbox if row.id > home.after]
        for count in range(len(unread) + 1):
            if count:
                home, commit = read(home, commit, unread[count - 1], rules)
            after, decided = home, commit
            if count == len(unread):
                after = after._replace(complete=True)
            if count == len(unread) or not rules.read_to_the_end_first:
                after, decided = grant(after, decided, self._sizes.size, self._sizes.costs, rules)
            if after != state.home:
                turned = state._replace(home=after, commit=decided)
                if not rules.grant_follows_commit:
                    turned = _told(turned, decided)._replace(commit=decided._replace(granted=()))
                yield Happened("the home part reads"), count == len(unread), turned

    def _written(self, state: SlotState, commit: Commit) -> SlotState:
        kept = tuple(row for row in state.inbox if row.id not in commit.done)
        state = _told(state._replace(inbox=kept, commit=Commit()), commit)
        for task, attempt in commit.held:
            state = _posted(state, HELD, task, attempt)
        return state

    # -- for the checker --------------------------------------------------------------------------------------------

    def parts(self, state: SlotState) -> Sequence[Any]:
        return (*state.tasks, *state[1:])

    def whole(self, parts: Sequence[Any]) -> SlotState:
        return SlotState._make((tuple(parts[: self._count]), *parts[self._count :]))

    def symmetries(self) -> list[Symmetry]:
        """Task runs of one cost are interchangeable."""
        costs, same = self._sizes.costs, tuple(range(self._count))
        return [
            _renaming(order)
            for order in permutations(same)
            if order != same and all(costs[new] == costs[old] for new, old in enumerate(order))
        ]


def _with(state: SlotState, number: int, task: Task) -> SlotState:
    return state._replace(tasks=(*state.tasks[:number], task, *state.tasks[number + 1 :]))


def _spent(state: SlotState, what: str) -> SlotState:
    return state._replace(budget=state.budget.spend(what))


def _posted(state: SlotState, kind: int, number: int, attempt: int | None = None) -> SlotState:
    """One more row in the home part's inbox."""
    after = max([state.home.after, *(row.id for row in state.inbox)])
    row = Row(after + 1, kind, number, state.tasks[number].attempt if attempt is None else attempt)
    return state._replace(inbox=(*state.inbox, row))


def _told(state: SlotState, commit: Commit) -> SlotState:
    """The grants reach the inboxes of those who asked."""
    for number, attempt in commit.granted:
        task = state.tasks[number]
        state = _with(state, number, task._replace(grants=(*task.grants, attempt)))
    return state


def _renumbered(state: SlotState) -> SlotState:
    """Only the order of the rows matters."""
    ids = {row.id: number for number, row in enumerate(state.inbox, 1)}
    home = state.home
    claims = tuple(
        claim._replace(row=ids.get(claim.row, 0), freed=ids.get(claim.freed, 0)) for claim in home.claims
    )
    return state._replace(
        inbox=tuple(row._replace(id=ids[row.id]) for row in state.inbox),
        home=home._replace(claims=claims, after=sum(row.id <= home.after for row in state.inbox)),
        commit=_known(state.commit, ids),
        stale=tuple(sorted(_known(commit, ids) for commit in state.stale)),
    )


def _known(commit: Commit, ids: dict[int, int]) -> Commit:
    return commit._replace(done=tuple(ids[row] for row in commit.done if row in ids))


def _renaming(order: tuple[int, ...]) -> Symmetry:
    """New task run i is old task run `order[i]`."""
    to = {old: new for new, old in enumerate(order)}

    def inbox(rows: tuple[Row, ...]) -> tuple[Row, ...]:
        return tuple(row._replace(task=to[row.task]) for row in rows)

    def home(memory: Home) -> Home:
        return memory._replace(claims=tuple(memory.claims[old] for old in order))

    def commit(one: Commit) -> Commit:
        held = tuple((to[task], attempt) for task, attempt in one.held)
        return one._replace(held=held, granted=tuple((to[task], attempt) for task, attempt in one.granted))

    def stale(commits: tuple[Commit, ...]) -> tuple[Commit, ...]:
        return tuple(sorted(commit(one) for one in commits))

    def same(part: Any) -> Any:
        return part

    count = len(order)
    return Symmetry((*order, *range(count, count + 5)), (*(same,) * count, inbox, home, commit, stale, same))


def check_slots(
    costs: tuple[int, ...],
    size: int,
    *,
    rules: SlotRules | None = None,
    most: int = 5_000_000,
    **budget: int,
) -> Verdict[SlotState]:
    """Explore one world: `budget` says how often each misfortune of `SlotBudget` may happen. Raises TooLarge."""
    sizes = SlotSizes(costs, size, SlotBudget(**budget))
    return Explorer(SlotWorld(sizes, rules), most).explore()


def told_slots(verdict: Verdict[SlotState]) -> str:
    """The shortest way to the fault, a line a step: what happened, then how the task runs stand."""
    lines = [f"{verdict.broken}, after {len(verdict.trace) - 1} steps:"]
    for number, (happened, state) in enumerate(verdict.trace):
        name = "the start" if happened is None else happened.name
        if happened is not None and happened.task >= 0:
            name = f"{name} ({'ABC'[happened.task]})"
        stand = "  ".join(
            f"{'ABC'[at]} {PHASES[task.phase]} #{task.attempt}" for at, task in enumerate(state.tasks)
        )
        lines.append(f"{number:3} {name:58} {stand}")
    return "\n".join(lines)
