"""`headrace topics ensure` as a process, on a real Kafka and a real database."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support import warm
from tests.support.servers import Servers
from tests.support.servers import lab as lab

MODULES = """
import sys
from headrace.cli.main import main
sys.argv = ["headrace", "validate", "--help"]
try:
    main()
finally:
    heavy = {"aiokafka", "faststream", "sqlalchemy", "redis"} & sys.modules.keys()
    assert not heavy, heavy
"""


def headrace(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run it with these HEADRACE_ settings and no others."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return warm.run(
        [sys.executable, "-m", "headrace.cli.main", *words],
        env={**clean, **{f"HEADRACE_{name.upper()}": value for name, value in settings.items()}},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def kafka(lab: Servers) -> dict[str, str]:
    return {"kafka": lab.kafka, "kafka_prefix": lab.kafka_prefix()}


def test_it_makes_what_is_missing_by_the_database_and_says_it_again_without_making(
    lab: Servers, kafka: dict[str, str]
) -> None:
    database = lab.database_url("topics")
    first = headrace("topics", "ensure", "--queues", "a, b", "--json", database_url=database, **kafka)
    assert (first.returncode, first.stderr) == (0, "")
    made = {
        each["name"].removeprefix(kafka["kafka_prefix"]): each for each in json.loads(first.stdout)["topics"]
    }
    parts = made["job-status"]["partitions"]
    assert made.keys() == {
        "job-requests",
        "job-tasks.a",
        "job-tasks.b",
        "job-status",
        "job-workers",
        "job-logs",
        "job-dlq",
        "job-events",
    }
    assert all(each["created"] and each["problem"] is None for each in made.values())
    assert made["job-workers"]["partitions"] == 1
    assert made["job-tasks.a"]["partitions"] == made["job-tasks.b"]["partitions"] == 16
    second = headrace("topics", "ensure", database_url=database, **kafka)
    assert second.returncode == 0
    assert "job-status" in second.stdout
    assert [line.split()[-1] for line in second.stdout.splitlines() if "job-tasks.a" in line] == ["there"]
    third = headrace("topics", "ensure", "--parts", str(parts + 1), **kafka)
    assert third.returncode == 3
    assert f"job-status has {parts} partitions, the database {parts + 1} parts" in third.stderr
    assert "unusable" in third.stdout


@pytest.mark.parametrize(
    ("settings", "words", "status", "said"),
    [
        ({"kafka": "127.0.0.1:1"}, ["--parts", "1"], 3, "127.0.0.1:1 cannot be reached: Connection refused"),
        ({}, ["--parts", "1"], 3, "HEADRACE_KAFKA names none"),
        ({"kafka": "127.0.0.1:1"}, [], 3, "HEADRACE_DATABASE_URL names none"),
        ({"kafka": "127.0.0.1:1"}, ["--parts", "0"], 2, "at least 1"),
        ({"kafka": "h:1", "kafka_security": "SASL_SSL"}, ["--parts", "1"], 3, "HEADRACE_KAFKA_USER"),
        (
            {"kafka": "h:1", "kafka_security": "SSL", "kafka_ca": "/nowhere.pem"},
            ["--parts", "1"],
            3,
            "/nowhere.pem",
        ),
        ({"kafka": "h:1", "kafka_security": "TLS"}, ["--parts", "1"], 2, "kafka_security"),
    ],
)
def test_what_is_wrong_is_one_message_and_a_status(
    settings: dict[str, str], words: list[str], status: int, said: str
) -> None:
    done = headrace("topics", "ensure", *words, **settings)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_password_is_in_no_message(lab: Servers) -> None:
    done = headrace(
        "topics",
        "ensure",
        "--parts",
        "1",
        kafka=lab.kafka,
        kafka_security="SASL_PLAINTEXT",
        kafka_user="me",
        kafka_password="hunter2",
    )
    assert done.returncode == 3
    assert "asks for no password" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_a_command_without_kafka_imports_none_of_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MODULES], capture_output=True, text=True, timeout=60, check=False
    )
    assert "AssertionError" not in done.stderr, done.stderr
    assert "headrace validate" in done.stdout
