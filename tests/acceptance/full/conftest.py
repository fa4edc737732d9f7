"""Deployments for the tests of this folder; what their members said stands beside a failure."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import Deployment, opened
from tests.support.servers import Servers, breakable_lab, lab

__all__ = ["breakable_lab", "lab"]


@pytest.fixture
def deployment(lab: Servers, tmp_path: Path) -> Iterator[Deployment]:
    """A cluster without a process: database, topics, settings."""
    with opened(lab, tmp_path) as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show the logs of a failed test's members."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Deployment):
                report.sections.append(("what the members said", value.said))
    return report
