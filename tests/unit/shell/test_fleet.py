"""Workers, credit and leases as the engine counts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.core.decision import Abort
from headrace.engine.core.keys import Key
from headrace.engine.ports.messages import Alive, Beat, Limits, Lines
from headrace.engine.shell.fleet import MOMENT, Fleet
from headrace.engine.shell.flights import Flight, Member, spread
from headrace.engine.shell.line import Lane, Line
from headrace.engine.shell.plans import Profile


@pytest.fixture
def lane() -> Lane:
    return Line().lane("default", {})


def beat(
    worker: str = "w1", incarnation: str = "i1", slots: int = 2, ahead: int = 1, draining: bool = False
) -> Beat:
    return Beat(worker, incarnation, 0, ["default"], {}, slots, ahead, 0, draining)


def flight(fleet: Fleet, lane: Lane, task: int, now: float, worker: str = "w1") -> Flight:
    member = fleet.member(worker)
    assert member is not None
    made = Flight(0, (1, Key(task)), 1, 1, task, member, Profile(lane, 30.0, None, Limits()), now, 1)
    fleet.sent(made)
    return made


def test_room_is_slots_and_ahead_less_what_flies(lane: Lane) -> None:
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    assert [room for _, room in fleet.room(lane, 1.0)] == [3]
    flight(fleet, lane, 1, 1.0)
    assert [room for _, room in fleet.room(lane, 1.0)] == [2]
    assert fleet.landed((1, Key(1))) is not None
    assert fleet.landed((1, Key(1))) is None
    assert [room for _, room in fleet.room(lane, 1.0)] == [3]


@pytest.mark.parametrize("why", ["stale", "draining", "sated", "other queue", "other kind"])
def test_no_room_with_a_worker_that_is(why: str) -> None:
    fleet, line = Fleet(), Line()
    fleet.beat(beat(draining=why == "draining"), 0.0)
    member = fleet.member("w1")
    assert member is not None
    member.sated = why == "sated"
    member.kinds = frozenset(("python",))
    queue = "gpu" if why == "other queue" else "default"
    lane = line.lane(queue, {}, "shell" if why == "other kind" else "python")
    assert fleet.room(lane, 6.5 if why == "stale" else 1.0) == []


def test_a_new_incarnation_has_nothing_in_flight(lane: Lane) -> None:
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    old, begun = flight(fleet, lane, 1, 1.0), flight(fleet, lane, 2, 1.0)
    begun.running = True
    fleet.beat(beat(), 2.0)
    assert [room for _, room in fleet.room(lane, 2.0)] == [1]
    fleet.beat(beat(incarnation="i2"), 2.0)
    assert [room for _, room in fleet.room(lane, 2.0)] == [3]
    assert fleet.sweep(2.0 + MOMENT) == ([begun], [old], [], [])


def test_what_the_old_incarnation_had_is_over_only_behind_its_reports(lane: Lane) -> None:
    """E8: its last result may stand in job-status, unread, when job-workers shows its successor already."""
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    old = flight(fleet, lane, 1, 0.0)
    fleet.beat(beat(incarnation="i2"), 1.0)
    for now in range(1, 60):
        fleet.beat(beat(incarnation="i2"), float(now))
        assert fleet.sweep(float(now), frozenset()) == ([], [], [], []), "nor is it asked after"
    assert fleet.sweep(60.0, frozenset((0,))).stranded == [old]


def test_the_end_of_a_part_a_moment_ago_may_be_from_before_the_last_reports(lane: Lane) -> None:
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    old = flight(fleet, lane, 1, 0.0)
    fleet.beat(beat(incarnation="i2"), 1.0)
    assert fleet.sweep(1.0 + 0.9 * MOMENT).stranded == []
    assert fleet.sweep(1.0 + MOMENT).stranded == [old]


def test_what_was_told_to_stop_is_told_again_instead_of_asked_after(lane: Lane) -> None:
    fleet = Fleet(patience=5.0)
    fleet.beat(beat(), 0.0)
    sent, running = flight(fleet, lane, 1, 0.0), flight(fleet, lane, 2, 0.0)
    running.running = True
    stop = Abort(Key(1), 1, "w1", 10.0)
    assert fleet.stop(sent, stop, 0.0)
    assert fleet.stop(running, stop, 2.0)
    told = {}
    for now in range(1, 20):
        fleet.beat(beat(), float(now))
        found = fleet.sweep(float(now))
        assert found.ask == []
        told[now] = [one.key.task for one in found.stop]
    assert {now: tasks for now, tasks in told.items() if tasks} == {6: [1], 8: [2], 12: [1], 14: [2], 18: [1]}


def test_a_lease_is_renewed_by_alive_and_lost_without(lane: Lane) -> None:
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    kept, lost = flight(fleet, lane, 1, 0.0), flight(fleet, lane, 2, 0.0)
    kept.running = lost.running = True
    for now in range(1, 40):
        fleet.beat(beat(), float(now))
        fleet.alive(Alive("w1", "i1", 0, {"default": 1}, [(1, 1, 1, 0, 1)]), 1, float(now))
        found = fleet.sweep(float(now))
        if found.lost:
            assert (found.lost, now) == ([lost], 31)
            return
    raise AssertionError("the lease never ended")


def test_a_worker_that_let_a_lease_end_gets_nothing_before_its_next_beat(lane: Lane) -> None:
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    one = flight(fleet, lane, 1, 0.0)
    one.running = True
    fleet.sweep(29.0)
    fleet.beat(beat(), 29.5)
    assert fleet.sweep(31.0).lost == [one]
    assert fleet.room(lane, 31.0) == []
    fleet.beat(beat(), 31.5)
    assert [room for _, room in fleet.room(lane, 31.5)] == [2]


def test_an_alive_of_another_incarnation_generation_or_attempt_renews_nothing(lane: Lane) -> None:
    """faults 54."""
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    one = flight(fleet, lane, 1, 0.0)
    fleet.alive(Alive("w1", "i0", 0, {"default": 1}, [(1, 1, 1, 0, 1)]), 1, 5.0)
    fleet.alive(Alive("w1", "i1", 0, {"default": 1}, [(1, 1, 1, 0, 2)]), 1, 5.0)
    fleet.alive(Alive("w1", "i1", 0, {"default": 1}, [(1, 2, 1, 0, 1)]), 1, 5.0)  # of before or after a rerun
    assert one.seen_at == 0.0


def test_a_process_that_was_held_up_blames_nobody(lane: Lane) -> None:
    """faults 59: the loop was blocked for a minute, and with it this engine's reading of beats."""
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    one = flight(fleet, lane, 1, 0.0)
    one.running = True
    assert fleet.sweep(1.0) == ([], [], [], [])
    assert fleet.sweep(61.0) == ([], [], [], [])
    assert fleet.room(lane, 61.0) != []


