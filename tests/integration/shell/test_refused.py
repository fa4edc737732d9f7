"""Rows that PostgreSQL will never take: one run stays behind, no engine falls."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest

from headrace.engine.core.workflow import Cache
from headrace.engine.shell.aside import set_aside
from tests.integration.shell.team import HOLD, Team
from tests.support.flows import flow, py
from tests.unit.shell.rig import Answer

REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'value out of range' USING ERRCODE = '{code}'; END $$;
    CREATE TRIGGER refused BEFORE INSERT OR UPDATE ON task_runs FOR EACH ROW WHEN (NEW.run = {run})
        EXECUTE FUNCTION refuse()
"""


@pytest.mark.parametrize("code", ["22003", "23514"])
async def test_a_run_whose_rows_are_refused_is_set_aside_by_every_owner(team: Team, code: str) -> None:
    """All parts' batches are one statement; the neighbours in its part and in others end."""
    await team.enter("one")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    runs = [await team.submit(flow(py("a")), part) for part in (3, 3, 3, 5, 6)]
    await team.until(lambda: len(worker.held) == len(runs))
    bad, *good = runs[1], runs[0], *runs[2:]
    outside = await asyncpg.connect(team.url.replace("+asyncpg", ""))
    await outside.execute(REFUSE.format(code=code, run=bad.no))
    worker.body = lambda d: Answer()
    await worker.finish_all()
    await team.until(lambda: team.ended(*good))
    assert list(team.engines["one"].broken) == [bad.no]
    await team.turn()  # which writes the note
    told = await set_aside(team.outside, bad)
    assert told is not None
    assert "value out of range" in told

    await team.enter("two")
    await team.leave("one")
    await team.until(lambda: list(team.engines["two"].broken) == [bad.no])
    more = await team.submit(flow(py("a")), 3)
    await team.until(lambda: team.ended(more))

    await outside.execute("DROP TRIGGER refused ON task_runs")
    await outside.close()
    await team.enter("three")
    await team.leave("two")
    await team.until(lambda: team.ended(bad))
    assert await set_aside(team.outside, bad) is None
    for run in runs:
        await team.agrees(run)


async def test_two_runs_that_cache_the_same_at_once_are_one_commit(
    team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await team.enter("one")
    worker = await team.hire(slots=100)
    worker.body = lambda d: HOLD
    await team.until(team.settled)
    plan = flow(py("a", cache=Cache(timedelta(hours=1))))
    runs = [await team.submit(plan, part) for part in (1, 1, 2)]
    await team.until(lambda: len(worker.held) == 3)
    await worker.finish_all()
    await team.until(lambda: team.ended(*runs))
    assert engine.broken == {}
    assert "refuses" not in caplog.text
