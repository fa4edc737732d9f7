"""Two engines on real PostgreSQL and real Kafka: what the in-process broker cannot show."""

from __future__ import annotations

from tests.integration.shell.team import HOLD, Team
from tests.support.flows import child, flow, py
from tests.unit.shell.rig import Answer


async def test_runs_of_all_parts_go_through_two_engines(kafka_team: Team) -> None:
    team = kafka_team
    await team.enter("one")
    await team.enter("two")
    worker = await team.hire(slots=100)
    await team.until(team.settled)
    await team.register(flow(py("work")), "inner")
    plan = flow(py("a"), py("b", "a"), child("c", "inner", "b"))
    runs = [await team.submit(plan, part) for part in range(team.parts)]
    await team.until(lambda: team.ended(*runs))
    assert len(worker.seen) == 3 * team.parts
    for run in runs:
        await team.agrees(run)


async def test_after_a_death_the_other_engine_asks_and_sends_again_only_what_nobody_holds(
    kafka_team: Team,
) -> None:
    """faults 56; E9 over real topics: the barrier stands behind every older dispatch."""
    team = kafka_team
    await team.enter("one")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    runs = [await team.submit(flow(py("a"), py("b", "a")), part) for part in range(team.parts)]
    await team.until(lambda: len(worker.held) == len(runs))
    lost = [key for key in worker.held if key[0] in (runs[0].no, runs[5].no)]
    for key in lost:
        del worker.held[key]
    await team.enter("two")
    await team.until(team.settled)
    await team.die("one")
    await team.stores.pop("one").close()
    await team.until(team.settled)
    await team.until(lambda: len(worker.held) == len(runs))
    assert sorted(d.run for d in worker.seen[len(runs) :]) == sorted(key[0] for key in lost)
    worker.body = lambda d: Answer()
    await worker.finish_all()
    await team.until(lambda: team.ended(*runs))
    assert worker.names.count("b") == len(runs)
    for run in runs:
        await team.agrees(run)