def test_a_long_stop_lengthens_the_life_of_nobody_who_was_heard_after_it(lane: Lane) -> None:
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    sent, run = flight(fleet, lane, 1, 0.0), flight(fleet, lane, 2, 0.0)
    run.running = True
    fleet.sweep(0.5)
    fleet.beat(beat(), 600.0)  # the database is back, and the worker's last words are read
    fleet.alive(Alive("w1", "i1", 0, {}, [(1, 1, 2, 0, 1)]), 1, 600.0)
    fleet.sweep(600.0)
    for second in range(601, 607):
        assert not fleet.sweep(float(second)).stranded
    assert fleet.room(lane, 606.5) == []
    assert fleet.sweep(606.5).stranded == [sent]
    for second in range(607, 631):
        fleet.sweep(float(second))
    assert fleet.sweep(631.0).lost == [run]


def test_a_stop_is_not_told_again_and_again_while_no_answer_can_be_read(lane: Lane) -> None:
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    fleet.stop(flight(fleet, lane, 1, 0.0), Abort(Key(1), 1, "w1", 1.0), 0.0)
    for second in range(60):
        assert fleet.sweep(float(second), (), workers=False).stop == []
    assert len(fleet.sweep(66.0, (0,)).stop) <= 1


def test_restored_flights_are_settled_by_the_first_alive_of_the_new_epoch(lane: Lane) -> None:
    """E9: only a worker that has seen my epoch can say what it does not hold."""
    fleet = Fleet()
    profile = Profile(lane, 30.0, None, Limits())
    fleet.beat(beat(), 0.0)
    for task in (1, 2):
        made = Flight(0, (1, Key(task)), 1, 1, task, Member("w1", None, 0.0), profile, 0.0, 1)
        fleet.restore(made, "w1", running=False, now=0.0)
    fleet.raise_barrier(0)
    ((part, member),) = fleet.unasked()
    assert (part, member.worker, fleet.unasked()) == (0, "w1", [])
    held: list[tuple[int, int, int, int, int]] = [(1, 1, 1, 0, 1)]
    assert fleet.alive(Alive("w1", "i1", 0, {"default": 1}, held), 2, 1.0) == []
    assert [f.key for f in fleet.alive(Alive("w1", "i1", 0, {"default": 2}, held), 2, 1.0)] == [Key(2)]
    assert fleet.alive(Alive("w1", "i1", 0, {"default": 2}, held), 2, 1.0) == []


