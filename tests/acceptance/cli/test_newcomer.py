"""The first minutes: init, validate, run, look at the run, break it, mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.cli.conftest import Terminal


@pytest.fixture
def headrace(tmp_path: Path) -> Terminal:
    """Everything from nothing, the interpreter too."""
    return Terminal(tmp_path, cold=True)


def test_from_nothing_to_a_run_and_back_to_its_story(headrace: Terminal) -> None:
    made = headrace("init", "my-flows")
    assert made.status == 0, made.err
    flows = Terminal(headrace.folder / "my-flows", cold=True)
    assert {path.name for path in flows.folder.iterdir()} == {
        "hello.yaml",
        "hello.py",
        "headrace.toml",
        ".headrace",
    }
    assert "headrace run hello.yaml" in made.err

    checked = flows("validate", ".", "--strict", "--json")
    assert checked.status == 0, checked.err
    assert checked.document["valid"]
    assert checked.document["problems"] == checked.document["warnings"] == []

    ran = flows("run", "hello.yaml", "-p", "name=Ada", "--json")
    assert ran.status == 0, ran.err
    run = ran.document
    assert (run["schema"], run["workflow"], run["state"]) == (1, "hello", "succeeded")
    assert run["params"] == {"name": "Ada"}
    assert run["output"] == {"name": "Ada", "files": 3}
    assert [(task["id"], task["state"]) for task in run["tasks"]] == [
        ("greet", "succeeded"),
        ("look", "succeeded"),
    ]

    shown = flows("runs", "show", "last", "--json")
    assert shown.document == run
    lines = flows("logs", "last", "greet")
    assert lines.out.splitlines() == ["Hello, Ada. There are 3 files here."]
    assert flows("replay", "last").status == 0

    python = flows("run", "hello.py", "-p", "text=to be or not to be", "--json")
    assert python.status == 0, python.err
    assert python.document["output"] == 13
    assert [run["workflow"] for run in flows("runs", "list", "--json").document["items"]] == [
        "letters",
        "hello",
    ]


def test_init_overwrites_nothing(headrace: Terminal) -> None:
    headrace.write("hello.py", "mine = True\n")
    refused = headrace("init")
    assert refused.status == 2
    assert "has hello.py already" in refused.err
    assert (headrace.folder / "hello.py").read_text() == "mine = True\n"


def test_home_is_kept_out_of_version_control(headrace: Terminal) -> None:
    headrace.write("w.yaml", "workflow: w\ntasks: {a: {noop: {}}}\n")
    assert headrace("run", "w.yaml").status == 0
    assert (headrace.folder / ".headrace" / ".gitignore").read_text().endswith("*\n")


FAILING = """\
workflow: failing
tasks:
  load:
    shell: |
      for n in $(seq 1 15); do echo "row $n"; done
      test -e mended
  report: {noop: {}, depends_on: load}
  publish: {noop: {}, depends_on: report}
"""


def test_a_failure_tells_its_last_lines_what_it_stopped_and_what_to_type(headrace: Terminal) -> None:
    headrace.write("failing.yaml", FAILING)
    failed = headrace("run", "failing.yaml")
    assert failed.status == 1
    assert failed.out == ""
    told = failed.err
    assert "    | row 15" in told
    assert "    | row 6" in told
    assert "    | row 5\n" not in told
    assert "stopped by it: publish, report" in told
    run = headrace("runs", "show", "last", "--json").document["run"]
    assert f"headrace logs {run[:13]} load" in told
    assert f"headrace runs rerun {run[:13]} --from failed" in told

    Path(headrace.folder / "mended").touch()
    again = headrace("runs", "rerun", run[:13], "--from", "failed", "--json")
    assert again.status == 0, again.err
    assert again.document["state"] == "succeeded"
    assert {task["id"]: task["generation"] for task in again.document["tasks"]}["load"] == 2


def test_a_run_that_failed_goes_on_with_a_mended_version(headrace: Terminal) -> None:
    headrace.write("failing.yaml", FAILING)
    assert headrace("run", "failing.yaml").status == 1
    unknown = headrace("runs", "rerun", "last", "--version", "2")
    assert unknown.status == 2
    assert 'Workflow "failing" has no version 2' in unknown.err
    headrace.write("failing.yaml", FAILING.replace("test -e mended", "true") + "  added: {noop: {}}\n")
    assert headrace("register", "failing.yaml").status == 0
    again = headrace("runs", "rerun", "last", "--version", "latest")
    assert again.status == 0, again.err
    assert "added" in again.err, "it is followed by the graph of the new version"
    run = headrace("runs", "show", "last", "--json").document
    assert (run["state"], run["version"]) == ("succeeded", 2)
    assert {task["id"] for task in run["tasks"]} == {"load", "report", "publish", "added"}
    assert headrace("replay", "last").status == 0


def test_why_names_what_decided(headrace: Terminal) -> None:
    headrace.write("failing.yaml", FAILING)
    headrace("run", "failing.yaml")
    answer = headrace("why", "last", "report")
    assert answer.status == 0, answer.err
    assert "load" in answer.out
    assert "upstream_failed" in answer.out


def test_a_groups_own_failure_fails_the_run_and_is_told(headrace: Terminal) -> None:
    headrace.write(
        "g.yaml",
        """
        workflow: g
        tasks:
          load:
            tasks: {read: {noop: {}}}
            output: "${{ tasks.read.output.rows }}"
          report: {noop: {}, depends_on: load}
        """,
    )
    ran = headrace("run", "g.yaml")
    assert ran.status == 1
    assert "✗ load failed (expression_error)" in ran.err
    assert "headrace why" in ran.err
    assert "rerun" not in ran.err  # nothing to run again failed
    assert "load " in headrace("runs", "show", "last").out
    told = headrace("why", "last", "load")
    assert told.status == 0
    assert told.out.startswith("load  ✗ failed")
    assert "rows" in told.out
    assert headrace("why", "last").out.startswith("load  ✗ failed")


def test_why_knows_a_group(headrace: Terminal) -> None:
    headrace.write("g.yaml", "{workflow: g, tasks: {load: {tasks: {read: {shell: exit 3, retry: 1}}}}}")
    assert headrace("run", "g.yaml").status == 1
    told = headrace("why", "last", "load")
    assert told.status == 0
    assert told.out.startswith("load  ✗ failed")
    assert "load.read" in told.out
