"""Definitions that arrive twice at once, or change below a run."""

from __future__ import annotations

import json
import subprocess

from tests.acceptance.faults.documents import flow
from tests.acceptance.terminal import Terminal, appears
from tests.support import warm


def test_the_same_definition_at_once_is_one_version(headrace: Terminal) -> None:
    """faults 13: two processes, the first use of the home included; both get the same answer."""
    headrace.write("w.yaml", flow("  a: {noop: {}}\n"))
    for _ in range(2):
        both = [
            warm.Popen[str](
                headrace.command("register", "w.yaml", "--json"),
                cwd=headrace.folder,
                env=headrace.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        answers = [process.communicate() for process in both]
        assert [process.returncode for process in both] == [0, 0], answers
        (first, second) = (json.loads(out) for out, _ in answers)
        assert first == second
        assert first["registered"][0]["version"] == 1
    shown = headrace("workflows", "show", "w", "--json").document
    assert [version["version"] for version in shown["versions"]] == [1]


def test_two_definitions_at_once_are_two_versions(headrace: Terminal) -> None:
    """faults 13"""
    texts = [flow(f"  a: {{noop: {{}}}}\n  b{n}: {{noop: {{}}}}\n") for n in range(3)]
    processes = []
    for number, text in enumerate(texts):
        headrace.write(f"w{number}.yaml", text)
        processes.append(
            warm.Popen[str](
                headrace.command("register", f"w{number}.yaml", "--json"),
                cwd=headrace.folder,
                env=headrace.environment(),
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    versions = [json.loads(process.communicate()[0])["registered"][0] for process in processes]
    assert sorted(version["version"] for version in versions) == [1, 2, 3]
    assert len({version["plan"] for version in versions}) == 3


BEFORE = flow("  a: {shell: 'touch started; until test -e go; do sleep 0.02; done'}\n"
              "  b: {shell: 'echo old', depends_on: a}\n")  # fmt: skip
AFTER = flow("  a: {noop: {}}\n  c: {shell: 'echo new', depends_on: a}\n")


def test_a_live_run_keeps_its_version(headrace: Terminal) -> None:
    """faults 14: the file changes and a new version is registered while a run of the old one is under way."""
    headrace.write("w.yaml", BEFORE)
    assert headrace("register", "w.yaml").status == 0
    with headrace.watching("w.yaml") as live:
        appears(headrace.folder / "started", live)
        headrace.write("w.yaml", AFTER)
        newer = headrace("register", "w.yaml", "--json").document["registered"][0]
        assert newer["version"] == 2
        (headrace.folder / "go").touch()
        assert live.status == 0, live.err
    old = headrace.last().document
    assert (old["version"], [task["id"] for task in old["tasks"]]) == (1, ["a", "b"])
    assert old["plan"] != newer["plan"]
    new = headrace("trigger", "w", "--wait", "--json")
    assert (new.document["version"], set(new.states)) == (2, {"a", "c"})
    again = headrace("runs", "rerun", old["run"], "--from", "b", "--json")
    assert (again.document["version"], set(again.states)) == (1, {"a", "b"})
    assert headrace("replay", old["run"]).status == 0


def test_a_cut_off_run_goes_on_with_its_version(headrace: Terminal) -> None:
    """faults 14: what is resumed is the stored plan, not the file of today."""
    headrace.write("w.yaml", BEFORE)
    with headrace.watching("w.yaml") as live:
        appears(headrace.folder / "started", live)
        live.kill()
    headrace.write("w.yaml", AFTER)
    (headrace.folder / "go").touch()
    done = headrace("run", "--resume", "--json")
    assert done.status == 0, done.err
    assert done.states == {"a": "succeeded", "b": "succeeded"}
