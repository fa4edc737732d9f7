"""A backfill under two engines, one of which is killed in the middle (faults 12)."""

from __future__ import annotations

from typing import Any

from headrace.engine.calendars import IanaCalendar
from headrace.engine.expressions import CelEvaluator
from headrace.engine.ports.backfills import BackfillRow
from headrace.engine.shell.plans import Plans
from headrace.engine.shell.schedules.asking import Wanted, outlook
from headrace.engine.shell.schedules.firing import Firing
from headrace.engine.shell.schedules.reading import by_time
from headrace.runners.authored import checker, version_row
from tests.support.deployment import Deployment

DAYS, MOST = 30, 4
DAILY: dict[str, Any] = {
    "workflow": "daily",
    "triggers": [{"id": "nightly", "cron": "30 2 * * *", "timezone": "Europe/Berlin", "enabled": False}],
    "tasks": {"rest": {"sleep": "100ms"}},
}
COUNTED = """
CREATE TABLE live_at_birth (runs bigint);
CREATE FUNCTION count_live() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO live_at_birth SELECT count(*) FROM runs WHERE finished_at IS NULL;
  RETURN NULL;
END $$;
CREATE TRIGGER counted AFTER INSERT ON runs FOR EACH STATEMENT EXECUTE FUNCTION count_live();
"""
"""How many runs go on is written down by whoever begins one, in the same transaction."""


def begun(deployment: Deployment) -> BackfillRow:
    plan = deployment.plan(DAILY)

    async def begin() -> BackfillRow:
        store = (await deployment.outside()).store
        now = (await store.survey()).now
        row = version_row(plan, "default", now)
        await store.register(row, schedules=by_time("daily", plan.workflow.triggers))
        evaluator = CelEvaluator()
        firing = Firing(Plans(store), IanaCalendar(), evaluator, checker(evaluator), await store.parts())
        wanted = Wanted(workflow="daily", begin="2026-03-01", end="2026-03-30", max_active=MOST)
        made = await outlook(store, firing, "default", wanted, "user:ada", now)
        return await store.create_backfill(made.new)

    return deployment.go(begin())


def test_each_moment_has_one_run_and_never_more_go_on_than_may_though_an_engine_dies(
    deployment: Deployment,
) -> None:
    deployment.team(("e1", "e2"), ())
    deployment.settled()
    deployment.execute(COUNTED)
    backfill = begun(deployment)
    deployment.until("SELECT count(*) >= $1 FROM runs", DAYS // 4)
    deployment.member("e2").kill()
    deployment.until("SELECT finished_at IS NOT NULL FROM backfills WHERE no = $1", backfill.no, within=300)

    runs = deployment.rows(
        "SELECT scheduled_at, finished_at, state, priority FROM runs ORDER BY scheduled_at"
    )
    assert len({run["scheduled_at"] for run in runs}) == len(runs) == DAYS
    assert {(run["state"], run["finished_at"] is None) for run in runs} == {(6, False)}
    moments = deployment.rows("SELECT state, run FROM backfill_moments ORDER BY place")
    assert {moment["state"] for moment in moments} == {"succeeded"}
    assert len({moment["run"] for moment in moments}) == DAYS
    [most] = deployment.rows("SELECT max(runs) AS runs, count(*) AS births FROM live_at_birth")
    assert 1 < most["runs"] <= MOST
