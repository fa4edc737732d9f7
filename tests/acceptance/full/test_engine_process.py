"""`headrace engine` as a process, and the commands beside it."""

from __future__ import annotations

import signal

import pytest

from tests.support.deployment import Deployment

HOLD = """
workflow: hold
params: {go: {type: string}}
tasks:
  stay: {python: bodies:until, with: {path: "${{ params.go }}"}}
  then: {python: bodies:note, depends_on: stay}
"""
ELSEWHERE = """
workflow: elsewhere
tasks:
  far: {python: bodies:note, queue: gpu}
  near: {shell: "true", labels: {zone: b}}
"""


def test_it_says_what_it_owns_and_sigterm_gives_it_to_the_next_one(deployment: Deployment) -> None:
    deployment.team(("e1",), ("w1",))
    go = deployment.folder / "go"
    run = deployment.submit(deployment.plan(HOLD), go=str(go))
    deployment.until_state(run, "stay", "dispatched", "running")
    one, two = deployment.member("e1"), deployment.engine("e2").ready()
    deployment.settled()
    two.says("beside e1")
    assert one.terminate() == 0
    assert "gives up 8 parts" in one.said
    two.says("owns 16 of 16 parts, beside nobody")
    go.touch()
    deployment.wait(run)
    assert [start.task for start in deployment.starts()] == ["stay", "then"]
    assert [start.attempt for start in deployment.starts()] == [1, 1]


def test_a_second_signal_ends_it_at_once_and_the_other_engine_has_its_parts(
    deployment: Deployment,
) -> None:
    deployment.team(("e1", "e2"), ())
    deployment.settled()
    one, two = deployment.member("e1"), deployment.member("e2")
    one.signal(signal.SIGSTOP)
    one.signal(signal.SIGTERM)
    one.signal(signal.SIGINT)
    one.signal(signal.SIGCONT)
    assert one.ended() in (0, 130)
    two.says("owns 16 of 16 parts, beside nobody")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"HEADRACE_DATABASE_URL": "sqlite:///x.db"}, "needs a PostgreSQL database"),
        ({"HEADRACE_DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none"}, "cannot be reached"),
        ({"HEADRACE_KAFKA": ""}, "HEADRACE_KAFKA names none"),
        ({"HEADRACE_KAFKA": "127.0.0.1:1"}, "127.0.0.1:1"),
        ({"HEADRACE_KAFKA_PREFIX": "nothing.here."}, "headrace topics ensure"),
    ],
)
def test_what_it_cannot_start_with_is_one_message_and_status_3(
    deployment: Deployment, settings: dict[str, str], said: str
) -> None:
    done = deployment("engine", **settings)
    assert (done.status, done.out) == (3, "")
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_name_that_another_live_engine_has_is_refused(deployment: Deployment) -> None:
    deployment.team(("e1",), ())
    done = deployment("engine", "--id", "e1")
    assert done.status == 3
    assert "e1" in done.err
    assert "Traceback" not in done.err
    assert deployment.member("e1").lives


def test_commands_are_decided_by_the_engines_and_never_beside_them(deployment: Deployment) -> None:
    deployment.team()
    deployment.write("hold.yaml", HOLD)
    assert deployment("register", str(deployment.app / "hold.yaml")).status == 0
    go = deployment.folder / "go"
    started = deployment("trigger", "hold", "-p", f"go={go}", "--json").document
    assert deployment("runs", "pause", "last").status == 0
    go.touch()
    deployment.until(
        "SELECT count(*) = 1 FROM task_runs t JOIN runs r ON r.no = t.run WHERE r.id = $1 AND t.finished_at IS NOT NULL",
        started["id"] if "id" in started else started["run"],
    )
    shown = deployment("runs", "show", "last", "--json").document
    assert (shown["state"], [task["state"] for task in shown["tasks"]]) == (
        "paused",
        ["succeeded", "pending"],
    )
    assert deployment("runs", "resume", "last").status == 0
    assert deployment("runs", "wait", "last").status == 0
    again = deployment("runs", "resume", "last")
    assert (again.status, "Traceback" in again.err) == (2, False)
    owners = deployment.rows("SELECT DISTINCT owner FROM parts")
    assert [row["owner"] for row in owners] == ["e1"]


def test_trigger_waits_for_engines_that_come_later(deployment: Deployment) -> None:
    deployment.write("hold.yaml", HOLD)
    deployment("register", str(deployment.app / "hold.yaml"))
    go = deployment.folder / "go"
    go.touch()
    with deployment.beside("trigger", "hold", "-p", f"go={go}", "--wait") as waiting:
        deployment.until("SELECT count(*) = 1 FROM runs")
        silent = deployment("runs", "pause", "last")
        assert silent.status == 3
        assert "No engine lives on this database" in silent.err
        deployment("runs", "resume", "last")
        deployment.team()
        waiting.communicate(timeout=60)
    assert waiting.returncode == 0


def test_why_names_what_no_worker_has(deployment: Deployment) -> None:
    deployment.team()
    run = deployment.submit(deployment.plan(ELSEWHERE))
    deployment.eventually(
        lambda: "its only worker does not have the labels zone=b" in deployment("why", run.id).out,
        lambda: deployment("why", run.id).out,
    )
    said = deployment("why", run.id).out
    assert "no worker listens on queue gpu" in said
    near = deployment("why", run.id, "near", "--json").document
    (blocker,) = near["blockers"]
    assert blocker["code"] == "no_worker"
    assert (blocker["evidence"]["lacking"], blocker["evidence"]["others"]) == ("labels", 1)
