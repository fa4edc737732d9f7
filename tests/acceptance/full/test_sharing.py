"""How workers are shared: a full one holds back nobody, and what is urgent goes first (E7)."""

from __future__ import annotations

from tests.support.deployment import Deployment

LONG = """
workflow: long
params: {go: {type: string}}
tasks:
  stay: {python: bodies:until, map: [0, 1], with: {path: "${{ params.go }}"}}
"""
SHORT = """
workflow: short
tasks:
  quick: {python: bodies:note, map: {over: "${{ [0,1,2,3,4,5,6,7,8,9] }}"}}
"""
LOW = """
workflow: low
priority: low
params: {go: {type: string}, many: {type: array}}
tasks:
  first: {python: bodies:until, with: {path: "${{ params.go }}"}}
  rest: {python: bodies:note, map: "${{ params.many }}", with: {value: "${{ item }}"}}
"""
HIGH = """
workflow: high
priority: high
tasks:
  urgent: {python: bodies:note}
"""


def test_a_worker_full_of_long_tasks_holds_back_no_short_one(deployment: Deployment) -> None:
    deployment.team(("e1",), ("one",), slots=2)
    go = deployment.folder / "go"
    long = deployment.submit(deployment.plan(LONG), go=str(go))
    deployment.eventually(lambda: len(deployment.starts()) == 2, "the long tasks have not started")
    deployment.worker("two", slots=2).ready()
    runs = deployment.submit_all([deployment.plan(SHORT)] * 10)
    deployment.wait(*runs)
    assert deployment.state(long) == "running"
    rows = deployment.rows(
        "SELECT worker, count(*) AS tasks FROM task_runs WHERE worker IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [("one", 2), ("two", 100)]
    go.touch()
    deployment.wait(long)
    assert deployment.state(long) == "succeeded"


def test_what_is_urgent_is_next_behind_ten_thousand_that_are_not(deployment: Deployment) -> None:
    deployment.team(("e1",), ("one",), slots=1)
    go = deployment.folder / "go"
    low = deployment.submit(deployment.plan(LOW), go=str(go), many=list(range(10_000)))
    deployment.eventually(deployment.starts, "nothing has started")
    deployment.until("SELECT items = 10000 FROM task_runs WHERE run = $1 AND items IS NOT NULL", low.no)
    high = deployment.submit(deployment.plan(HIGH))
    deployment.until("SELECT started_at IS NOT NULL FROM runs WHERE no = $1", high.no)
    go.touch()
    deployment.wait(high)
    order = [start.task for start in deployment.starts()]
    assert order[:2] == ["first", "urgent"]
    deployment.wait(low, within=120)
    assert len({start.of for start in deployment.starts()}) == len(deployment.starts()) == 10_002
