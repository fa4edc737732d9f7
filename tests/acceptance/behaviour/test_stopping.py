"""Cancelling, pausing, and what is left of a run: processes, teardowns, states."""

from __future__ import annotations

import signal
import time

from tests.acceptance.terminal import Terminal, alive, appears, eventually

CHILDREN = """\
workflow: w
tasks:
  work:
    timeouts: {grace: 500ms}
    shell: |
      trap '' TERM
      bash -c 'trap "" TERM; echo $$ > grandchild; while true; do sleep 0.05; done' &
      echo $$ > child
      wait
      while true; do sleep 0.05; done
  after: {noop: {}, depends_on: work}
"""


def test_cancel_reaches_the_children_of_children(headrace: Terminal) -> None:
    """What ignores SIGTERM is killed after the grace, with everything that it has started."""
    headrace.write("w.yaml", CHILDREN)
    with headrace.watching("w.yaml") as live:
        appears(headrace.folder / "grandchild", live)
        eventually((headrace.folder / "grandchild").read_text, "no number")
        pids = [int((headrace.folder / name).read_text()) for name in ("child", "grandchild")]
        assert all(map(alive, pids))
        asked = headrace("runs", "cancel", "last", "--reason", "not today")
        assert asked.status == 0, asked.err
        assert live.status == 1
        assert not any(map(alive, pids))
    done = headrace.last()
    assert done.document["state"] == "cancelled"
    assert done.states == {"work": "cancelled", "after": "cancelled"}
    again = headrace("runs", "cancel", "last")
    assert again.status == 2
    assert "has ended: cancelled" in again.err
    assert headrace("replay", "last").status == 0


def test_kill_runs_nothing_more(headrace: Terminal) -> None:
    headrace.write(
        "w.yaml",
        "workflow: w\ntasks:\n  work: {shell: 'echo $$ > child; trap \"\" TERM; while true; do sleep 0.05; done'}\n"
        "  undo: {shell: 'touch undone', teardown_of: [work]}\nfinally: {close: {shell: 'touch closed'}}\n",
    )
    with headrace.watching("w.yaml") as live:
        appears(headrace.folder / "child", live)
        assert headrace("runs", "kill", "last").status == 0
        assert live.status == 1
        assert not alive(int((headrace.folder / "child").read_text()))
    assert set(headrace.last().states.values()) == {"cancelled"}
    assert not (headrace.folder / "undone").exists()
    assert not (headrace.folder / "closed").exists()


FAMILY = {
    "w.yaml": "workflow: w\ntasks: {mid: {workflow: middle}, after: {noop: {}, depends_on: mid}}\n",
    "middle.yaml": "workflow: middle\ntasks: {low: {workflow: low}, nap: {sleep: 1h}}\n",
    "low.yaml": "workflow: low\ntasks:\n  work:\n    timeouts: {grace: 10m}\n"
    "    shell: 'trap \"\" TERM; echo $$ > part; mv part child; while true; do sleep 0.05; done'\n"
    "finally: {close: {shell: 'touch closed'}}\n",
}


def test_a_second_ctrl_c_kills_children_of_children_at_once(headrace: Terminal) -> None:
    """However long a grace they have: it was the first one's."""
    for name, text in FAMILY.items():
        headrace.write(name, text)
    with headrace.watching("w.yaml") as live:
        appears(headrace.folder / "child", live)
        live.process.send_signal(signal.SIGINT)
        live.until(None, "cancelling")
        live.process.send_signal(signal.SIGINT)
        asked_at = time.monotonic()
        assert live.status == 130, live.err
        assert time.monotonic() - asked_at < 8, "it waited for what it was to kill"
        assert not alive(int((headrace.folder / "child").read_text()))
    assert [(run["workflow"], run["state"]) for run in headrace.runs()] == [
        ("low", "cancelled"),
        ("middle", "cancelled"),
        ("w", "cancelled"),
    ]
    assert not (headrace.folder / "closed").exists()


