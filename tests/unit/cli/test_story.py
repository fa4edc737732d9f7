"""How a run's end and a task's reasons are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.api.showing.reasons import sentence, sentences
from headrace.cli.documents import run_document
from headrace.cli.local import seen
from headrace.cli.local_lines import LocalLines
from headrace.cli.story import tell
from headrace.engine.artifacts import FileLogs
from headrace.engine.core.keys import Key, child
from headrace.engine.core.machine.explaining import Blocker, Explanation
from headrace.engine.core.planning import build_plan
from headrace.engine.core.states import RunState
from headrace.engine.core.workflow import Map, Noop, Shell, Task, Workflow
from headrace.engine.ports.messages import Log
from headrace.engine.ports.store import RunRow
from headrace.engine.shell.views import RunView, TaskView

RUN = "0198c7d2-1f3a-7000-8000-000000000001"
PLAN, _ = build_plan(
    Workflow(
        name="sales",
        tasks=(
            Task(id="extract", work=Noop()),
            Task(id="price", work=Shell(run="true"), depends_on=("extract",), map=Map(over=[1, 2, 3])),
            Task(id="publish", work=Noop(), depends_on=("price",), when="params.go"),
        ),
        params={"go": {"type": "boolean"}},
    )
)


def row(state: RunState = RunState.FAILED, **changed: Any) -> RunRow:
    fields: dict[str, Any] = dict.fromkeys(RunRow._fields)
    fields |= {
        "no": 1,
        "id": RUN,
        "workflow": "sales",
        "version": 3,
        "plan": PLAN.hash,
        "state": int(state),
        "generation": 1,
        "paused": False,
        "params": b'{"go": true}',
        "trigger": b'{"kind": "manual"}',
        "created_at": 1.0,
        "started_at": 2.0,
        "finished_at": 14.3,
    }
    return RunRow(**(fields | changed))


def task(name: str, state: str, path: int = 0, **changed: Any) -> TaskView:
    fields: dict[str, Any] = {
        "id": name,
        "map": path,
        "map_path": (),
        "map_index": None,
        "kind": "shell",
        "state": state,
        "reason": None,
        "attempts": 1,
        "generation": 1,
        "started_at": None,
        "finished_at": None,
        "error": None,
        "child_run": None,
    }
    if path:
        index = (path >> 42) - 1
        fields |= {"map_path": (index,), "map_index": index}
    return TaskView(**(fields | changed))


def failed() -> RunView:
    error = {"kind": "exit", "message": "exit status 3\x1b[2J"}
    return RunView(
        row(reason="tasks_failed"),
        PLAN,
        (
            task("extract", "succeeded"),
            task("price", "succeeded", child(0, 0, 0)),
            task("price", "failed", child(0, 1, 0), reason="exit", attempts=2, error=error),
            task("price", "succeeded", child(0, 2, 0)),
            task("publish", "upstream_failed", attempts=0, reason="trigger_rule"),
        ),
    )


def lines(logs: FileLogs) -> LocalLines:
    """Those of a home with these logs; nobody asks for more."""
    return LocalLines(None, None, lambda: logs)  # type: ignore[arg-type]


@pytest.fixture
def logs(tmp_path: Path) -> FileLogs:
    files = FileLogs(tmp_path / "logs")
    path = child(0, 1, 0)
    files.write([Log(RUN, "price", path, 1, 1, 1.0, "stdout", "the first attempt")])
    files.write([Log(RUN, "price", path, 1, 2, 2.0, "stdout", f"row {n}\x1b[31m") for n in range(12)])
    return files


async def test_a_failure_in_full(logs: FileLogs, capsys: pytest.CaptureFixture[str]) -> None:
    await tell(seen(failed()), lines(logs))
    logs.close()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"✗ failed (tasks_failed)  sales  run {RUN}  12.3s",
        "",
        "✗ price[1] failed (exit) after 2 attempts",
        "    exit: exit status 3",
        *[f"    | row {n}" for n in range(2, 12)],
        "",
        "stopped by it: publish",
        "",
        "  headrace logs 0198c7d2-1f3a 'price[1]'",
        "  headrace runs rerun 0198c7d2-1f3a --from failed",
    ]


async def test_a_success_tells_its_output(logs: FileLogs, capsys: pytest.CaptureFixture[str]) -> None:
    view = RunView(row(RunState.SUCCEEDED, output=b'{"rows":3}'), PLAN, (task("extract", "succeeded"),))
    await tell(seen(view), lines(logs))
    logs.close()
    assert capsys.readouterr().err.splitlines() == [
        f"✓ succeeded  sales  run {RUN}  12.3s",
        'output: {"rows":3}',
    ]


def test_the_object_for_programs_has_exactly_these_keys_in_this_order() -> None:
    document = run_document(seen(failed()))
    assert list(document) == [
        "schema",
        "run",
        "workflow",
        "version",
        "plan",
        "state",
        "reason",
        "params",
        "trigger",
        "created_at",
        "started_at",
        "finished_at",
        "duration_seconds",
        "output",
        "tasks",
    ]
    assert document["schema"] == 1
    assert document["duration_seconds"] == 12.3
    assert document["tasks"][2] == {
        "id": "price",
        "map_index": 1,
        "map_path": [1],
        "kind": "shell",
        "state": "failed",
        "reason": "exit",
        "attempts": 2,
        "generation": 1,
        "started_at": None,
        "finished_at": None,
        "duration_seconds": None,
        "error": {"kind": "exit", "message": "exit status 3\x1b[2J"},
        "child_run": None,
    }


def test_a_paused_run_says_paused() -> None:
    view = RunView(row(RunState.RUNNING, paused=True), PLAN, ())
    assert run_document(seen(view))["state"] == "paused"
    assert run_document(seen(RunView(row(RunState.FAILED, paused=True), PLAN, ())))["state"] == "failed"


@pytest.mark.parametrize(
    ("blocker", "words"),
    [
        (Blocker("upstream", {"id": "a", "state": "running", "counts": {}}), "waits for a, which is running"),
        (
            Blocker("upstream", {"id": "p", "state": "waiting", "counts": {"succeeded": 2, "unfinished": 5}}),
            "waits for p, which is waiting (2 succeeded, 5 unfinished)",
        ),
        (Blocker("group", {"group": "g", "upstream": ["a", "b"]}), "its group g waits for a, b"),
        (Blocker("map_window", {"max_parallel": 2, "running": 2}), "2 items run, and max_parallel is 2"),
        (
            Blocker("line", {"queue": "gpu", "labels": {"arch": "arm"}}),
            "ready: it waits in line for a worker on queue gpu, arch=arm",
        ),
        (
            Blocker("retry", {"attempt": 2, "of": 5, "due_at": 60.0}),
            "attempt 2 of 5 failed; the next one is due at 1970-01-01T00:01:00.000Z",
        ),
        (
            Blocker(
                "no_worker",
                {"lacking": "draining", "queue": "gpu", "labels": {}, "kind": "shell", "others": 1},
            ),
            "ready, but the only worker that could take it is draining: headrace worker --queues gpu",
        ),
        (
            Blocker(
                "no_worker",
                {"lacking": "draining", "queue": "gpu", "labels": {}, "kind": "shell", "others": 2},
            ),
            "ready, but the 2 workers that could take it are draining: headrace worker --queues gpu",
        ),
        (Blocker("child", {"run": "x"}), "waits for its child, run x"),
        (
            Blocker("running", {"worker": "w1", "attempt": 1, "started_at": None}),
            "attempt 1 is with worker w1",
        ),
        (Blocker("new_code", {"what": 1}), "new_code what=1"),
    ],
    ids=lambda value: value.code if isinstance(value, Blocker) else "",
)
def test_a_blocker_in_words(blocker: Blocker, words: str) -> None:
    assert sentence(blocker) == words


def test_what_decided_comes_before_what_it_came_from() -> None:
    upstream = Blocker(
        "upstream", {"id": "price", "state": "failed", "counts": {"succeeded": 2, "failed": 1}}
    )
    explanation = Explanation(Key(2), "skipped", "final", (), (upstream,))
    told = sentences(task("publish", "skipped", reason="when", by="ada"), explanation, "params.go")
    assert list(told) == [
        "its condition was false: params.go",
        "skipped by ada",
        "price is failed (2 succeeded, 1 failed)",
    ]


def test_a_task_in_a_map_that_has_not_expanded() -> None:
    assert list(sentences(task("price", "pending"), None, None)) == ["its map has not expanded"]
