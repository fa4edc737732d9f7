"""How a run's end and a task's reasons are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.cli.documents import run_document
from headrace.cli.reasons import blockers, upstreams, verdict
from headrace.cli.story import tell
from headrace.engine.artifacts import FileLogs
from headrace.engine.core.keys import child
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


@pytest.fixture
def logs(tmp_path: Path) -> FileLogs:
    files = FileLogs(tmp_path / "logs")
    path = child(0, 1, 0)
    files.write([Log(RUN, "price", path, 1, 1, 1.0, "stdout", "the first attempt")])
    files.write([Log(RUN, "price", path, 1, 2, 2.0, "stdout", f"row {n}\x1b[31m") for n in range(12)])
    return files


async def test_a_failure_in_full(logs: FileLogs, capsys: pytest.CaptureFixture[str]) -> None:
    await tell(failed(), logs)
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
    await tell(view, logs)
    logs.close()
    assert capsys.readouterr().err.splitlines() == [
        f"✓ succeeded  sales  run {RUN}  12.3s",
        'output: {"rows":3}',
    ]


def test_the_object_for_programs_has_exactly_these_keys_in_this_order() -> None:
    document = run_document(failed())
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
    assert run_document(view)["state"] == "paused"
    assert run_document(RunView(row(RunState.FAILED, paused=True), PLAN, ()))["state"] == "failed"


def test_upstreams_are_counted_over_their_items() -> None:
    view = failed()
    (price,) = upstreams(view, view.tasks[-1])
    assert (price.id, price.state, price.final) == ("price", "failed", True)
    assert price.tally() == " (2 succeeded, 1 failed)"


@pytest.mark.parametrize(
    ("about", "run", "code", "words"),
    [
        (
            task("publish", "upstream_failed", reason="trigger_rule"),
            row(),
            "upstream",
            "price is failed (2 succ",
        ),
        (task("publish", "skipped", reason="when"), row(), "when", "params.go"),
        (task("publish", "cancelled", reason="asked", by="ada"), row(), "asked", "by ada"),
        (task("publish", "queued"), row(RunState.RUNNING), "pool", "a limit"),
        (
            task("publish", "retrying", due_at=60.0),
            row(RunState.RUNNING),
            "retry",
            "due at 1970-01-01T00:01:00",
        ),
        (task("publish", "waiting", child_run="x"), row(RunState.RUNNING), "child", "run x"),
        (
            task("publish", "running", worker="w1"),
            row(RunState.RUNNING),
            "running",
            "attempt 1 is with worker w1",
        ),
        (task("extract", "pending"), row(RunState.QUEUED), "run_queued", "has not begun"),
        (task("extract", "pending"), row(RunState.RUNNING), "line", "waits in line"),
        (task("extract", "pending"), row(RunState.RUNNING, paused=True), "paused", "runs resume"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_reasons(about: TaskView, run: RunRow, code: str, words: str) -> None:
    view = RunView(run, PLAN, failed().tasks)
    (first, message), *_ = blockers(view, about)
    assert first == code
    assert words in message


def test_a_pending_task_names_every_open_upstream() -> None:
    view = RunView(row(RunState.RUNNING), PLAN, (task("extract", "running"), task("price", "pending")))
    assert list(blockers(view, view.tasks[1])) == [("upstream", "waits for extract, which is running")]
    assert [verdict(one) for one in view.tasks] == ["ready", "waiting"]
