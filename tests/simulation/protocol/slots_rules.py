"""The rules of limits (E10): how the owner of a home part reads its inbox and grants, as functions from memory to memory.

An inbox row is numbered in the order in which it was committed. What the owner decides stands in a `Commit` until the database
has it; meanwhile others go on writing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

# Rows of the home part's inbox.
WANTED, HELD, FREED = range(3)

# How a claim stands with the owner of the home part. TAKEN: granted, and the row that says so is still to be read.
NONE, WAITING, TAKEN, HOLDS = range(4)


class Row(NamedTuple):
    """A row of the home part's inbox. `attempt`: of the task run, that wants the slot."""

    id: int
    kind: int
    task: int
    attempt: int


class Claim(NamedTuple):
    """What the owner of the home part knows of one task run. `row`: where it stands in the inbox; `freed`: a row that gave back
    what no row yet read has held; `early`: that was before the inbox had been read to its end."""

    state: int = NONE
    row: int = 0
    attempt: int = 0
    freed: int = 0
    early: bool = False


class Home(NamedTuple):
    """The memory of the owner of the home part. `after`: the row up to which it has read."""

    claims: tuple[Claim, ...]
    after: int = 0
    complete: bool = False


class Commit(NamedTuple):
    """What the owner of the home part has decided: rows that are done with, rows that hold, and grants."""

    done: tuple[int, ...] = ()
    held: tuple[tuple[int, int], ...] = ()  # (task, attempt)
    granted: tuple[tuple[int, int], ...] = ()

    def __bool__(self) -> bool:
        return any(self)


@dataclass(frozen=True, slots=True)
class SlotRules:
    """The rules that can be switched off one by one."""

    fence: bool = True  # E3
    asked_again: bool = True  # a new owner of the run's part asks for what waits
    told_again: bool = True  # who asks for what it holds is told so
    asked_once: bool = True  # who asks for what it waits for already keeps its place, and one row
    grant_names_attempt: bool = True  # mended: a grant counts for the attempt that asked for it
    wanted_stays: bool = True  # in the inbox, until it is granted
    held_is_written: bool = True  # with the grant
    grant_follows_commit: bool = True  # E2
    read_to_the_end_first: bool = True  # nothing is granted before the inbox was read to its end once
    freed_waits: bool = True  # for the row that holds, which may stand behind it
    freed_outlasts_a_request: bool = (
        True  # mended: also where a request is struck, until the inbox was read to its end
    )
    early_is_forgotten: bool = True  # what was given back, and is not held at the end of the inbox, is over
    freed_with_the_end: bool = True  # E2: the row that frees is committed with the end of the attempt

    def but(self, **switched: bool) -> SlotRules:
        """These rules with some switched."""
        return SlotRules(**({field.name: getattr(self, field.name) for field in fields(self)} | switched))


def read(home: Home, commit: Commit, row: Row, rules: SlotRules) -> tuple[Home, Commit]:
    """Take in one row."""
    claim = home.claims[row.task]
    home = home._replace(after=row.id)
    if row.kind == WANTED:
        claim, commit = _want(claim, commit, row, rules)
    elif row.kind == HELD:
        claim, commit = _hold(claim, commit, row)
    else:
        claim, commit = _free(home, claim, commit, row, rules)
    return _put(home, row.task, claim), commit


def _want(claim: Claim, commit: Commit, row: Row, rules: SlotRules) -> tuple[Claim, Commit]:
    if claim.state in (TAKEN, HOLDS):
        if rules.told_again:
            commit = commit._replace(granted=(*commit.granted, (row.task, row.attempt)))
        return claim, _done(commit, row.id)
    if claim.state == WAITING and rules.asked_once:
        return claim._replace(attempt=row.attempt), _done(commit, row.id)
    if not rules.wanted_stays:
        commit = _done(commit, row.id)
    return claim._replace(state=WAITING, row=row.id, attempt=row.attempt), commit


def _hold(claim: Claim, commit: Commit, row: Row) -> tuple[Claim, Commit]:
    if claim.freed:
        return claim._replace(freed=0, early=False), _done(_done(commit, row.id), claim.freed)
    if claim.state == WAITING:
        commit = _done(commit, claim.row)
    return claim._replace(state=HOLDS, row=row.id, attempt=row.attempt), commit


def _free(home: Home, claim: Claim, commit: Commit, row: Row, rules: SlotRules) -> tuple[Claim, Commit]:
    if claim.state in (WAITING, HOLDS):
        commit = _done(commit, claim.row)
    known = home.complete or not rules.freed_outlasts_a_request
    over = (
        claim.state == HOLDS or (claim.state == WAITING and known) or (claim.state == NONE and home.complete)
    )
    if over or claim.freed or not rules.freed_waits:
        return claim._replace(state=NONE, row=0, attempt=0), _done(commit, row.id)
    return Claim(freed=row.id, early=not home.complete), commit


def grant(
    home: Home, commit: Commit, size: int, costs: tuple[int, ...], rules: SlotRules
) -> tuple[Home, Commit]:
    """Grant what fits, in the order of the rows; what does not fit holds back what comes after it."""
    if rules.early_is_forgotten:
        for task, claim in enumerate(home.claims):
            if claim.early:
                commit = _done(commit, claim.freed)
                home = _put(home, task, claim._replace(freed=0, early=False))
    waiting = sorted((claim.row, task) for task, claim in enumerate(home.claims) if claim.state == WAITING)
    for row, task in waiting:
        used = sum(
            cost for cost, claim in zip(costs, home.claims, strict=True) if claim.state in (TAKEN, HOLDS)
        )
        if used and used + costs[task] > size:
            break
        claim = home.claims[task]
        if rules.wanted_stays:
            commit = _done(commit, row)
        held = ((task, claim.attempt),) if rules.held_is_written else ()
        commit = commit._replace(held=(*commit.held, *held), granted=(*commit.granted, (task, claim.attempt)))
        home = _put(home, task, claim._replace(state=TAKEN, row=0))
    return home, commit


def _done(commit: Commit, row: int) -> Commit:
    return commit._replace(done=(*commit.done, row))


def _put(home: Home, task: int, claim: Claim) -> Home:
    return home._replace(claims=(*home.claims[:task], claim, *home.claims[task + 1 :]))
