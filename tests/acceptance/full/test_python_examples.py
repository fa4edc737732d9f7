"""Every example registered from its Python file and run on a cluster, all at once: the ends and results of the embedded runs.

The other spelling has the same plan (tests/acceptance/examples), and is run on a cluster in test_worker_examples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.examples.cases import CASES, WORKFLOWS, Case, Ended, Services
from tests.acceptance.examples.conftest import services as services
from tests.support.deployment import Deployment, opened
from tests.support.servers import Servers


@pytest.fixture(scope="module")
def cluster(lab: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two engines, two workers on the examples' folder."""
    with opened(lab, tmp_path_factory.mktemp("examples")) as made:
        made.app.joinpath("bodies.py").unlink()
        made.app.rmdir()
        made.app.symlink_to(WORKFLOWS)
        files = [case.file("python") for case in CASES]
        children = [f"{WORKFLOWS}/family/month_end_flow.py:{name}" for name in ("archive", "close_branch")]
        registered = made("register", *dict.fromkeys([*files, *children]))
        assert registered.status == 0, registered.err
        made.team(("e1", "e2"), ("w1", "w2"))
        yield made


def test_all_end_as_embedded(cluster: Deployment, services: Services, tmp_path: Path) -> None:
    def ended(case: Case) -> Ended:
        out, params = tmp_path / case.name, tmp_path / f"{case.name}.json"
        params.write_text(json.dumps(dict(case.params(out, services))))
        words = ("--params", str(params), "--wait", "--timeout", "50s", "--json")
        done = cluster("trigger", Path(case.yaml).stem, *words)
        assert done.status == (0 if case.state == "succeeded" else 1), f"{case}: {done.err}"
        return Ended(done.document, out, services)

    with ThreadPoolExecutor(4) as threads:
        for case, end in zip(CASES, threads.map(ended, CASES), strict=True):
            assert end.run["state"] == case.state, case
            case.check(end)
            case.uninterrupted(end)
