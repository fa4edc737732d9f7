"""Waits that others end, on real servers: signals that wake thousands at once while an engine dies, and people who decide."""

from __future__ import annotations

import msgspec

from headrace.engine.ports.store import InboxRow, RunRow
from headrace.engine.ports.waits import NewSignal, Sent
from headrace.engine.shell import commands
from tests.support.deployment import Deployment

MANY = 1000
WAKE = """
workflow: wake
tasks:
  wait: {signal: {name: go, lookback: 1h}}
  own: {signal: {name: go, key: run.id, match: payload.last}, depends_on: wait}
output: "${{ tasks.wait.output }}"
"""
ASK = "workflow: ask\ntasks: {ask: {approval: {title: Go?, approvers: 2}}}\noutput: '${{ tasks.ask.output.by }}'\n"


def send(deployment: Deployment, key: str | None, payload: object, *, deliver: bool = True) -> None:
    async def sending() -> None:
        store = (await deployment.outside()).store
        sent: Sent = await store.send_signal(
            NewSignal("default", "go", key, msgspec.json.encode(payload), "user:ada")
        )
        if deliver:
            await store.deliver(sent.id)

    deployment.go(sending())


def decide(deployment: Deployment, run: RunRow, by: str) -> None:
    async def posting() -> None:
        store = (await deployment.outside()).store
        body = commands.encode("approval", {"by": by, "task": "ask", "approved": True})
        await store.post(InboxRow(0, run.part, run.no, "approval", body, 1.0))

    deployment.go(posting())


def test_a_signal_wakes_thousands_though_an_engine_dies(deployment: Deployment) -> None:
    deployment.team(("e1", "e2"), ())
    plan = deployment.plan(WAKE)
    runs = deployment.submit_all([plan] * MANY)
    deployment.until("SELECT count(*) = $1 FROM waits WHERE name = 'go' AND key IS NULL", MANY)
    send(deployment, None, {"last": False})
    deployment.member("e2").kill()
    deployment.until("SELECT count(*) = $1 FROM waits WHERE key IS NOT NULL", MANY)
    for number, run in enumerate(runs):
        send(
            deployment, run.id, {"last": True}, deliver=number % 2 == 0
        )  # who sends the others dies too soon
    deployment.wait(*runs)
    assert [row["state"] for row in deployment.rows("SELECT DISTINCT state FROM runs")] == [6]
    deployment.until("SELECT count(*) = 0 FROM waits")
    deployment.until("SELECT count(*) = 0 FROM signals WHERE NOT delivered")
    deployment.agree(*runs[:20])


def test_who_has_agreed_is_known_to_the_next_engine(deployment: Deployment) -> None:
    deployment.team(("e1",), ())
    [run] = deployment.submit_all([deployment.plan(ASK)])
    deployment.until_state(run, "ask", "waiting")
    decide(deployment, run, "user:bob")
    deployment.until("SELECT count(*) = 1 FROM waits WHERE convert_from(body, 'UTF8') LIKE '%user:bob%'")
    deployment.member("e1").kill()
    decide(deployment, run, "user:bob")
    deployment.engine("e3")
    decide(deployment, run, "user:cyd")
    deployment.wait(run)
    assert deployment.view(run).run.output == b'"user:bob, user:cyd"'
    deployment.agree(run)
