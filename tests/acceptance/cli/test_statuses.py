"""Exit statuses and the promise that stdout holds data alone."""

from __future__ import annotations

import json
import signal

import pytest

from tests.acceptance.cli.conftest import Terminal
from tests.acceptance.terminal import appears

SLOW = """\
workflow: slow
tasks:
  work: {shell: "touch started; sleep 60"}
  after: {noop: {}, depends_on: work}
finally:
  close: {shell: "touch closed"}
"""


def test_an_invalid_file_prints_what_validate_prints(headrace: Terminal) -> None:
    headrace.write(
        "w.yaml", "workflow: w\ntasks:\n  load: {noop: {}, depends_on: transfrom}\n  transform: {noop: {}}\n"
    )
    checked, ran = headrace("validate", "w.yaml", "--json"), headrace("run", "w.yaml", "--json")
    assert checked.status == ran.status == 2
    assert checked.document == ran.document
    (problem,) = ran.document["problems"]
    assert problem["code"] == "unknown_dependency"
    assert (problem["file"], problem["line"], problem["task"]) == ("w.yaml", 3, "load")
    assert "transform" in problem["hint"]


def test_a_feature_that_is_not_there_yet_is_refused_and_only_warned_about(headrace: Terminal) -> None:
    headrace.write("w.yaml", "workflow: w\ntasks:\n  ask: {container: {image: busybox}}\n")
    checked = headrace("validate", "w.yaml", "--json")
    assert checked.status == 0
    assert [warning["code"] for warning in checked.document["warnings"]] == ["not_supported_yet"]
    assert headrace("validate", "w.yaml", "--strict").status == 2
    for words in (("run", "w.yaml"), ("register", "w.yaml")):
        refused = headrace(*words)
        assert refused.status == 2
        assert "w.yaml:3" in refused.err


def test_stdin_is_a_file_too(headrace: Terminal) -> None:
    assert headrace("validate", "-", stdin="workflow: w\ntasks: {a: {noop: {}}}\n").status == 0
    wrong = headrace("validate", "-", "--json", stdin="workflow: w\ntasks: {a: {noop: {}, depends_on: b}}\n")
    assert wrong.status == 2
    assert wrong.document["problems"][0]["line"] == 2


def test_missing_parameters_are_listed_with_the_command(headrace: Terminal) -> None:
    headrace.write(
        "w.yaml",
        "workflow: w\nparams:\n  day: {type: string, format: date}\n  n: {type: integer}\ntasks: {a: {noop: {}}}\n",
    )
    asked = headrace("run", "w.yaml")
    assert asked.status == 2
    assert "Say: headrace run w.yaml -p day=… -p n=…" in asked.err
    wrong = headrace("run", "w.yaml", "-p", "day=soon", "-p", "n=1", "-p", "m=2")
    assert wrong.status == 2
    assert "day" in wrong.err
    assert '"m"' in wrong.err
    assert (
        not (headrace.folder / ".headrace" / "headrace.db").exists()
        or not headrace("runs", "list", "--json").document["items"]
    )


def test_a_store_that_cannot_be_used_has_status_3(headrace: Terminal) -> None:
    headrace.write(".headrace/headrace.db", "this is no database, but long enough to look like one" * 100)
    headrace.write("w.yaml", "workflow: w\ntasks: {a: {noop: {}}}\n")
    for words in (("run", "w.yaml"), ("runs", "list"), ("db", "check")):
        refused = headrace(*words)
        assert refused.status == 3, refused.err
        assert "Traceback" not in refused.err
        assert refused.out == ""


def test_ctrl_c_cancels_with_finally_and_a_second_one_is_not_needed(headrace: Terminal) -> None:
    headrace.write("slow.yaml", SLOW)
    process = headrace.start("run", "slow.yaml", "--json")
    appears(headrace.folder / "started")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    run = json.loads(out)
    assert run["state"] == "cancelled"
    assert (headrace.folder / "closed").exists()
    assert {task["id"]: task["state"] for task in run["tasks"]}["after"] == "cancelled"


def test_events_are_one_a_line(headrace: Terminal) -> None:
    headrace.write("w.yaml", "workflow: w\ntasks: {a: {noop: {}}, b: {shell: 'true', depends_on: a}}\n")
    done = headrace("run", "w.yaml", "--json", "--watch")
    assert done.status == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    ends = [event["task"] for event in events if event["after"] == "succeeded"]
    assert ends == ["a", "b", None]


@pytest.mark.parametrize(
    "words", [("runs", "show", "last"), ("logs", "last"), ("why", "last"), ("dlq", "list")]
)
def test_looking_before_anything_ran_says_so(words: tuple[str, ...], headrace: Terminal) -> None:
    refused = headrace(*words)
    assert refused.status == 2
    assert "nothing in .headrace yet" in refused.err
    assert not (headrace.folder / ".headrace").exists()


def test_registered_workflows_have_versions_and_are_triggered_by_name(headrace: Terminal) -> None:
    text = "workflow: w\nparams: {n: {type: integer, default: 1}}\ntasks: {a: {shell: 'echo $N', env: {N: '${{ params.n }}'}}}\n"
    headrace.write("w.yaml", text)
    first = headrace("register", "w.yaml", "--json")
    assert first.document["registered"][0]["version"] == 1, first.err
    assert headrace("register", "w.yaml", "--json").document == first.document
    headrace.write("w.yaml", text.replace("echo", "echo got"))
    assert headrace("register", "w.yaml", "--json").document["registered"][0]["version"] == 2
    changed = headrace("workflows", "diff", "w")
    assert "-" in changed.out
    assert "echo got" in changed.out

    ran = headrace("trigger", "w", "-p", "n=7", "--version", "1", "--wait", "--json")
    assert ran.status == 0, ran.err
    assert (ran.document["version"], ran.document["params"]) == (1, {"n": 7})
    assert headrace("logs", "last", "a").out == "7\n"
    unknown = headrace("trigger", "v")
    assert unknown.status == 2
    assert 'Did you mean "w"?' in unknown.err or "register" in unknown.err


def test_an_embedded_run_takes_tasks_of_every_queue_and_label(headrace: Terminal) -> None:
    headrace.write("w.yaml", "workflow: w\ntasks:\n  gpu: {shell: echo, queue: gpu, labels: {zone: a}}\n")
    assert headrace("run", "w.yaml").status == 0
