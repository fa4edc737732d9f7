"""Runs whose process was killed: who leaves them alone, who goes on with them, and who says that nobody does.

faults 56, 57
"""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.acceptance.cli.conftest import Terminal
from tests.acceptance.terminal import appears

WORK = """\
workflow: work
tasks:
  first: {shell: "touch started; test -f go || sleep 60"}
  second: {shell: "true", depends_on: first}
finally:
  close: {shell: "touch closed"}
"""
QUICK = "workflow: quick\ntasks: {only: {shell: 'true'}}\n"


@pytest.fixture
def cut_off(headrace: Terminal) -> Terminal:
    """A home with one run, killed while its first task ran; should it run again it ends at once."""
    headrace.write("work.yaml", WORK)
    headrace.write("quick.yaml", QUICK)
    _kill_when_started(headrace)
    headrace.write("go", "")
    return headrace


def _kill_when_started(headrace: Terminal, *commands: str, key: str | None = None) -> None:
    process = headrace.start("run", "work.yaml", *(("--key", key) if key else ()))
    appears(headrace.folder / "started")
    for command in commands:
        assert headrace("runs", command, "last").status == 0
    process.send_signal(signal.SIGKILL)
    process.communicate()


def states(headrace: Terminal) -> dict[str, Any]:
    return {item["workflow"]: item["state"] for item in headrace("runs", "list", "--json").document["items"]}


def test_another_run_leaves_it_alone_and_says_so(cut_off: Terminal) -> None:
    ran = cut_off("run", "quick.yaml")
    assert ran.status == 0
    assert "headrace run --resume" in ran.err
    assert states(cut_off) == {"quick": "succeeded", "work": "running"}
    tasks = cut_off("runs", "list", "--json").document["items"]
    shown = cut_off("runs", "show", tasks[1]["run"], "--json").document
    assert [(task["id"], task["attempts"]) for task in shown["tasks"] if task["attempts"]] == [("first", 1)]


def test_a_run_with_its_key_is_it_and_goes_on_with_it(headrace: Terminal) -> None:
    headrace.write("work.yaml", WORK)
    _kill_when_started(headrace, key="monday")
    headrace.write("go", "")
    assert headrace("run", "work.yaml", "--key", "monday").status == 0
    assert [item["state"] for item in headrace("runs", "list", "--json").document["items"]] == ["succeeded"]


def test_waiting_for_it_does_not_wait_for_ever(cut_off: Terminal) -> None:
    waited = cut_off("runs", "wait", "last")
    assert waited.status == 3
    assert "headrace run --resume" in waited.err


def test_cancelling_it_runs_its_handlers_to_the_end(cut_off: Terminal) -> None:
    assert cut_off("runs", "cancel", "last").status == 0
    assert states(cut_off) == {"work": "cancelled"}
    assert (cut_off.folder / "closed").exists()


def test_resuming_a_home_with_a_paused_run_says_how_to_go_on(headrace: Terminal) -> None:
    headrace.write("work.yaml", WORK)
    _kill_when_started(headrace, "pause")
    headrace.write("go", "")
    resumed = headrace("run", "--resume")
    assert resumed.status == 0
    assert "headrace runs resume" in resumed.err
    assert states(headrace) == {"work": "paused"}
    assert headrace("runs", "resume", "last").status == 0
    assert states(headrace) == {"work": "succeeded"}


def test_a_run_started_from_elsewhere_is_not_cut_off_by_the_end_of_the_first(headrace: Terminal) -> None:
    headrace.write("work.yaml", WORK)
    headrace.write(
        "late.yaml", "workflow: late\ntasks: {only: {shell: 'while ! test -f let; do sleep 0.05; done'}}\n"
    )
    assert headrace("register", "late.yaml").status == 0
    first = headrace.start("run", "work.yaml")
    appears(headrace.folder / "started")
    assert headrace("trigger", "late").status == 0
    assert (
        headrace("runs", "cancel", headrace("runs", "list", "--json").document["items"][1]["run"]).status == 0
    )
    assert first.poll() is None
    headrace.write("let", "")
    _, told = first.communicate(timeout=60)
    assert "late" in told
    assert states(headrace) == {"late": "succeeded", "work": "cancelled"}
