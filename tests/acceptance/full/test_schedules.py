"""Ten thousand schedules that are due in the same second, and engines that die in it (faults 10)."""

from __future__ import annotations

from typing import Any

from headrace.engine.shell.schedules.reading import by_time
from headrace.engine.shell.times import rfc3339
from headrace.runners.authored import version_row
from tests.support.deployment import Deployment

WORKFLOWS, EACH = 50, 200
AHEAD = 40.0
"""Seconds until the second in which all are due: all must be registered by then."""


def registered(deployment: Deployment, number: int, moment: float) -> None:
    """A workflow with its schedules, all for one moment."""
    triggers = [{"id": f"s{each}", "at": rfc3339(moment)} for each in range(EACH)]
    document: dict[str, Any] = {
        "workflow": f"flow{number}",
        "triggers": triggers,
        "tasks": {"rest": {"noop": {}}},
    }
    plan = deployment.plan(document)

    async def register() -> None:
        store = (await deployment.outside()).store
        row = version_row(plan, "default", (await store.survey()).now)
        await store.register(row, schedules=by_time(plan.workflow.name, plan.workflow.triggers))

    deployment.go(register())


def now(deployment: Deployment) -> float:
    return float(deployment.rows("SELECT extract(epoch FROM now()) AS at")[0]["at"])


def test_ten_thousand_schedules_due_at_once_fire_once_each_though_an_engine_dies(
    deployment: Deployment,
) -> None:
    deployment.team(("e1", "e2"), ())
    deployment.settled()
    moment = float(int(now(deployment) + AHEAD))
    for number in range(WORKFLOWS):
        registered(deployment, number, moment)
    assert now(deployment) < moment, "registering took too long to see them fire"
    deployment.until("SELECT count(*) > $1 FROM runs", WORKFLOWS * EACH // 10)
    deployment.member("e2").kill()
    deployment.until("SELECT count(*) = $1 FROM runs", WORKFLOWS * EACH)
    deployment.until("SELECT count(*) = 0 FROM runs WHERE finished_at IS NULL")

    fired = deployment.rows(
        "SELECT convert_from(trigger, 'UTF8')::jsonb ->> 'schedule' AS schedule, scheduled_at, state FROM runs"
    )
    assert len({row["schedule"] for row in fired}) == len(fired) == WORKFLOWS * EACH
    assert {(row["scheduled_at"], row["state"]) for row in fired} == {(moment, 6)}
    left = deployment.rows(
        "SELECT count(*) AS due FROM schedules WHERE due_at IS NOT NULL OR problem IS NOT NULL"
    )
    assert left[0]["due"] == 0
    took = deployment.rows(
        "SELECT max(created_at) - $1 AS begun, max(finished_at) - $1 AS ended FROM runs", moment
    )
    print(f"begun within {took[0]['begun']:.1f} s, ended within {took[0]['ended']:.1f} s")
