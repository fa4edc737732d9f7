"""A cluster is replaced process by process while it works, as an upgrade does it (docs/operations.md)."""

from __future__ import annotations

from collections import Counter

from tests.support.deployment import Deployment

CHAIN = """
workflow: chain
tasks:
  a: {python: bodies:note}
  b: {python: bodies:note, depends_on: a, map: [0, 1, 2]}
  c: {python: bodies:note, depends_on: b}
  d: {python: bodies:note, depends_on: c}
"""
RUNS = 60


def test_every_process_is_replaced_while_runs_go_on(deployment: Deployment) -> None:
    """Engines, then workers, one after the other: nothing is lost, and nothing is done twice, for all of them say goodbye."""
    chain = deployment.plan(CHAIN)
    deployment.team(("e1", "e2"), ("w1", "w2"), slots=4)
    runs = []
    for kind, old, new in (
        ("engine", "e1", "e3"),
        ("engine", "e2", "e4"),
        ("worker", "w1", "w3"),
        ("worker", "w2", "w4"),
    ):
        runs += deployment.submit_all([chain] * RUNS)
        assert deployment("db", "upgrade").status == 0, "safe while all work"
        assert deployment.member(old).terminate() == 0
        started = deployment.engine(new) if kind == "engine" else deployment.worker(new, slots=4)
        started.ready()
    runs += deployment.submit_all([chain] * RUNS)
    deployment.wait(*runs)
    assert {deployment.state(run) for run in runs[:: RUNS // 4]} == {"succeeded"}
    ended = deployment.rows("SELECT state, count(*) AS runs FROM runs GROUP BY state")
    assert [row["runs"] for row in ended] == [5 * RUNS], "all in one state"
    starts = Counter(start.of for start in deployment.starts())
    assert len(starts) == 5 * RUNS * 6
    assert set(starts.values()) == {1}
    assert {start.attempt for start in deployment.starts()} == {1}
    assert deployment("dlq", "list", "--json").document["items"] == []
    deployment.agree(*runs[:: RUNS // 2])
