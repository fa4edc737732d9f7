"""Every example, in both spellings and on both stores: one plan, the right results, and a history that replays."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.dsl.source import load, plan
from tests.acceptance.examples.cases import CASES, WORKFLOWS, Case, Ended, Services, archived
from tests.acceptance.examples.command import Home


def run(case: Case, spelling: str, home: Home, services: Services) -> Ended:
    """Run one case to its end and check all that must be true of it."""
    out = home.folder.parent / "out"
    done = home(*case.words(spelling, out, services), "--json")
    assert done.status == (0 if case.state == "succeeded" else 1), done.err
    ended = Ended(done.document, out, services)
    assert ended.run["state"] == case.state
    if case.name == "month_end":
        assert archived(out) == ["all.csv", "basel.csv", "graz.csv", "turin.csv"]
    case.check(ended)
    case.uninterrupted(ended)
    assert home("replay", ended.run["run"]).status == 0
    assert home.left_alive() == set()
    return ended


@pytest.mark.parametrize("spelling", ["yaml", "python"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_on_sqlite(case: Case, spelling: str, home: Home, services: Services) -> None:
    run(case, spelling, home, services)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_on_postgresql(case: Case, postgres_home: Home, services: Services) -> None:
    run(case, "python", postgres_home, services)  # the plan is the same, so the other file's run is too
    assert not (postgres_home.folder / "headrace.db").exists()


@pytest.mark.parametrize("yaml", sorted(WORKFLOWS.rglob("*.yaml")), ids=lambda file: file.stem)
def test_both_spellings_are_one_plan(yaml: Path) -> None:
    [written] = load(str(yaml))
    [flow] = yaml.parent.glob("*_flow.py")
    [built] = load(str(flow), yaml.stem)
    assert plan(written).plan.hash == plan(built).plan.hash


def test_every_file_is_valid_without_a_warning(home: Home) -> None:
    checked = home("validate", str(WORKFLOWS), "--strict", "--json")
    assert checked.status == 0, checked.err + checked.out
    assert checked.document["problems"] == checked.document["warnings"] == []


def test_every_yaml_file_is_a_case() -> None:
    run_here = {Path(case.folder, case.yaml) for case in CASES}
    children = {Path("family/close_branch.yaml"), Path("family/archive.yaml")}
    assert {file.relative_to(WORKFLOWS) for file in WORKFLOWS.rglob("*.yaml")} == run_here | children
