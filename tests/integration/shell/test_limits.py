"""Limits that act across parts and engines: the home part of a project grants, whoever owns it."""

from __future__ import annotations

from headrace.engine.core.workflow import Concurrency, Limits, Pool
from headrace.engine.ports.pools import POOLS, PoolRow
from headrace.engine.ports.store import InboxRow
from headrace.engine.shell.children import part_of
from headrace.engine.shell.commands import StopBody
from tests.integration.shell.team import HOLD, Team
from tests.support.flows import flow, py
from tests.unit.shell.rig import Answer


async def test_active_runs_counts_the_runs_of_all_parts_and_the_oldest_goes_first(team: Team) -> None:
    await team.enter("one")
    await team.enter("two")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    plan = flow(py("a"), limits=Limits(active_runs=2))
    runs = [await team.submit(plan, part) for part in range(0, 12, 2)]
    order: list[int] = []
    for _ in range(3):
        await team.until(lambda: len(worker.held) == 2)
        for _ in range(30):
            await team.turn()
        assert len(worker.held) == 2
        order += sorted(key[0] for key in worker.held)
        await worker.finish_all()
    await team.until(lambda: team.ended(*runs))
    assert sorted(order) == [run.no for run in runs]
    assert order[2:] == [run.no for run in runs if run.no not in order[:2]]
    await team.until(lambda: nothing_waits(team))


async def test_a_pool_grants_no_more_than_its_slots_whichever_parts_ask(team: Team) -> None:
    for name in ("one", "two"):
        await team.enter(name, pools={"db": 3})
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    runs = [await team.submit(flow(*(py(f"t{i}", pool=Pool("db")) for i in range(3))), p) for p in range(4)]
    done = 0
    while done < 12:
        await team.until(lambda: len(worker.held) == 3)
        for _ in range(20):
            await team.turn()
        assert len(worker.held) == 3
        done += 3
        await worker.finish_all()
    await team.until(lambda: team.ended(*runs))
    await team.until(lambda: nothing_waits(team))


async def test_a_pool_may_be_resized_while_tasks_wait_for_it(team: Team) -> None:
    home = part_of("default", team.parts)

    async def resize(slots: int) -> None:
        row = PoolRow("default", "db", slots, None, "user:ada", 1.0)
        await team.outside.put_pool(row, InboxRow(0, home, None, POOLS, b"{}", 1.0))

    await resize(0)
    for name in ("one", "two"):
        await team.enter(name)
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    runs = [await team.submit(flow(*(py(f"t{i}", pool=Pool("db")) for i in range(3))), p) for p in range(4)]
    await team.until(lambda: waiting(team, 12))
    assert not worker.held
    await resize(2)
    await team.until(lambda: len(worker.held) == 2)
    await resize(5)
    await team.until(lambda: len(worker.held) == 5)
    await resize(1)
    await team.until(lambda: told_of_all(team))
    await worker.finish_all()
    await team.until(lambda: len(worker.held) == 1)
    for name, other in (
        ("one", "two"),
        ("two", "three"),
    ):  # whoever takes the home part over reads the size again
        await team.leave(name)
        await team.until(team.settled)
        for _ in range(20):
            await team.turn()
        assert len(worker.held) == 1, other
        if name == "one":
            await team.enter("three")
            await team.until(team.settled)
    await resize(100)
    await team.until(lambda: len(worker.held) == 7)
    await worker.finish_all()
    await team.until(lambda: team.ended(*runs))
    await team.until(lambda: nothing_waits(team))
    for run in runs:
        await team.agrees(run)


async def test_who_takes_over_the_home_part_knows_who_holds_and_who_waits(team: Team) -> None:
    await team.enter("one")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    plan = flow(py("a"), limits=Limits(active_runs=1))
    first = await team.submit(plan, 1)
    await team.until(lambda: len(worker.held) == 1)
    second = await team.submit(plan, 2)
    await team.until(lambda: waiting(team, 1))
    await team.die("one")
    await team.stores.pop("one").close()
    await team.enter("two")
    await team.until(team.settled)
    for _ in range(30):
        await team.turn()
    assert [key[0] for key in worker.held] == [first.no]
    worker.body = lambda d: Answer()
    await worker.finish_all()
    await team.until(lambda: team.ended(first, second))
    assert [d.run for d in worker.seen] == [first.no, second.no]
    await team.agrees(second)


