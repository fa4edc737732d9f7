"""Slots, classes and lanes of what a worker has accepted."""

from __future__ import annotations

import threading

import pytest

from headrace.engine.ports.messages import Dispatch, Job, Limits
from headrace.runners.attempt import DROPPED, ENDED, RUNNING, Attempt
from headrace.runners.line import COROUTINES, MOST_WITHDRAWN, PROCESSES, THREADS, Line

JOB = Job("w", "t", "python", {}, Limits())


def attempt(number: int, lane: int = THREADS, priority: int = 1) -> Attempt:
    made = Attempt(
        (1, 0, number, 0, 1), Dispatch(1, "r", 0, number, 0, 1, 1, 1, JOB, {}, [], priority), 0, number
    )
    made.lane = lane
    return made


def numbers(line: Line, lane: int, count: int) -> list[int]:
    taken = [line.take(lane) for _ in range(count)]
    return [each.key[2] for each in taken if each is not None]


def test_slots_bound_what_runs() -> None:
    line = Line(2)
    line.put([attempt(number) for number in range(4)])
    first, second = line.take(THREADS), line.take(THREADS)
    assert first is not None and second is not None  # noqa: PT018 - narrows both for the type checker
    assert line.take(THREADS) is None
    third = line.give_back_and_take(THREADS, first)
    assert third is not None
    assert (first.state, third.key[2], line.running) == (ENDED, 2, 2)
    line.give_back(second)
    line.give_back(second)
    assert line.running == 1, "giving back twice frees one slot"


def test_classes_then_age() -> None:
    line = Line(10)
    line.put([attempt(0, priority=2), attempt(1), attempt(2, priority=0), attempt(3), attempt(4, priority=0)])
    assert numbers(line, THREADS, 5) == [2, 4, 1, 3, 0]


def test_all_that_may_start_are_taken_together() -> None:
    line, kicked = Line(3), []
    line.kicks[THREADS] = lambda: kicked.append(THREADS)
    line.put([attempt(number, COROUTINES) for number in (0, 1)])
    line.put([attempt(2), attempt(3, COROUTINES)])
    assert [each.key[2] for each in line.take_all(COROUTINES)] == [0, 1]
    assert kicked == [THREADS], "the next is for another lane"
    assert numbers(line, THREADS, 2) == [2]
    assert line.take_all(COROUTINES) == [], "every slot is taken"


def test_a_lower_class_yields_all_but_a_tenth() -> None:
    line = Line(100)
    line.put([attempt(number, priority=0) for number in range(30)])
    line.put([attempt(100), attempt(101, COROUTINES, priority=2), attempt(102, priority=2)])
    taken = []
    for _ in range(33):
        lane = next(lane for lane in (THREADS, COROUTINES) if line._first() == lane)
        (number,) = numbers(line, lane, 1)
        taken.append(number)
    assert [place for place, number in enumerate(taken) if number >= 100] == [9, 19, 29]
    assert sorted(taken[place] for place in (9, 19, 29)) == [100, 101, 102]
    assert taken[9] == 100, "the next lower class, not the lowest"
    assert line.waiting == [0, 0, 0]


def test_a_slot_goes_to_the_lane_whose_turn_it_is() -> None:
    line = Line(1)
    kicked: list[int] = []
    line.kicks[:] = [lambda lane=lane: kicked.append(lane) for lane in range(3)]  # type: ignore[misc]
    line.put([attempt(0), attempt(1, PROCESSES), attempt(2), attempt(3, COROUTINES, priority=0)])
    assert line.take(THREADS) is None
    assert kicked == [COROUTINES]
    urgent = line.take(COROUTINES)
    assert urgent is not None
    assert line.give_back_and_take(COROUTINES, urgent) is None
    assert kicked[1:] == [THREADS]
    first = line.take(THREADS)
    assert first is not None
    assert line.give_back_and_take(THREADS, first) is None, (
        "a process has waited longer than the next thread task"
    )
    assert kicked[2:] == [PROCESSES]


def test_withdrawn_attempts_are_passed_over() -> None:
    line = Line(2)
    made = [attempt(number) for number in range(3)] + [attempt(3, PROCESSES)]
    line.put(made)
    taken = line.take(THREADS)
    assert taken is not None
    assert not line.withdraw(taken), "it has been started"
    assert line.withdraw(made[1])
    assert not line.withdraw(made[1])
    assert (taken.state, made[1].state) == (RUNNING, DROPPED)
    assert numbers(line, THREADS, 1) == [2]


def test_withdrawn_attempts_do_not_stay_in_memory() -> None:
    line = Line(1)
    kept = attempt(0)
    line.put([kept])
    for number in range(1, 5000):
        gone = attempt(number)
        line.put([gone])
        assert line.withdraw(gone)
    assert sum(len(queue) for queue in line._queues[THREADS]) <= MOST_WITHDRAWN + 1
    assert line.waiting == [1, 0, 0]
    assert line.take(THREADS) is kept
    assert line.waiting == [0, 0, 0]


def test_a_moved_attempt_keeps_its_place() -> None:
    line = Line(1)
    line.put([attempt(0), attempt(1)])
    taken = line.take(THREADS)
    assert taken is not None
    line.move(taken, COROUTINES)
    assert line.take(THREADS) is None, "the older one goes first, in its new lane"
    assert numbers(line, COROUTINES, 1) == [0]


def test_a_closed_line_gives_nothing() -> None:
    line = Line(1)
    line.put([attempt(0)])
    line.open = False
    assert line.take(THREADS) is None


def test_threads_share_it() -> None:
    line, taken, lock = Line(4), [], threading.Lock()
    line.put([attempt(number) for number in range(3000)])

    def work() -> None:
        mine = []
        each = line.take(THREADS)
        while each is not None:
            mine.append(each.key[2])
            each = line.give_back_and_take(THREADS, each)
        with lock:
            taken.extend(mine)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(3000))
    assert line.running == 0


def test_a_worker_has_a_slot() -> None:
    with pytest.raises(ValueError, match="at least one slot"):
        Line(0)