def test_a_worker_that_never_comes_back_strands_what_it_had(lane: Lane) -> None:
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    one = flight(fleet, lane, 1, 0.0)
    for now in range(1, 7):
        assert fleet.sweep(float(now)).stranded == []
    assert fleet.sweep(7.0).stranded == [one]


def test_members_without_work_are_forgotten_in_time() -> None:
    """I10."""
    fleet = Fleet()
    for number in range(50):
        fleet.beat(beat(f"w{number}"), 0.0)
    for now in range(90):
        fleet.sweep(float(now))
    assert len(fleet) == 0


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(0, 300))
def test_work_is_spread_within_everybodys_room(rooms: list[int], count: int) -> None:
    members = [(Member(f"w{i}", "i", 0.0), room) for i, room in enumerate(rooms)]
    shares = {member.worker: share for member, share in spread(members, count)}
    assert sum(shares.values()) == min(count, sum(rooms))
    for member, room in members:
        assert shares.get(member.worker, 0) <= room
        assert abs(shares.get(member.worker, 0) - room * min(count, sum(rooms)) / sum(rooms)) <= 1


@pytest.mark.parametrize("landed", [False, True])
def test_what_is_to_stop_is_told_once_its_worker_was_heard(lane: Lane, landed: bool) -> None:
    fleet = Fleet()
    made = Flight(
        0, (1, Key(0)), 1, 1, 1, Member("w1", None, 0.0), Profile(lane, 30.0, None, Limits()), 0.0, 1
    )
    fleet.restore(made, "w1", running=True, now=0.0)
    stop = Abort(Key(0), 1, "w1", 10.0)
    assert not fleet.stop(made, stop, 0.0)
    assert fleet.stops() == []
    assert fleet.sweep(6.0).stop == [], "nobody knows its inbox"
    if landed:
        fleet.landed((1, Key(0)))
    fleet.beat(beat(), 6.0)
    assert fleet.stops() == ([] if landed else [made])
    assert fleet.stops() == []


def test_credit_is_divided_among_the_engines_that_have_work_for_the_queue(lane: Lane) -> None:
    """E7."""
    fleet = Fleet("me")
    fleet.beat(beat(slots=6, ahead=1), 0.0)
    fleet.lines(Lines("other", {"default": (0, 3, 0)}), 0.0)
    fleet.lines(Lines("third", {"default": (0, 0, 0), "gpu": (1, 0, 0)}), 0.0)
    fleet.lines(Lines("me", {"default": (0, 9, 0)}), 0.0)
    assert [room for _, room in fleet.room(lane, 1.0)] == [4]
    fleet.beat(beat(slots=6, ahead=1), 6.0)
    assert [room for _, room in fleet.room(lane, 6.5)] == [7]


