"""What `headrace doctor` makes of facts: each finding, and that all being well is told as such."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.cli import findings
from headrace.cli.findings import Finding
from headrace.engine.ports.cache import Degraded
from headrace.engine.ports.checkup import (
    BrokerFacts,
    CacheFacts,
    DatabaseFacts,
    FileFacts,
    TopicFacts,
    Waiting,
)
from headrace.engine.ports.ownership import PartSeen, Survey
from headrace.engine.ports.roster import WorkerRow

NOW = 1_900_000_000.0
DAY = 86_400.0
WORKER = WorkerRow("w1", "i", ("default", "gpu"), {}, ("python",), 8, 0, False, NOW - 1)
TWO = Survey(("e1", "e2"), (PartSeen(0, 3, "e1"), PartSeen(1, 4, "e2")), NOW)
DATABASE = DatabaseFacts(
    server="18.1",
    survey=TWO,
    settings={
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "max_connections": "100",
    },
    connections=12,
    room=97,
    pool=20,
    offsets={0: 10, 1: 20},
    waiting=(),
    workers=(WORKER,),
    prepared_until={"history": NOW + 20 * DAY, "log_chunks": NOW + 20 * DAY},
    live_runs=3,
    open_letters=0,
    unreadable=0,
    skew=0.01,
    doubt=0.02,
)
SAFE = {
    "unclean.leader.election.enable": "false",
    "min.insync.replicas": "2",
    "retention.ms": str(7 * 86_400_000),
}
BROKER = BrokerFacts(3, (TopicFacts("job-status", 2, 3, SAFE),), (), {0: (0, 10), 1: (5, 25)})
FILE = FileFacts((), "wal", 10 * 2**30, 2**20, True, None, 2, (), 0)
CACHE = CacheFacts("Valkey 8.1", 2**20, 0, "noeviction")


def bad(found: list[Finding]) -> list[tuple[str, str]]:
    assert all(each.do or each.level in ("ok", "problem") for each in found), "advice says what to do"
    return [(each.area, each.level) for each in found if each.level != "ok"]


def test_all_is_well() -> None:
    found = findings.of_database(DATABASE, cluster=True)
    found += findings.of_broker(BROKER, DATABASE.offsets)
    found += findings.of_cache(CACHE)
    assert bad(found) == []
    assert {each.area for each in found} == {"database", "engines", "workers", "kafka", "redis"}
    assert bad(findings.of_file(FILE, "x.db", NOW)) == []


def alone(**parts: Any) -> dict[str, Any]:
    return {"survey": TWO._replace(**parts)}


@pytest.mark.parametrize(
    ("changed", "area", "level", "says"),
    [
        ({"settings": {**DATABASE.settings, "fsync": "off"}}, "database", "problem", "fsync is off"),
        (
            {"settings": {**DATABASE.settings, "synchronous_commit": "off"}},
            "database",
            "problem",
            "acknowledged",
        ),
        ({"connections": 90}, "database", "advice", "90 of 97 connections"),
        ({"room": 30}, "database", "advice", "may open 42 connections, and there is room for 30"),
        ({"prepared_until": {"history": NOW + DAY}}, "database", "advice", "weeks for 1d 00h more"),
        ({"prepared_until": {"history": 0.0}}, "database", "advice", "no week for today"),
        ({"skew": 5.0}, "database", "advice", "5.0s ahead of"),
        ({"skew": -100.0}, "database", "problem", "1m 40s behind"),
        (alone(engines=()), "engines", "problem", "nothing is decided"),
        (
            alone(engines=("e1",), parts=(PartSeen(0, 3, "e1"), PartSeen(1, 4, "e1"))),
            "engines",
            "advice",
            "one engine",
        ),
        (alone(parts=(PartSeen(0, 3, "e1"), PartSeen(1, 4, None))), "engines", "problem", "Part 1: no live"),
        (alone(parts=(PartSeen(0, 3, "e0"), PartSeen(1, 4, None))), "engines", "problem", "Parts 0, 1"),
        ({"waiting": (Waiting(0, 4, NOW - 300),)}, "engines", "problem", "4 commands, the oldest for 5m 00s"),
        ({"workers": ()}, "workers", "problem", "No worker is heard"),
        ({"workers": (), "live_runs": 0}, "workers", "advice", "No worker is heard"),
        ({"workers": (WORKER._replace(seen_at=NOW - 60),)}, "workers", "problem", "No worker is heard"),
        ({"workers": (WORKER._replace(draining=True),)}, "workers", "problem", "No worker takes tasks"),
        ({"open_letters": 7}, "runs", "advice", "7 dead letters"),
        ({"unreadable": 1}, "runs", "advice", "1 message"),
    ],
)
def test_a_database(changed: dict[str, Any], area: str, level: str, says: str) -> None:
    found = findings.of_database(DATABASE._replace(**changed), cluster=True)
    assert bad(found) == [(area, level)]
    assert says in next(each.says for each in found if each.level != "ok")


def test_a_clock_is_not_blamed_for_a_slow_answer() -> None:
    assert bad(findings.of_database(DATABASE._replace(skew=3.0, doubt=2.5), cluster=True)) == []


def test_a_moment_is_not_a_fault() -> None:
    facts = DATABASE._replace(waiting=(Waiting(0, 900, NOW - 2),))
    assert bad(findings.of_database(facts, cluster=True)) == []


def test_without_a_cluster_nobody_misses_engines() -> None:
    facts = DATABASE._replace(survey=TWO._replace(engines=()), workers=())
    assert bad(findings.of_database(facts, cluster=False)) == []


def topic(**config: str) -> dict[str, Any]:
    return {"topics": (TopicFacts("p.job-status", 2, 3, {**SAFE, **config}),)}


@pytest.mark.parametrize(
    ("changed", "level", "says"),
    [
        ({"problems": ("Topics are missing: job-dlq.",)}, "problem", "job-dlq"),
        ({"status": {0: (11, 30), 1: (5, 25)}}, "problem", "0 (read up to 10, begins at 11)"),
        ({"status": {0: (0, 9), 1: (5, 25)}}, "problem", "0 (read up to 10, ends at 9)"),
        ({"topics": (TopicFacts("job-status", 2, 1, SAFE),)}, "advice", "fewer than 3 replicas"),
        (topic(**{"unclean.leader.election.enable": "true"}), "problem", "what it lacks is lost"),
        (topic(**{"min.insync.replicas": "1"}), "advice", "one replica"),
        (topic(**{"retention.ms": "7200000"}), "advice", "for 2h 00m"),
    ],
)
def test_a_broker(changed: dict[str, Any], level: str, says: str) -> None:
    found = findings.of_broker(BROKER._replace(**changed), DATABASE.offsets)
    assert bad(found) == [("kafka", level)]
    assert says in next(each.says for each in found if each.level != "ok")


def test_one_broker_cannot_have_three_replicas() -> None:
    alone = BROKER._replace(
        brokers=1, topics=(TopicFacts("job-status", 2, 1, {**SAFE, "min.insync.replicas": "1"}),)
    )
    assert bad(findings.of_broker(alone, DATABASE.offsets)) == []


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (Degraded("connection refused.", NOW), "unreachable"),
        (CACHE._replace(limit=2**30), "advice"),
        (CACHE._replace(limit=2**20), "problem"),
    ],
)
def test_a_cache(facts: CacheFacts | Degraded, level: str) -> None:
    assert bad(findings.of_cache(facts)) == [("redis", level)]


def test_a_cache_that_may_forget_is_fine() -> None:
    assert bad(findings.of_cache(CACHE._replace(limit=2**20, policy="allkeys-lru"))) == []


@pytest.mark.parametrize(
    ("changed", "area", "level", "says"),
    [
        ({"damage": ("row 7 missing from index",)}, "database", "problem", "row 7"),
        ({"journal": "delete"}, "database", "problem", "delete, not wal"),
        ({"network": "nfs4"}, "database", "problem", "nfs4"),
        ({"free": 500 * 2**20}, "database", "advice", "500 MiB left"),
        ({"free": 5 * 2**20}, "database", "problem", "5 MiB left"),
        ({"owned": False}, "runs", "advice", "nobody goes on: 2 runs"),
        ({"waiting": (Waiting(0, 1, NOW - 60),)}, "engines", "problem", "1 command, the oldest"),
        ({"open_letters": 1}, "runs", "advice", "1 dead letter"),
    ],
)
def test_a_file(changed: dict[str, Any], area: str, level: str, says: str) -> None:
    found = findings.of_file(FILE._replace(**changed), "x.db", NOW)
    assert bad(found) == [(area, level)]
    assert says in next(each.says for each in found if each.level != "ok")
