"""Names that would lead out of the folder they belong in."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.acceptance.faults.documents import flow
from tests.acceptance.terminal import Terminal, refused

LOGGING = flow("  a: {shell: 'echo inside'}\n  dots..: {shell: 'echo dots'}\n")
BIG = "def big():\n    return 'x' * 400_000\n"


def test_logs_are_asked_for_by_ids_that_lead_nowhere_else(headrace: Terminal) -> None:
    """faults 71: of a run and of a task; what is not theirs is not found."""
    headrace.write("w.yaml", LOGGING)
    done = headrace("run", "w.yaml", "--json")
    assert done.status == 0, done.err
    headrace.write(".headrace/logs/outside.jsonl", '["x",1,1]\n')
    headrace.write("secret.jsonl", '["x",1,1]\n')
    for run in ("../..", "/etc/passwd", "%2e%2e", "last/../.."):
        refused(headrace("logs", run), "")
    for task in ("../a", "/etc/passwd", "a%2f..%2f..", "a[../1]"):
        refused(headrace("logs", "last", task), "")
    assert headrace("logs", "last", "a").out == "inside\n"
    assert headrace("logs", "last", "dots..").out == "dots\n", "an id may end in dots and stays a name"
    for path in (headrace.home / "logs").rglob("*.jsonl"):
        assert path.resolve().is_relative_to(headrace.home / "logs")


def test_a_symlink_in_the_logs_is_not_followed(headrace: Terminal) -> None:
    """faults 71: neither a file nor a folder that a task has put there."""
    headrace.write("w.yaml", LOGGING)
    assert headrace("run", "w.yaml").status == 0
    written = headrace("logs", "last", "a").out
    assert written == "inside\n"
    outside = headrace.write("outside", "")
    for file in list((headrace.home / "logs").rglob("*.jsonl")):
        outside.write_bytes(file.read_bytes().replace(b"inside", b"stolen"))
        file.unlink()
        file.symlink_to(outside)
    found = headrace("logs", "last", "a")
    assert "stolen" not in found.out
    assert "Traceback" not in found.err


def test_a_log_is_not_written_through_a_symlink(headrace: Terminal) -> None:
    """faults 71: a first attempt prepares a link where the second one's log would go."""
    headrace.write("target", "untouched\n")
    headrace.write(
        "w.yaml",
        flow(
            "  a:\n    retry: {attempts: 2, delay: 0s}\n    shell: |\n"
            '      test "$HEADRACE_ATTEMPT" = 1 || { echo written; exit 0; }\n'
            "      echo first\n"
            "      for f in .headrace/logs/*/*; do ln -s \"$PWD/target\" \"$f/$HEADRACE_MAP_PATH.1.2.jsonl\"; done\n"
            "      for f in .headrace/logs/*/*; do ln -s \"$PWD/target\" \"$f/0.1.2.jsonl\"; done\n"
            "      exit 1\n"
        ),
    )  # fmt: skip
    headrace("run", "w.yaml")
    assert (headrace.folder / "target").read_text() == "untouched\n"


def test_an_artifact_is_named_by_its_digest_alone(headrace: Terminal) -> None:
    """faults 71: the stored path of a large value is not believed, nor a link in its place."""
    headrace.write("bodies.py", BIG)
    headrace.write("w.yaml", flow("  a: {python: 'bodies:big'}\noutput: '${{ tasks.a.output }}'\n"))
    done = headrace("run", "w.yaml", "--json")
    assert done.status == 0, done.err
    kept = [path for path in (headrace.home / "artifacts").rglob("*") if path.is_file()]
    assert kept, "a value of this size is an artifact"
    secret = headrace.write("secret", '"stolen"')
    for path in kept:
        assert path.resolve().is_relative_to(headrace.home / "artifacts")
        path.unlink()
        path.symlink_to(secret)
    shown = headrace("runs", "rerun", "last", "--from", "a", "--json")
    assert "stolen" not in shown.out + shown.err
    with closing(sqlite3.connect(headrace.database)) as connection:
        rows = connection.execute("SELECT artifact FROM task_runs WHERE artifact IS NOT NULL").fetchall()
    assert all(b".." not in artifact for (artifact,) in rows)


def test_a_workflow_or_a_module_named_by_a_path_is_refused(headrace: Terminal) -> None:
    """faults 71: names are names."""
    Path(headrace.folder / "sub").mkdir()
    headrace.write("outside.py", "def f():\n    return 1\n")
    for text in (
        "workflow: ../w\ntasks: {a: {noop: {}}}\n",
        flow("  a: {python: '../outside:f'}\n"),
        flow("  a: {python: '/etc/x:f'}\n"),
        flow("  a: {workflow: ../w}\n"),
        flow("  a: {noop: {}, queue: ../q}\n"),
    ):
        headrace.write("sub/w.yaml", text)
        refused(headrace("run", "sub/w.yaml"), "sub/w.yaml:")
    assert headrace.runs() == []
