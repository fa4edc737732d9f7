"""Where the parts of a Python workflow stand, and how a workflow function is built and called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.dsl.python import (
    BuildError,
    finally_,
    group,
    noop,
    run,
    switch,
    task,
    workflow,
)

FILE = __file__


@task
def first(x: int) -> int:
    """Gives it back.

    Always.
    """
    return x


@task
async def second(x: int) -> int:
    return x


@group
def inner(x: int) -> int:
    return first.options(id="in.ner")(x)


@group
def outer(x: int) -> int:
    inner(x)
    return second(x)


@workflow(triggers=[{"cron": "@daily", "params": {"x": run.id}}], name="places")
def flow(x: int = 1) -> None:
    outer.map([x])
    outer.options(id="a.b")(x)
    with finally_():
        noop(id="end")


def _line(text: str) -> int:
    [found] = [n for n, line in enumerate(Path(FILE).read_text().splitlines(), 1) if line.strip() == text]
    return found


@pytest.mark.parametrize(
    ("path", "task_id", "line"),
    [
        (("tasks", "outer", "map"), None, "outer.map([x])"),
        (("tasks", "outer", "tasks", "inner"), None, "inner(x)"),
        (
            ("tasks", "outer", "tasks", "inner", "tasks", "in.ner", "with", "x"),
            None,
            'return first.options(id="in.ner")(x)',
        ),
        (("tasks", "outer", "tasks", "second", "python"), None, "return second(x)"),
        (("finally", "end"), None, 'noop(id="end")'),
        ((), "a.b", 'outer.options(id="a.b")(x)'),
        ((), "a.b.inner.in.ner", 'return first.options(id="in.ner")(x)'),
        (
            ("triggers", 0, "cron"),
            None,
            '@workflow(triggers=[{"cron": "@daily", "params": {"x": run.id}}], name="places")',
        ),
        (
            ("tasks", "missing"),
            "nowhere",
            '@workflow(triggers=[{"cron": "@daily", "params": {"x": run.id}}], name="places")',
        ),
    ],
)
def test_problems_find_their_line(path: tuple[str | int, ...], task_id: str | None, line: str) -> None:
    trace, _ = flow.traced()
    place = trace.locate(path, task_id)
    assert place is not None
    assert (place.file, place.line) == (FILE, _line(line))


def test_a_workflow_function_says_what_it_is() -> None:
    assert flow.name == "places"
    assert flow.file == FILE
    assert flow.fn.__name__ == "flow"
    functions = flow.functions()
    assert {name.partition(":")[2]: function for name, function in functions.items()} == {
        "first": first.fn,
        "second": second.fn,
    }
    assert flow.document()["triggers"] == [{"cron": "@daily", "params": {"x": "${{ run.id }}"}}]
    assert (
        flow.document()["tasks"]["outer"]["tasks"]["inner"]["tasks"]["in.ner"]["description"]
        == "Gives it back."
    )


def test_a_script_that_is_run_names_its_functions_by_its_file(tmp_path: Path) -> None:
    script = tmp_path / "nightly.py"
    script.write_text(
        "from headrace.dsl.python import *\n"
        "@task\ndef work(): ...\n"
        "@workflow\ndef flow(): work()\n"
        "if __name__ == '__main__':\n    print(flow.document()['tasks']['work']['python'])\n"
    )
    for command in ([str(script)], ["-m", "nightly"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "nightly:work"


def test_a_switch_must_be_open() -> None:
    @workflow
    def unopened() -> None:
        with switch(id="s").default():
            noop()

    @workflow
    def closed() -> None:
        with switch(id="s") as s:
            pass
        with s.default():
            noop()

    for wrong in (unopened, closed):
        with pytest.raises(BuildError, match="a switch is used that is not open"):
            wrong.document()


def test_a_workflow_inside_a_function_is_fine_as_long_as_its_tasks_are_not() -> None:
    @workflow
    def local() -> int:
        return first(3)

    assert local.document()["output"] == "${{ tasks.first.output }}"


def test_run_runs_it_here_and_gives_the_output(tmp_path: Path) -> None:
    script = tmp_path / "sums.py"
    script.write_text(
        "from headrace.dsl.python import *\n"
        "@task\ndef add(n: int) -> int:\n    return n + 1\n"
        "@task\nasync def total(numbers: list[int]) -> int:\n    return sum(numbers)\n"
        "@workflow\ndef flow(n: int, m: int = 5) -> int:\n    return total(add.map([n, m]))\n"
        "if __name__ == '__main__':\n    print(flow.run(3), flow.run(n=0, m=0))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["10", "2"]
