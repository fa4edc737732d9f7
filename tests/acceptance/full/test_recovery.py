"""A database restored from a copy, while Kafka and the workers know what came after it."""

from __future__ import annotations

from pathlib import Path

from tests.support.deployment import Deployment
from tests.support.members import Member
from tests.support.servers import Servers

TWO = """
workflow: two
params: {go: {type: string}}
tasks:
  first: {python: bodies:until, with: {path: "${{ params.go }}"}}
  second: {python: bodies:note, with: {value: "${{ tasks.first.output }}"}}
output: "${{ tasks.second.output }}"
"""
EPOCHS = "SELECT min(epoch) AS least, max(epoch) AS most FROM parts"


def engine(deployment: Deployment, name: str) -> Member:
    return deployment.engine(name).ready()


def copied(servers: Servers, url: str, name: str) -> None:
    """A copy as of now, as a backup is one; nobody may be connected meanwhile."""
    database = url.rpartition("/")[2]
    servers.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    servers.query(f'CREATE DATABASE "{name}" TEMPLATE "{database}"')


def test_a_database_from_before_is_noticed_and_made_fit(
    lab: Servers, deployment: Deployment, tmp_path: Path
) -> None:
    two = deployment.plan(TWO)
    engine(deployment, "e1")
    deployment.worker("w1").ready()
    early, late = tmp_path / "early", tmp_path / "late"
    known = deployment.submit(two, go=str(early))
    waiting = deployment.submit(two, go=str(late))
    deployment.until_state(known, "first", "running")
    deployment.until_state(waiting, "first", "running")
    assert deployment.member("e1").terminate() == 0
    copy = f"copy_{deployment.url.rpartition('/')[2]}"
    copied(lab, deployment.url, copy)

    # What comes after it: two owners more of every part, the end of one run, the whole of another.
    engine(deployment, "e2").kill()
    after = engine(deployment, "e3")
    early.touch()
    forgotten = deployment.submit(two, go=str(early))
    deployment.wait(known, forgotten)
    after.kill()

    lab.drop_database(deployment.url)
    lab.query(f'ALTER DATABASE "{copy}" RENAME TO "{deployment.url.rpartition("/")[2]}"')
    old = deployment.engine("e4")
    assert old.ended() == 3
    assert "copy from before" in old.said
    assert "headrace db restored" in old.said

    done = deployment("db", "restored")
    assert (done.status, done.out) == (0, "")
    assert "engines may start" in done.err
    leapt = deployment.rows(EPOCHS)[0]
    assert leapt["least"] > 1_000_000
    engine(deployment, "e5")
    refused = deployment("db", "restored")
    assert refused.status == 3
    assert "e5" in refused.err

    late.touch()
    fresh = deployment.submit(two, go=str(late))
    deployment.wait(known, waiting, fresh)
    assert [deployment.state(run) for run in (known, waiting, fresh)] == ["succeeded"] * 3
    assert fresh.no > forgotten.no + 1000, (
        "no number is given out twice: workers remember what they did by it"
    )
    assert deployment.rows("SELECT no FROM runs WHERE id = $1", forgotten.id) == []
    assert [start.run for start in deployment.starts() if start.task == "first"].count(fresh.id) == 1
    deployment.agree(known, waiting, fresh)
