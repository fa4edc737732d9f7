"""A clean environment for the command line: no settings from outside, and the test's own folder to work in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of the developer's settings reaches the test."""
    for name in list(os.environ):
        if name.startswith("HEADRACE_") or name == "NO_COLOR":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
