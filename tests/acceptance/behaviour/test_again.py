"""Runs that are done again: from what failed, from a task, and after their process was killed."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.acceptance.terminal import Terminal, appears, processes_with
from tests.support.waiting import gone

ECHO = """\
workflow: w
tasks:
  a: {shell: 'echo a >> effects; echo 1'}
  b: {shell: 'echo b >> effects; test -e mended; echo 2', depends_on: a, retry: 1}
  c: {shell: 'echo c >> effects', env: {X: '${{ tasks.b.output }}'}}
  d: {shell: 'echo d >> effects', depends_on: a}
"""


def effects(headrace: Terminal) -> Counter[str]:
    return Counter((headrace.folder / "effects").read_text().split())


def test_rerun_from_failed_makes_a_second_generation_of_what_failed_alone(headrace: Terminal) -> None:
    headrace.write("w.yaml", ECHO)
    first = headrace("run", "w.yaml", "--json")
    assert first.status == 1
    assert first.states == {"a": "succeeded", "b": "failed", "c": "upstream_failed", "d": "succeeded"}
    headrace.write("mended", "")
    again = headrace("runs", "rerun", "last", "--json")
    assert again.status == 0, again.err
    assert again.document["run"] == first.document["run"]
    assert {name: task["generation"] for name, task in again.tasks.items() if name in "bc"} == {
        "b": 2,
        "c": 2,
    }
    assert effects(headrace) == {"a": 1, "b": 2, "c": 1, "d": 1}
    assert headrace("replay", "last").status == 0


def test_rerun_from_a_task_keeps_the_first_generation(headrace: Terminal) -> None:
    headrace.write("mended", "")
    headrace.write("w.yaml", ECHO)
    assert headrace("run", "w.yaml").status == 0
    again = headrace("runs", "rerun", "last", "--from", "b", "--json")
    assert again.status == 0, again.err
    assert effects(headrace) == {"a": 1, "b": 2, "c": 2, "d": 1}
    third = headrace("runs", "rerun", "last", "--from", "a", "--json")
    assert {task["generation"] for task in third.document["tasks"]} == {3}
    assert effects(headrace) == {"a": 2, "b": 3, "c": 3, "d": 2}
    logs = {path.name for path in (headrace.home / "logs").rglob("b/*.jsonl")}
    assert logs == {"0.1.1.jsonl", "0.2.1.jsonl", "0.3.1.jsonl"}
    unknown = headrace("runs", "rerun", "last", "--from", "bb")
    assert unknown.status == 2
    assert '"b"' in unknown.err
    assert headrace("replay", "last").status == 0


CUT = """\
workflow: w
tasks:
  before: {shell: 'echo before >> effects'}
  each:
    shell: |
      echo "each$HEADRACE_MAP_INDEX" >> effects
      test "$HEADRACE_MAP_INDEX" -lt 2 || until test -e go; do sleep 0.02; done
      echo "end$HEADRACE_MAP_INDEX" >> effects
      echo "$HEADRACE_MAP_INDEX"
    map: [0, 1, 2, 3]
    depends_on: before
  gathered: {shell: 'echo "gathered $ALL" >> results', env: {ALL: '${{ tasks.each.output }}'}}
"""


@pytest.mark.parametrize("moment", ["before", "each", "each_ended"])
def test_a_killed_run_is_taken_up_where_it_was(moment: str, headrace: Terminal) -> None:
    """kill -9 of the whole process: nothing that had succeeded runs again, nothing is left behind, history replays."""
    headrace.write("w.yaml", CUT)
    mark = f"ACCEPTANCE_MARK={headrace.folder}"
    with headrace.started("run", "w.yaml", "--json", "--watch", env=dict([mark.split("=", 1)])) as live:
        if moment == "before":
            live.until("before", "dispatched")
        elif moment == "each":
            live.until("each[3]", "dispatched")
        else:
            live.until("each[1]", "succeeded")
        live.kill()
    succeeded = [
        event["task"] for event in live.seen if event["after"] == "succeeded" and event["task"] is not None
    ]
    told = {name.replace("[", "").replace("]", "") for name in succeeded}
    (headrace.folder / "go").touch()
    done = headrace("run", "--resume", "--json")
    assert done.status == 0, done.err
    assert set(done.states.values()) == {"succeeded"}
    counted = effects(headrace)
    assert {name: counted[name] for name in told} == dict.fromkeys(told, 1)
    assert all(counted[f"end{index}"] >= 1 for index in range(4))
    assert (headrace.folder / "results").read_text() == "gathered [0,1,2,3]\n"
    assert gone(*processes_with(mark)), "a child process is left"
    assert headrace("replay", "last").status == 0
    nothing = headrace("run", "--resume")
    assert nothing.status == 0
    assert "nothing to go on with" in nothing.err


def test_no_process_outlives_a_killed_run(headrace: Terminal) -> None:
    """Also when nobody resumes it: what its tasks have started ends with it."""
    headrace = Terminal(headrace.folder, cold=True)  # processes are known by the environment they began with
    headrace.write(
        "w.yaml",
        "workflow: w\ntasks:\n  a:\n    shell: |\n      (trap '' TERM HUP; while true; do sleep 0.05; done) &\n"
        "      touch started\n      wait\n",
    )
    mark = f"ACCEPTANCE_MARK={headrace.folder}"
    with headrace.started("run", "w.yaml", "--json", "--watch", env=dict([mark.split("=", 1)])) as live:
        appears(headrace.folder / "started", live)
        left = processes_with(mark)
        assert len(left) >= 3
        live.kill()
        assert gone(*left), "a process is left"
        assert not processes_with(mark)


def test_a_command_to_a_run_without_owner_decides_and_leaves(headrace: Terminal) -> None:
    """The run's process is dead: a second terminal cancels it all the same, by being its owner for that long."""
    headrace.write(
        "w.yaml",
        "workflow: w\ntasks: {a: {shell: 'touch started; sleep 600'}, b: {noop: {}, depends_on: a}}\n"
        "finally: {close: {shell: 'touch closed'}}\n",
    )
    with headrace.watching("w.yaml") as live:
        appears(headrace.folder / "started", live)
        live.kill()
    cancelled = headrace("runs", "cancel", "last")
    assert cancelled.status == 0, cancelled.err
    done = headrace.last()
    assert done.document["state"] == "cancelled"
    assert done.states == {"a": "cancelled", "b": "cancelled", "close": "succeeded"}
    assert (headrace.folder / "closed").exists()
    assert headrace("replay", "last").status == 0
