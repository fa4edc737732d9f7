"""`headrace doctor` beside real servers: all is well, and several things wrong at once."""

from __future__ import annotations

import json
from typing import Any

from tests.support.deployment import Deployment
from tests.support.members import Done

ONE = """
workflow: one
tasks:
  work: {python: bodies:note}
"""


def told(done: Done) -> list[tuple[str, str]]:
    """What is not well, but for what the tests' PostgreSQL leaves out to be quick."""
    findings: list[dict[str, Any]] = json.loads(done.out)["findings"]
    hasty = [each for each in findings if " is off: " in each["says"]]
    assert all((each["area"], each["level"]) == ("database", "problem") for each in hasty)
    return [(each["area"], each["level"]) for each in findings if each["level"] != "ok" and each not in hasty]


def test_a_cluster_at_work_is_well(deployment: Deployment) -> None:
    deployment.team(("e1", "e2"))
    deployment.wait(deployment.submit(deployment.plan(ONE)))
    deployment.until("SELECT count(*) = 1 FROM workers")
    done = deployment("doctor", "--json")
    assert told(done) == []
    assert done.status == (1 if " is off: " in done.out else 0)
    read = deployment("doctor")
    assert "2 engines: e1, e2." in read.out
    assert "1 worker with 8 slots on default." in read.out


def test_everything_that_is_wrong_is_told_at_once(deployment: Deployment) -> None:
    deployment.submit(deployment.plan(ONE))
    deployment.rows("UPDATE parts SET next_offset = 1000 WHERE part = 3 RETURNING part")
    deployment.rows("UPDATE inbox SET at = at - 600 RETURNING id")
    done = deployment("doctor", "--json", HEADRACE_REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.status, told(done)) == (
        3,
        [
            ("engines", "problem"),
            ("workers", "problem"),
            ("kafka", "problem"),
            ("redis", "unreachable"),
        ],
    )
    read = deployment("doctor")
    assert read.status == 1
    assert "in partition 3 (read up to 1000, ends at 0)" in read.out
    assert "No engine lives: nothing is decided." in read.out
    assert "problems found." in read.err


def test_what_is_out_of_reach_hides_nothing_else(deployment: Deployment) -> None:
    done = deployment("doctor", "--json", HEADRACE_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert (done.status, told(done)) == (3, [("database", "unreachable")])
    assert '"area": "kafka"' in done.out
