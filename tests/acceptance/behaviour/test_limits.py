"""Timeouts of every kind, the deadline, tolerance at its edge, the cache, and outputs of a megabyte."""

from __future__ import annotations

import pytest

from tests.acceptance.terminal import Terminal

TIMEOUTS = {
    "attempt": (
        "  late: {shell: 'echo x >> tries; sleep 600', timeout: 300ms, retry: {attempts: 2, delay: 0s}}\n",
        "late",
        2,
    ),
    "total": (
        "  late: {shell: 'echo x >> tries; exit 1', timeouts: {total: 700ms}, "
        "retry: {attempts: 1000, delay: 100ms, factor: 1, jitter: none}}\n",
        "late",
        None,
    ),
    "total_of_one": (
        "  late: {shell: 'sleep 600', timeouts: {total: 300ms}, retry: 5}\n",
        "late",
        1,
    ),
}


@pytest.mark.parametrize("kind", TIMEOUTS)
def test_a_timeout_ends_the_task_with_its_reason(kind: str, headrace: Terminal) -> None:
    tasks, name, attempts = TIMEOUTS[kind]
    headrace.write("w.yaml", f"workflow: w\ntasks:\n{tasks}  after: {{noop: {{}}, depends_on: {name}}}\n")
    done = headrace("run", "w.yaml", "--json")
    assert done.status == 1
    task = done.tasks[name]
    assert (task["state"], task["reason"]) == ("failed", "timed_out")
    assert done.states["after"] == "upstream_failed"
    if attempts is not None:
        assert task["attempts"] == attempts
    else:
        assert 1 < task["attempts"] < 20
    assert headrace("replay", "last").status == 0


def test_waiting_for_a_place_too_long(headrace: Terminal) -> None:
    """`queue` counts from ready to started: with one slot that is taken, the second task gives up unstarted."""
    headrace.write(
        "w.yaml",
        "workflow: w\ntasks:\n"
        "  busy: {shell: 'until test -e over; do sleep 0.02; done', priority: high}\n"
        "  late: {shell: 'touch ran', timeouts: {queue: 300ms}, depends_on: start}\n"
        "  start: {noop: {}}\n",
    )
    with headrace.watching("w.yaml", "--slots", "1") as live:
        live.until("late", "failed")  # which it is when the worker has let go of it
        (headrace.folder / "over").touch()
        assert live.status == 1, live.err
    task = headrace.last().tasks["late"]
    assert (task["state"], task["reason"], task["started_at"]) == ("failed", "timed_out", None)
    assert not (headrace.folder / "ran").exists()
    assert headrace.last().states["busy"] == "succeeded"


def test_what_runs_past_its_total_is_over_before_its_handler_begins(headrace: Terminal) -> None:
    headrace.write(
        "w.yaml",
        "workflow: w\ntasks:\n"
        "  slow:\n    shell: 'echo $$ > pid; while true; do sleep 0.02; done'\n    timeouts: {total: 1s}\n"
        "  undo:\n    shell: 'kill -0 $(cat pid) && touch beside || touch after'\n"
        "    depends_on: slow\n    trigger_rule: one_failed\n",
    )
    done = headrace("run", "w.yaml", "--json")
    assert done.states == {"slow": "failed", "undo": "succeeded"}
    assert (headrace.folder / "after").exists()
    assert not (headrace.folder / "beside").exists()
    (letter,) = headrace("dlq", "list", "--json").document["items"]
    assert letter["task"] == "slow"
    assert headrace("replay", "last").status == 0


def test_the_deadline_cancels_and_fails_the_run(headrace: Terminal) -> None:
    """What runs is stopped, teardowns and `finally` still run, the reason is kept."""
    headrace.write(
        "w.yaml",
        "workflow: w\ndeadline: 800ms\ntasks:\n  setup: {noop: {}}\n"
        "  slow: {shell: 'sleep 600', depends_on: setup}\n  after: {noop: {}, depends_on: slow}\n"
        "  undo: {shell: 'touch undone', teardown_of: [setup]}\nfinally: {close: {shell: 'touch closed'}}\n",
    )
    done = headrace("run", "w.yaml", "--json")
    assert done.status == 1
    assert (done.document["state"], done.document["reason"]) == ("failed", "deadline")
    assert (done.states["slow"], done.states["after"]) == ("cancelled", "cancelled")
    assert (headrace.folder / "undone").exists()
    assert (headrace.folder / "closed").exists()
    assert headrace("replay", "last").status == 0


