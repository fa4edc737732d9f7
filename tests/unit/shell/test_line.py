"""The waiting line: order, shares, withdrawal, and that each entry costs the same however many there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.core.keys import Key
from headrace.engine.shell.line import Entry, Line

HIGH, NORMAL, LOW = 0, 1, 2


def entries(run: int, count: int, start: int = 0) -> list[Entry]:
    return [(run, Key(task)) for task in range(start, start + count)]


def test_one_class_goes_by_age() -> None:
    line = Line()
    lane = line.lane("default", {})
    lane.push(NORMAL, "p", entries(1, 3))
    lane.push(NORMAL, "p", entries(2, 2))
    assert lane.pick(4) == [*entries(1, 3), *entries(2, 1)]
    assert (len(line), lane.depths) == (1, (0, 1, 0))


def test_a_higher_class_leaves_every_tenth_place_to_the_next_and_that_a_tenth_of_its_own() -> None:
    lane = Line().lane("default", {})
    for cls in (LOW, NORMAL, HIGH):
        lane.push(cls, "p", entries(cls, 1_000))
    runs = [run for run, _ in lane.pick(1_000)]
    assert [runs.count(cls) for cls in (HIGH, NORMAL, LOW)] == [900, 90, 10]
    assert runs[:10] == [HIGH] * 9 + [NORMAL]


def test_the_share_holds_over_small_picks_too() -> None:
    lane = Line().lane("default", {})
    for cls in (NORMAL, HIGH):
        lane.push(cls, "p", entries(cls, 100))
    assert [lane.pick(1)[0][0] for _ in range(100)].count(NORMAL) == 10


def test_a_class_alone_gets_every_place() -> None:
    lane = Line().lane("default", {})
    lane.push(LOW, "p", entries(1, 50))
    assert lane.pick(100) == entries(1, 50)
    assert lane.pick(1) == []


def test_tenants_of_a_class_take_turns() -> None:
    """faults 62: a tenant with a million tasks does not hold back one with two."""
    lane = Line().lane("default", {})
    lane.push(NORMAL, "big", entries(1, 1_000))
    lane.push(NORMAL, "small", entries(2, 2))
    assert [run for run, _ in lane.pick(6)] == [1, 2, 1, 2, 1, 1]


def test_what_was_handed_back_goes_first() -> None:
    lane = Line().lane("default", {})
    lane.push(NORMAL, "p", entries(1, 2))
    lane.push(NORMAL, "p", entries(2, 2), front=True)
    assert lane.pick(4) == [*entries(2, 2), *entries(1, 2)]


def test_withdrawn_entries_are_passed_over_and_may_come_again() -> None:
    line = Line()
    lane = line.lane("default", {})
    lane.push(NORMAL, "p", entries(1, 5))
    assert line.withdraw([(1, Key(1)), (1, Key(3)), (9, Key(0))]) == 2
    assert (len(line), lane.depth) == (3, 3)
    lane.push(NORMAL, "p", [(1, Key(3))])
    assert sorted(lane.pick(10)) == [(1, Key(task)) for task in (0, 2, 3, 4)]
    assert list(line) == []


def test_an_entry_stands_in_the_line_once() -> None:
    line = Line()
    lane = line.lane("default", {})
    lane.push(NORMAL, "p", entries(1, 2))
    lane.push(NORMAL, "p", entries(1, 2))
    assert lane.pick(9) == entries(1, 2)


def test_pausing_and_resuming_for_ever_does_not_make_the_line_grow() -> None:
    """I10."""
    line = Line()
    lane = line.lane("default", {})
    waiting = entries(1, 100)
    for _ in range(100):
        lane.push(NORMAL, "p", waiting)
        line.withdraw(waiting)
    lane.push(NORMAL, "p", waiting)
    places = sum(len(places) for cls in lane._classes for places in cls.lines.values())
    assert places <= 2 * len(waiting) + 64 + len(waiting)
    assert sorted(lane.pick(1_000)) == waiting


def test_lanes_are_apart_and_clearing_empties_them_all() -> None:
    line = Line()
    one, other = line.lane("a", {}), line.lane("a", {"zone": "b"})
    assert line.lane("a", {"zone": "b"}) is other
    one.push(NORMAL, "p", entries(1, 1))
    other.push(NORMAL, "p", entries(2, 1))
    assert list(line) == [one, other]
    line.clear()
    assert (len(line), one.pick(5), other.pick(5)) == (0, [], [])
    one.push(NORMAL, "p", entries(1, 1))
    assert one.pick(5) == entries(1, 1)


OPERATION = st.tuples(
    st.sampled_from(("push", "front", "withdraw", "pick")),
    st.integers(0, 2),
    st.sampled_from(("p", "q")),
    st.lists(st.integers(0, 12), max_size=6),
)


@given(st.lists(OPERATION, max_size=40))
def test_nothing_is_lost_and_nothing_comes_twice(operations: list[tuple[str, int, str, list[int]]]) -> None:
    """Against a set: an entry always has the same class and tenant, as a task run has."""
    line = Line()
    lane = line.lane("default", {})
    model: set[Entry] = set()
    for what, cls, tenant, tasks in operations:
        chosen = [(cls * 10 + (tenant == "q"), Key(task)) for task in tasks]
        if what in ("push", "front"):
            lane.push(cls, tenant, chosen, front=what == "front")
            model.update(chosen)
        elif what == "withdraw":
            assert line.withdraw(chosen) == len(model & set(chosen))
            model.difference_update(chosen)
        else:
            picked = lane.pick(len(tasks))
            assert len(picked) == len(set(picked)) == min(len(tasks), len(model))
            assert set(picked) <= model
            model.difference_update(picked)
        assert len(line) == lane.depth == len(model)
    assert set(lane.pick(1_000)) == model


def test_lanes_that_want_the_same_workers_take_turns_and_a_higher_class_goes_first() -> None:
    line = Line()
    plain, zoned, shells = line.lane("q", {}), line.lane("q", {"zone": "b"}), line.lane("q", {}, "shell")
    for lane in (plain, zoned):
        lane.push(1, "p", [(id(lane), Key(0))])
    firsts = [line.lanes()[0] for _ in range(8)]
    assert set(firsts) == {plain, zoned}
    shells.push(0, "p", [(1, Key(1))])
    orders = [line.lanes() for _ in range(30)]
    assert sum(lanes[0] is shells for lanes in orders) == 27
    assert sum(lanes[-1] is shells for lanes in orders) == 3
