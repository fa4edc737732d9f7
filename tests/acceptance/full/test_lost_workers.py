"""Workers that are stopped, killed and sent away while they have work (faults 53, 54, 63)."""

from __future__ import annotations

import signal
from collections import Counter

from headrace.engine.ports.store import RunRow
from tests.support.deployment import Deployment

LEASED = """
workflow: leased
params: {go: {type: string}, on: {type: string}}
defaults: {retry: {attempts: 2, delay: 0s, jitter: none}, timeouts: {heartbeat: 3s}}
tasks:
  work: {python: bodies:first_until, with: {path: "${{ params.go }}"}}
  after: {python: bodies:until, with: {path: "${{ params.on }}"}, depends_on: work}
output: "${{ tasks.work.output }}"
"""
MARK = """
workflow: mark
tasks:
  mark: {python: bodies:note, labels: {worker: one}}
"""
LOAD = """
workflow: load
defaults: {retry: {attempts: 3, delay: 0s, jitter: none}}
tasks:
  a: {python: bodies:nap, with: {seconds: 0.02}}
  b: {python: bodies:nap, with: {seconds: 0.02}, depends_on: a, map: [0, 1, 2]}
  c: {python: bodies:nap, with: {seconds: 0.02}, depends_on: b}
"""


def leased(deployment: Deployment) -> RunRow:
    """A run of which worker one has started the first task; it stays there until `go` exists. Worker two is there then."""
    deployment.engine("e1")
    deployment.worker("one", "--labels", "worker=one").ready()
    folder = deployment.folder
    run = deployment.submit(deployment.plan(LEASED), go=str(folder / "go"), on=str(folder / "on"))
    deployment.until_state(run, "work", "running")
    deployment.worker("two").ready()
    return run


def second_attempt_stands(deployment: Deployment, run: RunRow) -> None:
    (deployment.folder / "on").touch()
    deployment.wait(run)
    view = deployment.view(run)
    [work] = [task for task in view.tasks if task.id == "work"]
    assert (view.run.output, work.state, work.attempts, work.worker) == (b"2", "succeeded", 2, "two")
    assert [(start.task, start.attempt) for start in deployment.starts() if start.run == run.id] == [
        ("work", 1),
        ("work", 2),
        ("after", 1),
    ]
    deployment.agree(run)


def test_a_worker_that_stood_still_beyond_its_lease_reports_in_vain(deployment: Deployment) -> None:
    """faults 54: the second attempt's result stands, while the run goes on and after it has ended."""
    run = leased(deployment)
    one = deployment.member("one")
    with one.stopped():
        deployment.until_state(run, "after", "running")
        before = deployment.rows("SELECT * FROM history WHERE run = $1 ORDER BY seq", run.no)
        (deployment.folder / "go").touch()
    marks = deployment.submit_all([deployment.plan(MARK)] * 60)
    same = [mark for mark in marks if mark.part == run.part]
    assert same, "its reports would come another way than the late one"
    deployment.wait(*marks)
    assert deployment.rows("SELECT * FROM history WHERE run = $1 ORDER BY seq", run.no) == before
    second_attempt_stands(deployment, run)


def test_a_killed_worker_costs_an_attempt(deployment: Deployment) -> None:
    """faults 53: the lease ends, another worker makes the next attempt."""
    run = leased(deployment)
    deployment.member("one").kill()
    second_attempt_stands(deployment, run)
    reasons = deployment.rows("SELECT reason FROM task_runs WHERE run = $1 AND reason IS NOT NULL", run.no)
    assert reasons == []


def test_a_worker_that_starts_again_ends_the_leases_of_its_former_life(deployment: Deployment) -> None:
    """faults 53: a new incarnation under the same name holds nothing; nobody waits for the lease."""
    deployment.engine("e1")
    deployment.worker("one").ready()
    folder = deployment.folder
    text = LEASED.replace("heartbeat: 3s", "heartbeat: 10m")
    run = deployment.submit(deployment.plan(text), go=str(folder / "go"), on=str(folder / "on"))
    deployment.until_state(run, "work", "running")
    deployment.member("one").kill()
    deployment.worker("one").ready()
    deployment.until_state(run, "after", "running")
    assert deployment.states(run)["work"] == "succeeded"


def test_workers_are_sent_away_under_load(deployment: Deployment) -> None:
    """faults 63: SIGTERM one after the other; all is done, nothing is done twice, no attempt is lost."""
    deployment.team(("e1",), ("one", "two", "three"))
    runs = deployment.submit_all([deployment.plan(LOAD)] * 400)
    for name in ("one", "two"):
        busy = "SELECT count(*) > 200 FROM task_runs WHERE worker = $1 AND finished_at IS NOT NULL"
        deployment.until(busy, name)
        assert deployment.member(name).terminate() == 0
    assert deployment.rows("SELECT count(*) AS live FROM runs WHERE finished_at IS NULL")[0]["live"] > 0
    deployment.wait(*runs)
    calls = Counter(start.of for start in deployment.starts())
    assert (len(calls), max(calls.values())) == (400 * 5, 1)
    assert deployment.rows("SELECT DISTINCT attempt FROM task_runs WHERE worker IS NOT NULL") == [(1,)]
    assert deployment.rows("SELECT DISTINCT state FROM runs") == [(6,)]


def test_everybody_is_killed_and_starts_again(deployment: Deployment) -> None:
    """faults 57: engines and workers at once; what had succeeded is not done again, and all ends."""
    deployment.team(("e1", "e2"), ("one", "two"))
    runs = deployment.submit_all([deployment.plan(LOAD)] * 400)
    deployment.until("SELECT count(*) >= 50 FROM runs WHERE finished_at IS NOT NULL")
    for member in deployment.members:
        member.signal(signal.SIGKILL)
    for member in deployment.members:
        member.ended()
    done = {
        tuple(row)
        for row in deployment.rows(
            "SELECT r.id, t.task, t.map FROM task_runs t JOIN runs r ON r.no = t.run WHERE t.state = 6"
        )
    }
    before = len(deployment.starts())
    deployment.team(("e1", "e2"), ("one", "two"))
    deployment.wait(*runs)
    assert deployment.rows("SELECT DISTINCT state FROM runs") == [(6,)]
    again = {(start.run, start.task, start.path) for start in deployment.starts()[before:]}
    assert len(again) < 400 * 5
    plan = deployment.plan(LOAD)
    names = {index: name for name, index in plan.index.items()}
    finished = {(run, names[task]) for run, task, map_ in done if map_ == 0 and names[task] in ("a", "c")}
    assert finished
    assert not finished & {(run, task) for run, task, _ in again}
    deployment.agree(*runs[::10])
