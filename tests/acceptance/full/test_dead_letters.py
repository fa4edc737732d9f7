"""Dead letters of a cluster: requeued from a terminal that decides nothing, begun again by whichever engine owns the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployment import Deployment, opened
from tests.support.servers import Servers

FRAGILE = """
workflow: fragile
params: {go: {type: string}}
defaults: {retry: {attempts: 1}}
tasks:
  work: {python: bodies:fail, with: {path: "${{ params.go }}"}}
  after: {python: bodies:note, depends_on: work}
"""
RUNS = 6


@pytest.fixture(scope="module")
def cluster(lab: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with opened(lab, tmp_path_factory.mktemp("letters")) as made:
        made.team(("e1", "e2"), ("w1",))
        yield made


def test_runs_of_several_engines_are_begun_again_behind_a_canary(cluster: Deployment, tmp_path: Path) -> None:
    go = tmp_path / "go"
    plan = cluster.plan(FRAGILE)
    runs = [cluster.submit(plan, go=str(go)) for _ in range(RUNS)]
    assert len({run.part for run in runs}) > 1, "all runs lie in one part"
    cluster.wait(*runs)
    [group] = cluster("dlq", "group", "--workflow", "fragile", "--json").document["items"]
    assert (group["count"], group["open"]) == (RUNS, RUNS)

    kept = cluster("dlq", "requeue", "--fingerprint", group["fingerprint"], "--json")
    assert (kept.status, kept.document["canary"], kept.document["kept_back"]) == (1, "failed", RUNS - 1)

    go.touch()
    done = cluster("dlq", "requeue", "--fingerprint", group["fingerprint"], "--json")
    assert (done.status, done.document["canary"]) == (0, "succeeded"), done.err
    assert len(done.document["requeued"]) == RUNS
    cluster.wait(*runs)
    assert {cluster.state(run) for run in runs} == {"succeeded"}
    cluster.agree(*runs)
    assert cluster("dlq", "list", "--json").document["items"] == []
    handled = cluster("dlq", "list", "--state", "requeued", "--json").document["items"]
    assert len(handled) == RUNS + 1