TORN_DOWN = """\
workflow: w
tasks:
  setup: {shell: 'touch set_up'}
  work: {shell: 'touch started; sleep 600', depends_on: setup}
  more: {noop: {}, depends_on: work}
  teardown: {shell: 'test -e set_up && touch torn_down', teardown_of: [setup]}
  never: {shell: 'touch wrong', teardown_of: [more]}
finally:
  close: {shell: 'echo "$STATE" > closed', env: {STATE: '${{ run.state }}'}}
"""


def test_teardowns_and_finally_run_after_cancel(headrace: Terminal) -> None:
    """A teardown whose setup has succeeded runs, one whose setup never ran does not."""
    headrace.write("w.yaml", TORN_DOWN)
    with headrace.watching("w.yaml") as live:
        appears(headrace.folder / "started", live)
        assert headrace("runs", "cancel", "last").status == 0
        assert live.status == 1, live.err
    assert (headrace.folder / "torn_down").exists()
    assert not (headrace.folder / "wrong").exists()
    assert (headrace.folder / "closed").read_text() == "cancelled\n"
    states = headrace.last().states
    assert (states["setup"], states["teardown"], states["close"]) == ("succeeded",) * 3
    assert (states["work"], states["more"], states["never"]) == ("cancelled",) * 3


PAUSED = """\
workflow: w
tasks:
  first: {shell: 'touch started; until test -e go; do sleep 0.02; done'}
  second: {shell: 'touch second', depends_on: first}
"""


def test_pause_and_resume_from_a_second_terminal(headrace: Terminal) -> None:
    """What runs goes on to its end; nothing more starts until the run is resumed. `why` says so."""
    headrace.write("w.yaml", PAUSED)
    with headrace.watching("w.yaml") as live:
        appears(headrace.folder / "started", live)
        assert headrace("runs", "pause", "last").status == 0
        (headrace.folder / "go").touch()
        live.until("first", "succeeded")
        assert headrace.runs()[0]["state"] == "paused"
        why = headrace("why", "last", "second")
        assert "paused" in why.out + why.err
        assert not (headrace.folder / "second").exists()
        resumed = headrace("runs", "resume", "last", "--json")
        assert resumed.status == 0, resumed.err
        assert live.status == 0, live.err
    assert (headrace.folder / "second").exists()
    assert headrace.last().document["state"] == "succeeded"
    assert headrace("replay", "last").status == 0


def test_control_is_noticed_at_once(headrace: Terminal) -> None:
    """A second terminal's command, its own start included, costs less than a poll by the second would."""
    headrace.write("w.yaml", "workflow: w\ntasks: {a: {shell: 'touch started; sleep 600'}}\n")
    with headrace.watching("w.yaml") as live:
        appears(headrace.folder / "started", live)
        looking = headrace.measured("runs", "show", "last")
        cancelling = headrace.measured("runs", "cancel", "last")
        assert live.status == 1
    assert looking.status == cancelling.status == 0
    assert cancelling.seconds < 2 * looking.seconds + 1.5


def test_one_task_is_skipped_or_succeeded_by_hand(headrace: Terminal) -> None:
    headrace.write(
        "w.yaml",
        "workflow: w\ntasks:\n  a: {shell: 'touch a; sleep 600'}\n  b: {shell: 'touch b; sleep 600', depends_on: a}\n"
        "  c: {shell: 'test \"$X\" = 7', env: {X: '${{ tasks.a.output }}'}, depends_on: b, "
        "trigger_rule: none_failed}\n",
    )
    with headrace.watching("w.yaml") as live:
        appears(headrace.folder / "a", live)
        assert (
            headrace("tasks", "succeed", "last", "a", "--output", "7", "--reason", "done by hand").status == 0
        )
        appears(headrace.folder / "b", live)
        assert headrace("tasks", "skip", "last", "b").status == 0
        assert live.status == 0, live.err
    assert headrace.last().states == {"a": "succeeded", "b": "skipped", "c": "succeeded"}
    assert headrace("replay", "last").status == 0
