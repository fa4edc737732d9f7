"""Engines that share the parts: who owns what, and what becomes of it when one comes, goes or dies."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from headrace.engine.ports.messages import Dispatches
from headrace.engine.ports.ownership import PartSeen, Survey
from headrace.engine.shell.ownership import share_out
from tests.integration.shell.team import HOLD, Team
from tests.support.flows import child, flow, py, sleep
from tests.unit.shell.rig import Answer


async def test_a_lone_engine_owns_every_part_and_moves_runs_of_all(team: Team) -> None:
    await team.enter("one")
    await team.hire(slots=100)
    await team.until(team.settled)
    runs = [await team.submit(flow(py("a"), py("b", "a")), part) for part in range(team.parts)]
    await team.until(lambda: team.ended(*runs))
    for run in runs:
        assert await team.states(run) == {"a": "succeeded", "b": "succeeded"}
        await team.agrees(run)


async def test_runs_of_many_parts_are_decided_in_one_commit(team: Team) -> None:
    engine = await team.enter("one")
    await team.until(team.settled)
    runs = [await team.submit(flow(sleep("nap", 3600)), part) for part in range(team.parts)]
    counters = engine.counters
    turns, commits = counters.turns, counters.commits
    await team.until(lambda: engine.live == len(runs))
    assert counters.commits - commits >= len(runs)
    assert counters.turns - turns <= len(runs)


async def test_engines_that_join_and_leave_share_the_parts_evenly(team: Team) -> None:
    for name in ("one", "two", "three"):
        await team.enter(name)
        await team.until(team.settled)
    assert {len(engine.parts) for engine in team.engines.values()} <= {4, 5, 6}
    await team.leave("two")
    await team.until(team.settled)
    assert [len(engine.parts) for engine in team.engines.values()] == [8, 8]
    await team.leave("one")
    await team.until(team.settled)


async def test_a_part_that_is_given_up_is_taken_over_with_what_is_in_flight(team: Team) -> None:
    """What the worker holds stays with it; nothing runs twice."""
    await team.enter("one")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    runs = [await team.submit(flow(py("a"), py("b", "a")), part) for part in range(team.parts)]
    await team.until(lambda: len(worker.held) == len(runs))
    await team.enter("two")
    await team.until(team.settled)
    worker.body = lambda d: Answer()
    await worker.finish_all()
    await team.until(lambda: team.ended(*runs))
    assert sorted(worker.names) == ["a"] * len(runs) + ["b"] * len(runs)
    for run in runs:
        await team.agrees(run)


async def test_after_an_engine_has_died_the_other_goes_on_and_sends_again_only_what_nobody_holds(
    team: Team,
) -> None:
    """faults 56: crash point 4, committed and not published."""
    await team.enter("one")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    runs = [await team.submit(flow(py("a")), part) for part in range(team.parts)]
    await team.until(lambda: len(worker.held) == len(runs))
    lost = [key for key in worker.held if key[0] in (runs[0].no, runs[1].no)]
    for key in lost:  # as if they had never been published
        del worker.held[key]
    await team.die("one")
    await team.stores.pop("one").close()
    await team.enter("two")
    await team.until(team.settled)
    await team.until(lambda: len(worker.held) == len(runs))
    again = worker.seen[len(runs) :]
    assert sorted(d.run for d in again) == sorted(key[0] for key in lost)
    assert all((d.attempt, d.epoch > 1) == (1, True) for d in again)
    await worker.finish_all()
    await team.until(lambda: team.ended(*runs))


async def test_an_engine_that_was_taken_for_dead_writes_and_sends_nothing_and_begins_anew(
    team: Team,
) -> None:
    """faults 23, 24, 48: it was stopped; another engine has its parts when it goes on."""
    one = await team.enter("one")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    run = await team.submit(flow(py("a"), py("b", "a")), 3)
    await team.until(lambda: bool(worker.held))
    for part in (await team.outside.survey()).parts:
        await team.outside.claim(part.part, "thief", part.epoch)
    worker.body = lambda d: Answer()
    seen = len(worker.seen)
    await worker.finish_all()
    await team.until(lambda: one.parts == ())
    assert worker.names[seen:] == []
    assert await team.states(run) == {"a": "dispatched", "b": "pending"}
    await team.outside.resign("thief")
    await team.until(team.settled)
    await team.until(lambda: team.ended(run))
    assert worker.names == ["a", "b"]
    await team.agrees(run)


async def test_an_engine_whose_connections_are_cut_finds_its_way_back(team: Team) -> None:
    """faults 34: the session lock went with its connection, so everything is claimed anew; nothing runs twice."""
    one = await team.enter("one")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    runs = [await team.submit(flow(py("a"), py("b", "a")), part) for part in range(4)]
    await team.until(lambda: len(worker.held) == 4)
    connection: Any = await asyncpg.connect(team.url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database()"
        )
    finally:
        await connection.close()
    worker.body = lambda d: Answer()
    await worker.finish_all()
    await team.until(lambda: team.ended(*runs))
    await team.until(team.settled)
    assert sorted(worker.names) == ["a"] * 4 + ["b"] * 4
    assert one.trouble is None
    for run in runs:
        await team.agrees(run)


async def test_a_lost_part_does_not_hold_back_the_commit_of_the_others(team: Team) -> None:
    """E3: nothing of the lost part is written or sent; the rows of the others are sent again without it."""
    one = await team.enter("one", survey_seconds=60.0)
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    runs = [await team.submit(flow(py("a"), py("b", "a")), part) for part in range(4)]
    await team.until(lambda: len(worker.held) == 4)
    seen = next(part for part in (await team.outside.survey()).parts if part.part == 2)
    await team.outside.claim(2, "thief", seen.epoch)
    await worker.finish_all()
    worker.body = lambda d: Answer()
    await team.until(lambda: one.counters.parts_lost == 1)
    assert 2 not in one.parts
    assert len(one.parts) == team.parts - 1
    await team.until(lambda: team.ended(*(run for run in runs if run.part != 2)))
    assert await team.states(runs[2]) == {"a": "dispatched", "b": "pending"}
    assert all(d.run != runs[2].no for d in worker.seen[4:])
    await team.outside.resign("thief")


async def test_a_late_dispatch_of_an_old_owner_is_refused_behind_the_barrier(team: Team) -> None:
    await team.enter("one")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    run = await team.submit(flow(py("a")), 5)
    await team.until(lambda: bool(worker.held))
    (old,) = worker.seen
    await team.die("one")
    await team.stores.pop("one").close()
    await team.enter("two")
    await team.until(lambda: any((ask.part, ask.epoch) == (5, old.epoch + 1) for ask in worker.asked))
    team.broker.engine_side().send("default", 0, Dispatches("w1", 5, old.epoch, [old]))
    await team.until(lambda: bool(worker.dropped))
    assert worker.names == ["a"]
    await worker.finish_all()
    await team.until(lambda: team.ended(run))


async def test_a_child_of_another_part_starts_and_reports_across_engines(team: Team) -> None:
    await team.enter("one")
    await team.enter("two")
    await team.hire(slots=100)
    await team.until(team.settled)
    await team.register(flow(py("work")), "inner")
    runs = [await team.submit(flow(child("call", "inner"))) for _ in range(8)]
    await team.until(lambda: team.ended(*runs))
    children = [(await team.outside.children(run.no))[0] for run in runs]
    assert {row.state for row in children} == {6}
    assert any(row.part != run.part for row, run in zip(children, runs, strict=True))


async def test_priority_acts_across_the_parts_of_an_engine(team: Team) -> None:
    await team.enter("one")
    worker = await team.hire(slots=1)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    first = await team.submit(flow(py("first")), 0)
    await team.until(lambda: worker.names == ["first"])
    normal = await team.submit(flow(py("normal")), 1)
    await team.until(lambda: team.engines["one"].waiting == 1)
    high = await team.submit(flow(py("high")), 2, priority="high")
    await team.until(lambda: team.engines["one"].waiting == 2)
    worker.body = lambda d: Answer()
    await worker.finish_all()
    await team.until(lambda: team.ended(first, normal, high))
    assert worker.names == ["first", "high", "normal"]


async def test_engines_with_work_for_one_queue_share_its_workers(team: Team) -> None:
    """E7: credit = ceil((slots + ahead) / engines that have work for the queue)."""
    one, two = await team.enter("one"), await team.enter("two")
    await team.until(team.settled)
    many = flow(*(py(f"t{i}") for i in range(10)))
    await team.submit(many, one.parts[0])
    await team.submit(many, two.parts[0])
    await team.until(lambda: (one.waiting, two.waiting) == (10, 10))
    for _ in range(20):
        await team.turn()
    worker = await team.hire(slots=7)
    worker.body = lambda d: HOLD
    await team.until(lambda: len(worker.held) == 8)
    assert (one.in_flight, two.in_flight) == (4, 4)


def seen(*owners: str | None) -> tuple[PartSeen, ...]:
    return tuple(PartSeen(part, 7, owner) for part, owner in enumerate(owners))


@pytest.mark.parametrize(
    ("owners", "live", "held", "claims", "excess"),
    [
        ((None, None, None, None), ("a",), {}, [0, 1, 2, 3], 0),
        ((None, None, None, None), ("a", "b"), {}, [0, 1], 0),
        ((None, None, None, None), ("0", "a"), {}, [2, 3], 0),
        (("a", "a", "a", "a"), ("a", "b"), {0: 7, 1: 7, 2: 7, 3: 7}, [], 2),
        (("a", "gone", "b", None), ("a", "b"), {0: 7}, [1], 0),
        (("a", "a", None), ("a", "b"), {0: 7, 1: 7}, [], 0),
        (("a", None), ("a",), {}, [0, 1], 0),
    ],
)
def test_an_engine_takes_its_share_and_no_more(
    owners: tuple[str | None, ...],
    live: tuple[str, ...],
    held: dict[int, int],
    claims: list[int],
    excess: int,
) -> None:
    moves = share_out(Survey(live, seen(*owners), 0.0), "a", held, frozenset())
    assert ([part.part for part in moves.claim], moves.excess, moves.lost) == (claims, excess, [])


def test_a_part_of_another_epoch_is_lost_and_one_that_is_being_given_up_is_not_taken_back() -> None:
    survey = Survey(("a", "b"), seen("b", "a", None, None), 0.0)
    moves = share_out(survey, "a", {0: 6}, frozenset((1,)))
    assert moves.lost == [0]
    assert [part.part for part in moves.claim] == [2, 3]
