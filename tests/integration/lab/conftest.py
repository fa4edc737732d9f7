"""Labs of the tests' own, beside the session's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.lab import Lab
from tests.support.servers import breakable_lab, lab

__all__ = ["breakable_lab", "lab"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A lab's folder that other users can reach, unlike `tmp_path`; what runs in it is ended with the test."""
    found = Path(tempfile.mkdtemp(prefix="headrace-own-"))
    found.chmod(0o755)
    yield found
    own = Lab(found)
    for name in own.servers:
        if process := own.process(name):
            process.kill()
    own.down(delete=True)
    shutil.rmtree(found)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's settings reaches the test, except which lab stays up between sessions."""
    for name in list(os.environ):
        if name.startswith("HEADRACE_") and name != "HEADRACE_TEST_LAB":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
