"""A cluster whose Redis is killed, paused and flushed: runs go on, and whoever looks is answered (faults 47, 49)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.support.deployment import Deployment, opened
from tests.support.servers import BreakableServers, Servers
from tests.support.waiting import PATIENCE

CHAIN = """
workflow: chain
params: {folder: {type: string}}
tasks:
  a: {python: bodies:until, with: {path: "${{ params.folder }}/a"}}
  b: {python: bodies:until, with: {path: "${{ params.folder }}/b"}, depends_on: a}
  c: {python: bodies:until, with: {path: "${{ params.folder }}/c"}, depends_on: b}
"""
MOVES = [(task, after) for task in ("a", "b", "c") for after in ("dispatched", "running", "succeeded")]


@pytest.fixture
def cluster(lab: Servers, breakable_lab: BreakableServers, tmp_path: Path) -> Iterator[Deployment]:
    """A cluster with a Redis of its own."""
    with opened(lab, tmp_path, settings={"HEADRACE_REDIS_URL": breakable_lab.redis_url}) as made:
        made.write("chain.yaml", CHAIN)
        assert made("register", str(made.app / "chain.yaml")).status == 0
        made.team()
        yield made


def begin(cluster: Deployment) -> str:
    """Start the chain; its run's id."""
    done = cluster("trigger", "chain", "-p", f"folder={cluster.folder}", "--json")
    assert done.status == 0, done.err
    run: str = done.document["run"]
    return run


def reached(cluster: Deployment, task: str) -> None:
    cluster.eventually(
        lambda: any(start.task == task for start in cluster.starts()), f"{task} has not started"
    )


def let(cluster: Deployment, task: str) -> None:
    (cluster.folder / task).touch()


def status(cluster: Deployment, run: str) -> dict[str, Any]:
    done = cluster("runs", "show", run, "--status", "--json")
    assert done.status == 0, done.err
    found: dict[str, Any] = done.document
    return found


def ended(watching: subprocess.Popen[str]) -> list[tuple[str, str]]:
    """What a `runs watch --json` told of the tasks."""
    out, err = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 0, err
    told = [json.loads(line) for line in out.splitlines()]
    return [(each["task"], each["after"]) for each in told if each["task"] is not None]


def test_redis_answers_while_it_is_there_and_is_not_missed_while_it_is_not(
    cluster: Deployment, breakable_lab: BreakableServers
) -> None:
    """faults 47"""
    run = begin(cluster)
    reached(cluster, "a")
    server = Redis.from_url(breakable_lab.redis_url)
    cluster.eventually(lambda: server.exists(f"headrace:run:{run}"), "Redis was not told")
    with cluster.beside("runs", "watch", run, "--json") as watching:
        cluster.eventually(lambda: server.pubsub_numsub(f"live:0:headrace:run:{run}")[0][1], "nobody follows")
        let(cluster, "a")
        reached(cluster, "b")
        assert status(cluster, run)["degraded"] is None

        breakable_lab.kill("valkey")
        let(cluster, "b")
        reached(cluster, "c")
        cluster.member("e1").says("Redis cannot be used")
        found = status(cluster, run)
        assert found["state"] == "running"
        assert found["degraded"]["why"]
        assert "Redis cannot be used since" in cluster("runs", "show", run).err

        breakable_lab.restart("valkey")
        cluster.member("e1").says("Redis answers again")
        server.flushall()
        let(cluster, "c")
        told = ended(watching)
    assert told in [
        MOVES[seen:] for seen in (1, 2)
    ]  # what a did before it was followed is left out, nothing else
    cluster.eventually(lambda: server.exists(f"headrace:run:{run}"), "Redis was not told again")
    found = status(cluster, run)
    assert (found["state"], found["tasks"], found["degraded"]) == ("succeeded", {"succeeded": 3}, None)
    server.close()


def test_a_paused_redis_holds_back_no_run(cluster: Deployment, breakable_lab: BreakableServers) -> None:
    for task in "abc":
        let(cluster, task)
    with breakable_lab.paused("valkey"):
        done = cluster("trigger", "chain", "-p", f"folder={cluster.folder}", "--wait", "--json")
        assert done.status == 0, done.err
        assert done.document["state"] == "succeeded"
        found = status(cluster, done.document["run"])
        assert "250 ms" in found["degraded"]["why"]
    cluster.member("e1").says("Redis answers again")


def test_an_engine_starts_without_redis(
    lab: Servers, breakable_lab: BreakableServers, tmp_path: Path
) -> None:
    url = breakable_lab.redis_url
    breakable_lab.stop("valkey")
    with opened(lab, tmp_path, settings={"HEADRACE_REDIS_URL": url}) as made:
        made.engine("e1").ready()
        assert "Redis cannot be used" in made.member("e1").said
        assert made.member("e1").terminate() == 0


def test_what_is_no_address_stops_an_engine_at_once(lab: Servers, tmp_path: Path) -> None:
    with opened(lab, tmp_path, settings={"HEADRACE_REDIS_URL": "redis:/secret"}) as made:
        engine = made.engine("e1")
        assert engine.ended() == 2
        assert "HEADRACE_REDIS_URL is no address" in engine.said
        assert "secret" not in engine.said
