"""How far ahead a worker may be sent tasks."""

from __future__ import annotations

import pytest

from headrace.runners.pace import MOST_AHEAD, Pace


def paced(slots: int, seconds: float, count: int = 100) -> Pace:
    pace = Pace(slots)
    for _ in range(count):
        pace.took(seconds)
    return pace


@pytest.mark.parametrize(
    ("slots", "seconds", "ahead"), [(16, 0.01, 160), (16, 10.0, 0), (1, 0.05, 2), (16, 0.00001, MOST_AHEAD)]
)
def test_it_is_what_starts_within_a_tenth_of_a_second(slots: int, seconds: float, ahead: int) -> None:
    assert paced(slots, seconds).ahead() == pytest.approx(ahead, abs=1)


def test_before_anything_is_known_it_is_what_was_given() -> None:
    assert Pace(16).ahead() == 0
    assert Pace(16, 64).ahead() == 64


def test_nothing_new_changes_nothing() -> None:
    pace = paced(16, 0.01)
    assert pace.ahead() == pace.ahead() > 100


def test_one_slow_task_among_many_short_ones_counts_as_one() -> None:
    pace = paced(16, 0.001, count=1000)
    pace.took(1.0)
    assert pace.ahead() > 500


def test_who_hands_back_is_held_up_whatever_was_before() -> None:
    pace = paced(16, 0.0001, count=10_000)
    assert pace.ahead() == MOST_AHEAD
    pace.held_up(1.0)
    assert pace.ahead() == 1
    pace.took(0.001)
    assert 1 <= pace.ahead() <= 4, "one short task does not prove that the others are"
    for _ in range(2000):
        pace.took(0.001)
    assert pace.ahead() > 100
