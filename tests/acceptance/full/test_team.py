"""Engines that share the work, and come, go and die in the middle of it (faults 23, 56, 57)."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.deployment import Deployment

RUNS = 1_000
DIAMOND = """
workflow: diamond
defaults: {retry: 1}
tasks:
  a: {python: bodies:nap, with: {seconds: 0.2}}
  b: {python: bodies:nap, with: {seconds: 0.2}, depends_on: a}
  c: {python: bodies:nap, with: {seconds: 0.2}, depends_on: a}
  d: {python: bodies:nap, with: {seconds: 0.2}, depends_on: [b, c]}
"""
WATCH = """
CREATE TABLE fences (xid bigint, part integer, epoch bigint, seq bigint, backend integer);
CREATE FUNCTION fenced() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF new.seq <> old.seq THEN
    INSERT INTO fences VALUES (txid_current(), new.part, new.epoch, new.seq, pg_backend_pid());
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER fenced AFTER UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION fenced();
CREATE TABLE written (xid bigint, run bigint, epoch bigint);
CREATE FUNCTION wrote() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO written VALUES (txid_current(), new.run, new.epoch);
  RETURN NULL;
END $$;
CREATE TRIGGER wrote AFTER INSERT OR UPDATE ON task_runs FOR EACH ROW EXECUTE FUNCTION wrote();
"""
"""Keeps a record of every fence that was passed and every task run that was written, by transaction."""


@pytest.fixture
def watched(deployment: Deployment) -> Deployment:
    deployment.execute(WATCH)
    return deployment


def every_write_was_fenced(deployment: Deployment) -> None:
    """I8: who writes a task run passes the fence of its part in the same transaction, with the epoch of that time; the parts'
    counters have no gap, and each epoch is one process's."""
    stray = """
        SELECT w.* FROM written w JOIN runs r ON r.no = w.run
        LEFT JOIN fences f ON f.xid = w.xid AND f.part = r.part WHERE f.epoch IS NULL OR w.epoch > f.epoch
    """
    assert deployment.rows(stray) == []
    gaps = "SELECT part FROM fences GROUP BY part HAVING count(*) <> max(seq) - min(seq) + 1"
    assert deployment.rows(gaps) == []
    shared = "SELECT part, epoch FROM fences GROUP BY part, epoch HAVING count(DISTINCT backend) > 1"
    assert deployment.rows(shared) == []


def test_engines_join_and_die_in_the_middle_of_a_thousand_runs(watched: Deployment) -> None:
    """All end; nothing is done twice, for the workers live on; no engine writes after its part is another's."""
    runs = watched.submit_all([watched.plan(DIAMOND)] * RUNS)
    watched.team(("e1", "e2"), ("w1", "w2", "w3"))
    watched.settled()
    watched.engine("e3").ready()
    watched.settled()
    assert live(watched)
    watched.member("e2").kill()
    left = live(watched)
    assert left > RUNS // 10
    watched.wait(*runs)
    watched.settled()
    assert {row["owner"] for row in watched.rows("SELECT owner FROM parts")} == {"e1", "e3"}

    states = watched.rows("SELECT state, count(*) AS runs FROM runs GROUP BY state")
    assert [(row["state"], row["runs"]) for row in states] == [(6, RUNS)]
    tasks = watched.rows("SELECT count(*) AS tasks, max(attempt) AS attempts FROM task_runs")
    assert [tuple(row) for row in tasks] == [(4 * RUNS, 1)]
    calls = Counter(start.of for start in watched.starts())
    assert len(calls) == 4 * RUNS
    assert {of: count for of, count in calls.items() if count > 1} == {}
    every_write_was_fenced(watched)
    watched.agree(*runs[::10])


def live(deployment: Deployment) -> int:
    """How many runs have not ended."""
    return int(deployment.rows("SELECT count(*) AS runs FROM runs WHERE finished_at IS NULL")[0]["runs"])