async def test_nothing_is_granted_before_the_inbox_was_read_to_its_end(team: Team) -> None:
    """What waits stands before what holds, for it asked before that was granted."""
    await team.enter("one")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    plan = flow(py("a"), limits=Limits(active_runs=1))
    runs = [await team.submit(plan, part) for part in (1, 2)]
    await team.until(lambda: waiting(team, 1))
    await team.until(lambda: len(worker.held) == 1)
    await team.die("one")
    await team.stores.pop("one").close()
    await team.enter("two", inbox_rows=1)
    await team.until(team.settled)
    for _ in range(30):
        await team.turn()
    assert len(worker.held) == 1
    worker.body = lambda d: Answer()
    await worker.finish_all()
    await team.until(lambda: team.ended(*runs))
    await team.until(lambda: nothing_waits(team))


async def test_a_run_that_is_cancelled_while_it_waits_gives_its_claim_up(team: Team) -> None:
    await team.enter("one")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    plan = flow(py("a"), limits=Limits(active_runs=1))
    first, second, third = [await team.submit(plan, part) for part in (3, 4, 5)]
    await team.until(lambda: waiting(team, 2))
    await team.command(second, "cancel", StopBody("ann"))
    await team.until(lambda: team.ended(second))
    await worker.finish_all()
    await team.until(lambda: [key[0] for key in worker.held] == [third.no])
    await worker.finish_all()
    await team.until(lambda: team.ended(first, third))
    await team.until(lambda: nothing_waits(team))


async def test_concurrency_keys_hold_across_parts_and_a_change_of_owners(team: Team) -> None:
    await team.enter("one")
    await team.enter("two")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    keys = (Concurrency("params.region"), Concurrency("run.workflow", 3))
    plan = flow(
        py("a"), concurrency=keys, limits=Limits(active_runs=4), params={"region": {"type": "string"}}
    )
    regions = ["eu", "eu", "us", "us", "apac", "eu", "africa", "us"]
    runs = [await team.submit(plan, part, {"region": region}) for part, region in enumerate(regions)]
    region_of = dict(zip([run.no for run in runs], regions, strict=True))
    await team.until(lambda: len(worker.held) == 3)
    await team.die("one")
    await team.stores.pop("one").close()
    done = 0
    while done < len(runs):
        await team.until(lambda: len(worker.held) > 0)
        for _ in range(20):
            await team.turn()
        going = [region_of[key[0]] for key in worker.held]
        assert len(going) == len(set(going)) <= 3
        done += len(going)
        await worker.finish_all()
    await team.until(lambda: team.ended(*runs))
    await team.until(lambda: nothing_waits(team))


async def test_strategies_cancel_runs_of_other_parts(team: Team) -> None:
    await team.enter("one")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    for strategy, ends in (
        ("cancel_in_progress", ["superseded", "superseded", None]),
        ("keep_newest", [None, "superseded", None]),
        ("cancel_newest", [None, "concurrency_key_taken", "concurrency_key_taken"]),
    ):
        plan = flow(py("a"), concurrency=(Concurrency("'one'", 1, strategy),))
        runs = []
        for part in (1, 2, 3):
            runs.append(await team.submit(plan, part))
            for _ in range(30):
                await team.turn()
        while worker.held:
            await worker.finish_all()
            for _ in range(30):
                await team.turn()
        await team.until(lambda runs=runs: team.ended(*runs))
        assert [(await team.row(run.no)).reason for run in runs] == ends
        for run in runs:
            await team.agrees(run)
    await team.until(lambda: nothing_waits(team))


async def waiting(team: Team, count: int) -> bool:
    rows = await team.outside.inbox(part_of("default", team.parts), 0, 100)
    return [row.kind for row in rows].count("slots_wanted") == count


async def told_of_all(team: Team) -> bool:
    rows = await team.outside.inbox(part_of("default", team.parts), 0, 100)
    return not any(row.kind == POOLS for row in rows)


async def nothing_waits(team: Team) -> bool:
    return not any([await team.outside.inbox(part, 0, 10) for part in range(team.parts)])
