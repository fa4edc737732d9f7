"""Limits over several engines: each rule switched off breaks them, and the ledger decides as its model does."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headrace.engine.ports.store import Batch, InboxRow
from headrace.engine.shell.claims import FREED, GRANTED, HELD, WANTED, Claim, encode, read_claim
from headrace.engine.shell.ledger import Ledger
from headrace.engine.shell.pools import Sizes
from tests.simulation.protocol.slots_rules import SlotRules
from tests.simulation.protocol.slots_world import (
    Happened,
    SlotBudget,
    SlotSizes,
    SlotState,
    SlotWorld,
    check_slots,
    told_slots,
)

STUCK, OVER = "no good end can be reached", "over the limit"


@pytest.mark.parametrize(
    ("off", "expect", "budget"),
    [
        ("fence", STUCK, {"home_dies": 1}),
        ("asked_again", STUCK, {"owner_dies": 1}),
        ("told_again", STUCK, {"owner_dies": 1}),
        ("asked_once", STUCK, {"owner_dies": 1}),
        ("grant_names_attempt", OVER, {"owner_dies": 1, "failure": 1}),
        ("wanted_stays", STUCK, {"home_dies": 1}),
        ("held_is_written", OVER, {"home_dies": 1}),
        ("grant_follows_commit", STUCK, {"home_dies": 1, "owner_dies": 1, "cancel": 1}),
        ("read_to_the_end_first", OVER, {"home_dies": 1}),
        ("freed_waits", STUCK, {"cancel": 1}),
        ("freed_outlasts_a_request", STUCK, {"home_dies": 1, "owner_dies": 1, "cancel": 1}),
        ("early_is_forgotten", STUCK, {"cancel": 1}),
        ("freed_with_the_end", STUCK, {"owner_dies": 1}),
    ],
)
def test_a_rule_that_is_switched_off_is_missed(off: str, expect: str, budget: dict[str, Any]) -> None:
    bad = check_slots((1, 1), 1, rules=SlotRules().but(**{off: False}), **budget)
    assert bad.broken == expect, told_slots(bad)
    sound = check_slots((1, 1), 1, **budget)
    assert sound.sound, told_slots(sound)


def test_a_fault_is_told_step_by_step() -> None:
    verdict = check_slots((1, 1), 1, rules=SlotRules(told_again=False), owner_dies=1)
    assert [line.split() for line in told_slots(verdict).splitlines()] == [
        line.split()
        for line in """no good end can be reached, after 4 steps:
          0 the start                                    A queued #1  B queued #1
          1 the home part reads                          A queued #1  B queued #1
          2 the home part commits                        A queued #1  B queued #1
          3 a grant is read (A)                          A queued #1  B queued #1
          4 another engine claims the run's part (A)     A queued #1  B queued #1""".splitlines()
    ]


@pytest.mark.parametrize("seed", range(150))
def test_the_ledger_decides_as_its_model_does(seed: int) -> None:
    """Random ways through worlds larger than can be explored; at every step both have the same to write."""
    chance = random.Random(seed)
    costs = tuple(chance.choice((1, 1, 1, 2, 3)) for _ in range(3))
    sizes = SlotSizes(costs, 2, SlotBudget(home_dies=2, owner_dies=2, failure=2, cancel=1))
    world = SlotWorld(sizes)
    state, beside = world.start(), Beside(sizes)
    beside.follow(None, state)
    while not world.good(state):
        label, _, after, broken = chance.choice(list(world.moves(state)))
        assert broken is None
        beside.step(label, state, after)
        state = after


class Beside:
    """A ledger, and the rows of its inbox, beside a state of the model."""

    def __init__(self, sizes: SlotSizes) -> None:
        self._sizes = sizes
        self._ledger = Ledger(Sizes({"narrow": sizes.size}))
        self._rows: list[InboxRow] = []
        self._batch = self._empty()
        self._next = 1

    def step(self, label: Happened, before: SlotState, after: SlotState) -> None:
        if label.name == "the home part reads":
            self._read(before, after)
        elif label.name == "the home part commits":
            self._rows = [row for row in self._rows if row.id not in self._batch.inbox_done]
            self._batch = self._empty()
        elif label.name == "another engine claims the home part":
            self._ledger = Ledger(Sizes({"narrow": self._sizes.size}))
            self._batch = self._empty()
        self.follow(before, after)

    def follow(self, before: SlotState | None, after: SlotState) -> None:
        """What has been written since stands in the inbox."""
        for row in after.inbox[len(self._rows) :]:
            claim = Claim(
                "p", "pool:narrow", 1, row.task, 1, 0, 0, self._sizes.costs[row.task], attempt=row.attempt
            )
            kind = (WANTED, HELD, FREED)[row.kind]
            self._rows.append(InboxRow(self._next, 0, None, kind, encode(claim), 0.0))
            self._next += 1
        assert len(self._rows) == len(after.inbox)

    def _read(self, before: SlotState, after: SlotState) -> None:
        count = after.home.after - before.home.after
        for row in self._rows[before.home.after :][:count]:
            self._ledger.read(row, self._batch)
        if after.home.after == len(before.inbox):
            self._ledger.grant(0, self._batch)
        new, expected = self._batch.inbox_new, after.commit
        assert sorted(self._batch.inbox_done) == sorted(self._rows[row - 1].id for row in expected.done)
        held = [read_claim(row.body) for row in new if row.kind == HELD]
        assert [(claim.run, claim.attempt) for claim in held] == list(expected.held)
        assert [row.run for row in new if row.kind == GRANTED] == [task for task, _ in expected.granted]

    @staticmethod
    def _empty() -> Batch:
        return Batch(0, 1, 1, 0.0)
