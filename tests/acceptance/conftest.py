"""A terminal for every acceptance test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.terminal import Terminal


@pytest.fixture
def headrace(tmp_path: Path) -> Terminal:
    """An empty folder in which `headrace` can be typed."""
    return Terminal(tmp_path)
