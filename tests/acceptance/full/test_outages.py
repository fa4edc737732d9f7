"""The servers die, stand still and come back in the middle of everything: no run is lost, nothing is decided twice.

faults 17, 18, 33, 36, 47. What belongs to one adapter alone is in its contract tests; docs/design/faults.md has the whole list.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest

from headrace.engine.ports.store import RunRow
from tests.support.deployment import Deployment, opened
from tests.support.servers import BreakableServers

FLOW = """
workflow: flow
defaults: {retry: 1}
tasks:
  a: {python: bodies:nap, with: {seconds: 0.05}}
  b: {python: bodies:nap, with: {seconds: 0.05}, depends_on: a, map: [0, 1, 2]}
  c: {python: bodies:nap, with: {seconds: 0.05}, depends_on: b}
"""
RUNS = 150
ENDED = "SELECT count(*) >= $2 FROM runs WHERE no = ANY($1) AND finished_at IS NOT NULL"


_TEAM = pytest.StashKey[Deployment]()


@pytest.fixture
def team(
    breakable_lab: BreakableServers, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    """Two engines and two workers, who live through all the tests."""
    module = request.node.getparent(pytest.Module)
    if _TEAM not in module.stash:
        stack = ExitStack()
        module.addfinalizer(stack.close)
        made = module.stash[_TEAM] = stack.enter_context(
            opened(
                breakable_lab,
                tmp_path_factory.mktemp("outages"),
                settings={"HEADRACE_REDIS_URL": breakable_lab.redis_url},
            )
        )
        made.team(("e1", "e2"), ("w1", "w2"))
    shared: Deployment = module.stash[_TEAM]
    shared.settled()
    return shared


def begun(team: Deployment) -> list[RunRow]:
    """Runs of which some have ended."""
    runs = team.submit_all([team.plan(FLOW)] * RUNS)
    team.until(ENDED, [run.no for run in runs], RUNS // 10)
    assert unfinished(team)
    return runs


def all_ended_once(team: Deployment, runs: list[RunRow]) -> None:
    """Every task run succeeded in its first attempt, was begun once, and is what history says."""
    team.wait(*runs, within=120)
    numbers = [run.no for run in runs]
    assert team.rows("SELECT DISTINCT state FROM runs WHERE no = ANY($1)", numbers) == [(6,)]
    attempts = "SELECT DISTINCT attempt FROM task_runs WHERE worker IS NOT NULL AND run = ANY($1)"
    assert team.rows(attempts, numbers) == [(1,)]
    asked = {run.id for run in runs}
    calls = Counter(start.of for start in team.starts() if start.run in asked)
    assert len(calls) == 5 * len(runs)
    assert {of: count for of, count in calls.items() if count > 1} == {}
    assert all(member.lives for member in team.members)
    team.agree(*runs[::10])


def unfinished(team: Deployment) -> int:
    return int(team.rows("SELECT count(*) AS runs FROM runs WHERE finished_at IS NULL")[0]["runs"])


def test_kafka_is_killed_and_comes_back(team: Deployment, breakable_lab: BreakableServers) -> None:
    """faults 17: in the middle of sending. Nothing runs twice, for what was sent again is known to the worker."""
    runs = begun(team)
    breakable_lab.kill("kafka")
    breakable_lab.restart("kafka")
    all_ended_once(team, runs)


def test_while_kafka_is_away_runs_are_accepted_and_wait(
    team: Deployment, breakable_lab: BreakableServers
) -> None:
    """faults 18: everything goes on by itself once it is back."""
    breakable_lab.stop("kafka")
    file = team.write("flow.yaml", FLOW)
    assert team("register", str(file)).status == 0
    asked = team("trigger", "flow", "--json")
    assert asked.status == 0, asked.err
    runs = team.submit_all([team.plan(FLOW)] * RUNS)
    assert unfinished(team) == RUNS + 1
    breakable_lab.restart("kafka")
    team.until("SELECT finished_at IS NOT NULL FROM runs WHERE id = $1", asked.document["run"])
    all_ended_once(team, runs)


def test_postgres_is_killed_and_comes_back(team: Deployment, breakable_lab: BreakableServers) -> None:
    """faults 33, 34: in the middle of commits whose outcome nobody was told."""
    runs = begun(team)
    breakable_lab.kill("postgres")
    team.reconnect()
    breakable_lab.restart("postgres")
    all_ended_once(team, runs)


def test_postgres_ends_every_connection(team: Deployment) -> None:
    """faults 34: again and again."""
    runs = begun(team)
    numbers, others = [run.no for run in runs], "pid <> pg_backend_pid() AND datname = current_database()"
    for tenth in range(2, 8):
        team.rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        team.reconnect()
        team.until(ENDED, numbers, tenth * RUNS // 10)
    all_ended_once(team, runs)


@pytest.mark.parametrize("name", ["kafka", "postgres"])
def test_a_server_that_stands_still(team: Deployment, breakable_lab: BreakableServers, name: str) -> None:
    """It takes connections and answers nothing for a while; no lease ends meanwhile."""
    runs = begun(team)
    with breakable_lab.paused(name):
        team.still(5.0)
    all_ended_once(team, runs)


def test_valkey_is_killed(team: Deployment, breakable_lab: BreakableServers) -> None:
    """faults 47: nothing correct rests on it, and nobody ends for want of it."""
    runs = begun(team)
    breakable_lab.kill("valkey")
    all_ended_once(team, runs)
    asked = team("runs", "show", runs[0].id, "--json")
    assert (asked.status, asked.document["state"]) == (0, "succeeded"), asked.err


def test_an_engine_that_stood_still_finds_its_parts_taken(team: Deployment) -> None:
    """faults 23, 24, 48: it changes nothing when it goes on, and takes its share again."""
    runs = begun(team)
    with team.member("e1").stopped():
        team.until("SELECT bool_and(owner = 'e2') FROM parts")
    all_ended_once(team, runs)
    team.settled()
