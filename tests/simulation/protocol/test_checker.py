"""The checker itself, on worlds that can be counted by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.simulation.protocol.__main__ import main
from tests.simulation.protocol.checker import Explorer, Move, Symmetry, TooLarge
from tests.simulation.protocol.model import check, told
from tests.simulation.protocol.terms import Rules

Glasses = tuple[int, int]


class Jugs:
    """Two glasses of 5 and 3 litres; the good end is 4 litres in the first. `trap`: that state cannot be left."""

    def __init__(self, *, broken: Glasses | None = None, trap: Glasses | None = None) -> None:
        self._broken = broken
        self._trap = trap

    def start(self) -> Glasses:
        return (0, 0)

    def moves(self, state: Glasses) -> Iterator[Move[Glasses]]:
        five, three = state
        if state == self._trap:
            return
        over, back = min(five, 3 - three), min(three, 5 - five)
        for label, after in (
            ("fill five", (5, three)),
            ("fill three", (five, 3)),
            ("empty five", (0, three)),
            ("empty three", (five, 0)),
            ("pour into three", (five - over, three + over)),
            ("pour into five", (five + back, three - back)),
        ):
            yield Move(label, True, after, "overrun" if after == self._broken else None)

    def good(self, state: Glasses) -> bool:
        return state[0] == 4

    def parts(self, state: Glasses) -> Sequence[int]:
        return state

    def whole(self, parts: Sequence[Any]) -> Glasses:
        return (parts[0], parts[1])

    def symmetries(self) -> list[Symmetry]:
        return []


class Coins(Jugs):
    """Two coins that are turned one by one, and cannot be told apart."""

    def moves(self, state: Glasses) -> Iterator[Move[Glasses]]:
        one, two = state
        yield Move("turn one", True, (1 - one, two), None)
        yield Move("turn two", True, (one, 1 - two), None)

    def good(self, state: Glasses) -> bool:
        return sum(state) == 2

    def symmetries(self) -> list[Symmetry]:
        return [Symmetry((1, 0), (lambda coin: coin, lambda coin: coin))]


def test_it_visits_every_state_once() -> None:
    verdict = Explorer(Jugs()).explore()
    assert verdict.sound
    assert verdict.states == 16  # one of the two is always full or empty
    assert verdict.moves == 16 * 6


def test_the_trace_is_the_shortest() -> None:
    verdict = Explorer(Jugs(broken=(4, 3))).explore()
    assert verdict.broken == "overrun"
    assert [label for label, _ in verdict.trace] == [
        None,
        "fill five",
        "pour into three",
        "empty three",
        "pour into three",
        "fill five",
        "pour into three",
    ]
    assert verdict.trace[-1][1] == (4, 3)


def test_a_state_without_a_way_to_a_good_end_is_found() -> None:
    verdict = Explorer(Jugs(trap=(5, 3))).explore()
    assert verdict.broken == "no good end can be reached"
    assert verdict.trace[-1][1] == (5, 3)
    assert len(verdict.trace) == 3


def test_what_is_only_renamed_is_visited_once() -> None:
    verdict = Explorer(Coins()).explore()
    assert verdict.sound
    assert verdict.states == 3


def test_too_large_a_world_proves_nothing() -> None:
    with pytest.raises(TooLarge, match="more than 5 states"):
        Explorer(Jugs(), most=5).explore()


def test_a_fault_is_told_step_by_step() -> None:
    verdict = check(1, 2, rules=Rules(memory=False), duplicate=1)
    assert [line.split() for line in told(verdict).splitlines()] == [
        line.split()
        for line in """started twice, after 8 steps:
          0 the start                                 A line #1
          1 dispatch (worker 1, task A)               A dispatched #1 1.1 at 1
          2 is produced twice (worker 1, task A)      A dispatched #1 1.1 at 1
          3 takes a dispatch (worker 1, task A)       A dispatched #1 1.1 at 1
          4 starts attempt 1 (worker 1, task A)       A dispatched #1 1.1 at 1
          5 succeeds (worker 1, task A)               A dispatched #1 1.1 at 1
          6 arrives late (worker 1, task A)           A dispatched #1 1.1 at 1
          7 takes a dispatch (worker 1, task A)       A dispatched #1 1.1 at 1
          8 starts attempt 1 (worker 1, task A)       A dispatched #1 1.1 at 1""".splitlines()
    ]


def test_the_large_worlds_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("2 tasks, 2 workers, crash 1, forget 1") == 0
    head, world, total = capsys.readouterr().out.splitlines()
    assert head.split() == ["world", "states", "steps", "depth", "seconds"]
    assert world.startswith("2 tasks, 2 workers, crash 1, forget 1")
    assert total.split() == ["together", f"{check(2, 2, crash=1, forget=1).states:,}"]
