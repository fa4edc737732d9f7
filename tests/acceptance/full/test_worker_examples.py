"""Every example on a cluster: registered, triggered, decided by an engine and executed by two workers that find the code
below their app dir. The results are those of the embedded runs, by the same checks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.examples.cases import CASES, WORKFLOWS, Case, Ended, Services
from tests.acceptance.examples.command import Home
from tests.acceptance.examples.conftest import services as services
from tests.support import warm
from tests.support.servers import Servers


@pytest.fixture(scope="module")
def cluster(lab: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """An engine, two workers, every example registered."""
    folder = tmp_path_factory.mktemp("cluster")
    home = Home(
        folder / "home",
        database=lab.database_url("workers"),
        extra={
            "HEADRACE_KAFKA": lab.kafka,
            "HEADRACE_KAFKA_PREFIX": lab.kafka_prefix(),
            "HEADRACE_KAFKA_INBOXES": "4",
            "HEADRACE_ARTIFACTS": str(folder / "artifacts"),
            "HEADRACE_HTTP_ALLOW": "127.0.0.1",
        },
    )
    yaml = [str(file) for file in sorted(WORKFLOWS.rglob("*.yaml"))]
    for command in (("topics", "ensure", "--queues", "default"), ("register", *yaml)):
        done = home(*command)
        assert done.status == 0, done.err
    started = []
    for name, words in {
        "engine": ["engine"],
        "one": ["worker", "--id", "one", "--app-dir", str(WORKFLOWS)],
        "two": ["worker", "--id", "two", "--app-dir", str(WORKFLOWS)],
    }.items():
        with (folder / f"{name}.err").open("w") as errors:
            started.append(
                warm.Popen[bytes](
                    [sys.executable, "-m", "headrace.cli.main", *words],
                    cwd=folder,
                    env=home.environment(),
                    stderr=errors,
                )
            )
    yield home
    for process in reversed(started):
        process.terminate()
    statuses = [process.wait(60) for process in started]
    said = "\n".join(path.read_text() for path in sorted(folder.glob("*.err")))
    assert statuses == [0, 0, 0], said
    assert "Traceback" not in said
    assert home.left_alive() == set()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_on_a_cluster(case: Case, cluster: Home, services: Services, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pairs = [word for name, value in case.params(out, services).items() for word in ("-p", f"{name}={value}")]
    name = Path(case.yaml).stem
    done = cluster("trigger", name, *pairs, "--wait", "--timeout", "50s", "--json")
    assert done.status == (0 if case.state == "succeeded" else 1), done.err
    ended = Ended(done.document, out, services)
    assert ended.run["state"] == case.state
    case.check(ended)
    case.uninterrupted(ended)
    assert cluster("replay", ended.run["run"]).status == 0
