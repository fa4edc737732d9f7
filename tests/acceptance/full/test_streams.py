"""The topics beside the hot path, with processes: a message becomes a run, what its tasks write is read from anywhere, what fails
is told."""

from __future__ import annotations

import json

from tests.support.deployment import Deployment
from tests.support.topics import ask, heard

TALK = """
workflow: talk
params: {go: {type: string}}
tasks:
  say:
    shell: |
      echo hello
      echo trouble >&2
      while [ ! -e "$GO" ]; do sleep 0.05; done
      echo goodbye
    env: {GO: "${{ params.go }}"}
"""
COUNT = """
workflow: count
params: {n: {type: integer}}
tasks:
  one: {python: bodies:note, with: {value: "${{ params.n }}"}}
"""
FAIL = """
workflow: fail
params: {path: {type: string}}
tasks:
  break: {python: bodies:fail, with: {path: "${{ params.path }}"}}
"""


def register(deployment: Deployment, name: str, text: str) -> None:
    done = deployment("register", str(deployment.write(f"{name}.yaml", text)))
    assert done.status == 0, done.err


def test_a_message_starts_a_run_whose_output_is_followed_from_a_host_without_files(
    deployment: Deployment,
) -> None:
    register(deployment, "talk", TALK)
    deployment.team()
    go = deployment.folder / "go"
    ask(deployment, {"workflow": "talk", "params": {"go": str(go)}, "requested_by": "shop"})
    deployment.until("SELECT count(*) = 1 FROM task_runs WHERE started_at IS NOT NULL")
    elsewhere = {"HEADRACE_HOME": str(deployment.folder / "elsewhere")}
    deployment.eventually(
        lambda: "trouble" in deployment("logs", "last", **elsewhere).out,
        lambda: deployment("logs", "last", **elsewhere).err,
    )
    with deployment.beside("logs", "last", "say", "-f", "--json", **elsewhere) as following:
        assert following.stdout is not None
        first = [json.loads(following.stdout.readline()) for _ in range(2)]
        go.touch()
        rest, errors = following.communicate(timeout=60)
    assert following.returncode == 0, errors
    lines = first + [json.loads(line) for line in rest.splitlines()]
    assert [(line["stream"], line["text"]) for line in lines] == [
        ("stdout", "hello"),
        ("stderr", "trouble"),
        ("stdout", "goodbye"),
    ]
    assert deployment("runs", "show", "last", "--json").document["state"] == "succeeded"
    assert not list((deployment.folder / "home").glob("logs/**/*.jsonl"))


def test_requests_survive_an_engine_that_is_killed_in_the_middle(deployment: Deployment) -> None:
    """faults: every request becomes one run, though the engine that reads them dies twice over."""
    register(deployment, "count", COUNT)
    deployment.team(("e1", "e2"))
    requests = [{"workflow": "count", "params": {"n": n}} for n in range(300)]
    ask(deployment, *requests[:150])
    deployment.until("SELECT count(*) > 20 FROM runs")
    deployment.member("e1").kill()
    ask(deployment, *requests[150:])
    deployment.engine("e3").ready()
    deployment.until("SELECT count(*) > 170 FROM runs")
    deployment.member("e2").kill()
    deployment.until("SELECT count(*) = 300 FROM runs WHERE finished_at IS NOT NULL")
    params = deployment.rows("SELECT params FROM runs")
    assert sorted(json.loads(row["params"])["n"] for row in params) == list(range(300))
    assert deployment.rows("SELECT * FROM poison") == []


def test_what_fails_for_good_and_what_nobody_can_read_is_told_on_job_dlq(deployment: Deployment) -> None:
    register(deployment, "fail", FAIL)
    deployment.team()
    ask(
        deployment,
        {"workflow": "fail", "params": {"path": str(deployment.folder / "never")}},
        {"workflow": "nowhere"},
    )
    told = {message["type"]: message for message in heard(deployment, "job-dlq", 2)}
    letter = told["DeadLetter"]
    assert (letter["workflow"], letter["task"], letter["error"]["kind"]) == ("fail", "break", "RuntimeError")
    assert letter["inputs"] == {"with": {"path": str(deployment.folder / "never")}}
    kept = deployment("dlq", "show", str(letter["id"]), "--json").document
    assert (kept["run"], kept["fingerprint"]) == (letter["run_id"], letter["fingerprint"])
    assert "nowhere" in told["UnreadableMessage"]["reason"]
    listed = deployment("dlq", "list", "--poison", "--json").document["items"]
    assert [item["id"] for item in listed] == [told["UnreadableMessage"]["id"]]


def test_an_engine_without_intake_leaves_requests_to_others(deployment: Deployment) -> None:
    register(deployment, "count", COUNT)
    deployment.engine("e1", "--no-intake").ready()
    deployment.worker("w1").ready()
    ask(deployment, {"workflow": "count", "params": {"n": 1}})
    done = deployment.submit(deployment.plan(COUNT), n=2)
    deployment.wait(done)
    assert deployment.rows("SELECT count(*) AS runs FROM runs")[0]["runs"] == 1
    deployment.engine("e2").ready()
    deployment.until("SELECT count(*) = 2 FROM runs WHERE finished_at IS NOT NULL")
