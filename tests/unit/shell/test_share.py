"""Which parts an engine should have, by what it sees of the others."""

from __future__ import annotations

from headrace.engine.ports.ownership import PartSeen, Survey
from headrace.engine.shell.ownership import share_out

NOBODY: frozenset[int] = frozenset()


def seen(*owners: str | None) -> Survey:
    return Survey(("a", "b"), tuple(PartSeen(part, 1, owner) for part, owner in enumerate(owners)), 0.0)


def test_a_part_that_is_its_own_without_its_knowing_is_claimed_again_below_its_share() -> None:
    """The answer to a claim was lost: the database says that the part is its own."""
    moves = share_out(seen("a", "b"), "a", {}, NOBODY)
    assert [part.part for part in moves.claim] == [0]
    assert not moves.stray


def test_a_part_that_is_its_own_without_its_knowing_is_given_up_above_its_share() -> None:
    """Nobody else would ever take it: its owner lives."""
    moves = share_out(seen("a", "a"), "a", {1: 1}, NOBODY)
    assert moves.stray == [0]
    assert not moves.claim
    assert not moves.excess


def test_what_is_about_to_be_released_is_neither_claimed_nor_stray() -> None:
    moves = share_out(seen("a", "a"), "a", {1: 1}, frozenset((0,)))
    assert not moves.stray
    assert not moves.claim