@pytest.mark.parametrize(
    ("trap", "grace", "state"), [("'touch said; exit 0'", "30s", "polite"), ("''", "300ms", "killed")]
)
def test_the_grace_between_asking_and_killing(trap: str, grace: str, state: str, headrace: Terminal) -> None:
    """A task that ends itself when asked is not killed; one that does not is, as soon as the grace is over."""
    headrace.write(
        "w.yaml",
        f"workflow: w\ntasks:\n  a:\n    retry: 1\n    timeouts: {{attempt: 500ms, grace: {grace}}}\n    shell: |\n"
        f"      trap {trap} TERM\n      while true; do sleep 0.02; done\n",
    )
    done = headrace.measured("run", "w.yaml", "--json")
    assert (done.tasks["a"]["state"], done.tasks["a"]["reason"]) == ("failed", "timed_out")
    assert (headrace.folder / "said").exists() == (state == "polite")
    assert done.seconds < 25


TOLERANT = """\
workflow: w
tasks:
  each:
    shell: test $N -ge FAILING; echo $N
    env: {N: "${{ item }}"}
    map: [0, 1, 2, 3]
    tolerate: TOLERATE
    retry: 1
  after: {noop: {}, depends_on: each}
output: "${{ tasks.each.output }}"
"""


@pytest.mark.parametrize(
    ("tolerate", "failing", "status"),
    [("1", 1, 0), ("1", 2, 1), ("50%", 2, 0), ("50%", 3, 1), ("49%", 2, 1), ("0", 1, 1), ("100%", 4, 0)],
)
def test_tolerance_at_its_edge(tolerate: str, failing: int, status: int, headrace: Terminal) -> None:
    """Four items: as many failures as are tolerated count as success, one more and all of them count."""
    headrace.write(
        "w.yaml",
        TOLERANT.replace("FAILING", str(failing)).replace("TOLERATE", tolerate),
    )
    done = headrace("run", "w.yaml", "--json")
    assert done.status == status, done.err
    assert [done.states[f"each[{n}]"] for n in range(4)] == ["failed"] * failing + ["succeeded"] * (
        4 - failing
    )
    assert done.states["after"] == ("succeeded" if status == 0 else "upstream_failed")
    wanted = [None] * failing + list(range(failing, 4))
    assert done.document["output"] == (wanted if status == 0 else None), "of a task that failed there is none"


def test_a_cache_hit_runs_nothing(headrace: Terminal) -> None:
    headrace.write(
        "w.yaml",
        "workflow: w\nparams: {n: {type: integer}}\ntasks:\n"
        "  a: {shell: 'echo ran >> effects; echo $N', env: {N: '${{ params.n }}'}, cache: {ttl: 1h}}\n"
        "  b: {shell: 'echo $GOT', env: {GOT: '${{ tasks.a.output }}'}}\noutput: '${{ tasks.b.output }}'\n",
    )
    first = headrace("run", "w.yaml", "-p", "n=7", "--json")
    again = headrace("run", "w.yaml", "-p", "n=7", "--json")
    other = headrace("run", "w.yaml", "-p", "n=8", "--json")
    assert first.status == again.status == other.status == 0, again.err
    assert (first.tasks["a"]["reason"], again.tasks["a"]["reason"], other.tasks["a"]["reason"]) == (
        None,
        "cached",
        None,
    )
    assert (again.tasks["a"]["state"], again.tasks["a"]["attempts"]) == ("succeeded", 0)
    assert [run.document["output"] for run in (first, again, other)] == [7, 7, 8]
    assert (headrace.folder / "effects").read_text() == "ran\nran\n"
    assert headrace("replay", "last").status == 0


def test_an_output_of_a_megabyte_and_a_log_of_a_megabyte(headrace: Terminal) -> None:
    headrace.write(
        "w.yaml",
        "workflow: w\ntasks:\n"
        "  loud: {shell: 'head -c 1048576 /dev/zero | tr \"\\\\0\" x | fold -w 1023'}\n"
        '  big: {shell: \'printf "\\"%1048574s\\"" x > "$HEADRACE_OUTPUT"\'}\n'
        "  size: {noop: {}, when: size(tasks.big.output) == 1048574}\noutput: '${{ tasks.big.output }}'\n",
    )
    done = headrace("run", "w.yaml", "--json")
    assert done.status == 0, done.err
    assert done.states["size"] == "succeeded"
    assert len(done.document["output"]) == 1_048_574
    assert headrace("logs", "last", "loud").out.replace("\n", "") == "x" * (1 << 20)