def test_a_lease_stands_still_while_its_part_is_not_read_to_its_end(lane: Lane) -> None:
    """E8, faults 18: the broker was away for ten minutes, and nobody could be heard."""
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    one = flight(fleet, lane, 1, 0.0)
    one.running = True
    for now in range(1, 600):
        fleet.beat(beat(), float(now))
        assert fleet.sweep(float(now), frozenset()).lost == []
    for now in range(600, 629):
        assert fleet.sweep(float(now), frozenset((0,))).lost == []
    assert fleet.sweep(631.0, frozenset((0,))).lost == [one]


def test_missing_beats_count_only_while_beats_can_be_read(lane: Lane) -> None:
    """E8."""
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    one = flight(fleet, lane, 1, 0.0)
    for now in range(1, 60):
        assert fleet.sweep(float(now), frozenset((0,)), workers=False).stranded == []
    assert fleet.room(lane, 59.0) == []
    stranded = [now for now in range(60, 70) if fleet.sweep(float(now), frozenset((0,))).stranded == [one]]
    assert stranded[0] == 65


def test_another_epoch_of_one_queue_settles_nothing_of_the_other() -> None:
    """The barrier is per topic: a dispatch may still lie behind the one that was not shown yet."""
    fleet, line = Fleet(), Line()
    listens = Beat("w1", "i1", 0, ["default", "gpu"], {}, 2, 1, 0)
    fleet.beat(listens, 0.0)
    for task, queue in enumerate(("default", "gpu")):
        profile = Profile(line.lane(queue, {}), 30.0, None, Limits())
        made = Flight(0, (1, Key(task)), 1, 1, task, Member("w1", None, 0.0), profile, 0.0, 1)
        fleet.restore(made, "w1", running=False, now=0.0)
    first = fleet.alive(Alive("w1", "i1", 0, {"default": 2}, []), 2, 1.0)
    assert [f.key.task for f in first] == [0]
    then = fleet.alive(Alive("w1", "i1", 0, {"default": 2, "gpu": 2}, []), 2, 1.0)
    assert [f.key.task for f in then] == [1]


def test_a_part_that_is_left_takes_its_flights_along_and_no_others(lane: Lane) -> None:
    fleet = Fleet()
    fleet.beat(beat(), 0.0)
    profile = Profile(lane, 30.0, None, Limits())
    member = fleet.member("w1")
    assert member is not None
    for part in (0, 1):
        fleet.raise_barrier(part)
        fleet.sent(Flight(part, (part, Key(0)), 1, 1, 1, member, profile, 0.0, 1))
    assert [part for part, _ in fleet.unasked()] == [0, 1]
    fleet.leave(1)
    assert [flight.part for flight in fleet.flights.values()] == [0]
    assert member.busy == 1
    fleet.raise_barrier(1)
    assert [part for part, _ in fleet.unasked()] == [1]


def test_two_that_live_under_one_name_do_not_take_it_from_each_other(lane: Lane) -> None:
    """The one that came last has it for as long as it is heard; what the other says changes nothing."""
    fleet = Fleet()
    assert fleet.beat(beat(incarnation="first"), 0.0)
    assert fleet.beat(beat(incarnation="second"), 1.0)
    made = flight(fleet, lane, 1, 1.0)
    made.running = True
    for at in range(2, 60):
        assert not fleet.beat(beat(incarnation="first", slots=500), at)
        assert fleet.beat(beat(incarnation="second"), at + 0.5)
        fleet.alive(Alive("w1", "second", 0, {}, [(1, 1, 1, 0, 1)]), 1, at + 0.5)
        found = fleet.sweep(at + 0.6)
        assert found.lost == []
        assert found.stranded == []
    assert [room for _, room in fleet.room(lane, 60.0)] == [2]
    assert not fleet.beat(beat(incarnation="first"), 65.0)
    assert fleet.beat(
        beat(incarnation="first"), 66.0
    )  # the other has not been heard for longer than a beat counts
    assert fleet.member("w1").incarnation == "first"  # type: ignore[union-attr]
    assert fleet.beat(beat(incarnation="third"), 66.1)
    assert not fleet.beat(beat(incarnation="second"), 66.2)
