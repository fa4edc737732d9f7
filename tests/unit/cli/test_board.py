"""The board and the displays on it: what runs, what waits for what, and how far a run is."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest

from headrace.cli.board import Board
from headrace.cli.progress import TALKATIVE, Plain, Stream, bar, summary
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.workflow import Group, Map, Noop, Shell, Task, Workflow


class Moved(NamedTuple):
    at: float
    task: str | None
    before: str
    after: str
    reason: str | None = None
    attempt: int = 1


def task(id: str, *upstream: str, map: Map | None = None) -> Task:
    return Task(id=id, work=Shell(run="true"), depends_on=upstream, map=map)


@pytest.fixture
def sales() -> Plan:
    plan, _ = build_plan(
        Workflow(
            name="sales",
            tasks=(
                task("check", "price"),
                task("extract"),
                task("price", "extract", map=Map(over=[1, 2, 3])),
                task("publish", "check", "review"),
                Task(
                    id="review",
                    work=Group(tasks=(task("read"), task("sign", "read"))),
                    depends_on=("extract",),
                ),
            ),
            finally_=(Task(id="close", work=Noop()),),
        )
    )
    return plan


def lines(board: Board, now: float, most: int = 20) -> list[str]:
    return [line.strip() for line in board.lines(now, most, colour=False)]


def test_progress_counts_tasks_once_and_groups_by_their_members(sales: Plan) -> None:
    board = Board(sales)
    assert summary(board) == "0 of 6 tasks"
    board.apply("extract", "dispatched", 1.0, attempt=1)
    assert summary(board) == "0 of 6 tasks, 1 running"
    board.apply("extract", "succeeded", 2.0, attempt=1)
    board.apply("review", "waiting", 2.0)
    board.apply("price", "waiting", 2.0)
    board.apply("price[0]", "running", 2.0, attempt=1)
    board.apply("price[0]", "succeeded", 3.0, attempt=1)
    assert summary(board) == "1 of 6 tasks"
    assert bar(board, 12) == "━━╌╌╌╌╌╌╌╌╌╌"


def test_it_shows_what_runs_and_what_waits_for_what(sales: Plan) -> None:
    board = Board(sales)
    board.apply("extract", "running", 10.0, attempt=1)
    assert lines(board, 12.5) == [
        "▶ extract  2.5s",
        "· price    waits for extract",
        "· review   waits for extract",
    ]


def test_a_map_is_one_line_with_its_items_counted(sales: Plan) -> None:
    board = Board(sales)
    board.apply("extract", "succeeded", 1.0)
    board.apply("price", "waiting", 1.0)
    for item in range(3):
        board.apply(f"price[{item}]", "dispatched", 1.0, attempt=1)
    board.apply("price[0]", "succeeded", 2.0, attempt=1)
    board.apply("price[1]", "retrying", 2.0, "exit", 1)
    assert lines(board, 3.0) == [
        "▶ price  1 succeeded, 1 dispatched, 1 retrying",
        "· check  waits for price",
    ]
    assert board.running == 1


def test_tasks_of_a_mapped_group_count_as_they_come_up() -> None:
    each = Task(id="each", work=Group(tasks=(task("get"), task("put", "get"))), map=Map(over=[1, 2]))
    plan, _ = build_plan(Workflow(name="w", tasks=(task("a"), each)))
    board = Board(plan)
    board.apply("each.get[0]", "running", 1.0, attempt=1)
    board.apply("each.get[1]", "running", 1.0, attempt=1)
    assert summary(board) == "0 of 3 tasks, 2 running"
    board.apply("each.get[0]", "succeeded", 2.0, attempt=1)
    board.apply("each.put[0]", "running", 2.0, attempt=1)
    assert summary(board) == "1 of 4 tasks, 2 running"
    board.apply("each.get[1]", "failed", 2.0, "exit", 1)
    assert lines(board, 3.0) == ["▶ each.put  1 running"]


def test_retries_and_failures_are_told(sales: Plan) -> None:
    board = Board(sales)
    board.apply("extract", "retrying", 4.0, "timed_out", 2)
    assert lines(board, 5.0)[0] == "↻ extract  attempt 2 failed (timed_out), will try again"
    board.apply("extract", "running", 6.0, attempt=3)
    assert lines(board, 7.0)[0] == "▶ extract  1.0s, attempt 3"
    board.apply("extract", "failed", 8.0, "exit", 3)
    assert lines(board, 9.0) == ["✗ extract  failed (exit)"]


def test_it_never_draws_more_than_there_is_room_for() -> None:
    plan, _ = build_plan(Workflow(name="wide", tasks=tuple(task(f"t{n:03}") for n in range(200))))
    board = Board(plan)
    for n in range(200):
        board.apply(f"t{n:03}", "running", 0.0, attempt=1)
    drawn = lines(board, 1.0, most=10)
    assert len(drawn) <= 11
    assert drawn[-1] == "… and 192 more on their way"


def test_plain_lines_tell_each_step_once(sales: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Plain(Board(sales))
    for change in (
        Moved(1.0, None, "queued", "running"),
        Moved(1.0, "extract", "pending", "dispatched"),
        Moved(1.5, "extract", "dispatched", "running"),
        Moved(3.0, "extract", "running", "retrying", "exit"),
        Moved(4.0, "extract", "retrying", "dispatched", attempt=2),
        Moved(5.0, "extract", "dispatched", "succeeded", attempt=2),
        Moved(5.0, "evil\x1b[2J", "pending", "skipped"),
    ):
        shown.show(change)
    told = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert [" ".join(line.split()) for line in told] == [
        "▶ extract started",
        "↻ extract attempt 1 failed (exit), will try again",
        "✓ extract succeeded, attempt 2 4.0s",
        "↷ evil skipped",
    ]


def test_plain_lines_grow_quiet_but_never_about_failures(capsys: pytest.CaptureFixture[str]) -> None:
    plan, _ = build_plan(Workflow(name="wide", tasks=tuple(task(f"t{n:04}") for n in range(1000))))
    shown = Plain(Board(plan))
    for n in range(1000):
        shown.show(Moved(n / 1000, f"t{n:04}", "dispatched", "failed" if n == 900 else "succeeded"))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == TALKATIVE + 2
    assert told[-2].endswith("of 1000 tasks")
    assert "✗ t0900" in told[-1]


def test_a_stream_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Stream("run-1").show(Moved(0.5, "price[7]", "running", "failed", "timed_out", 3))
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {
        "run": "run-1",
        "at": "1970-01-01T00:00:00.500Z",
        "task": "price[7]",
        "before": "running",
        "after": "failed",
        "reason": "timed_out",
        "attempt": 3,
    }
