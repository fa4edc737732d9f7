"""Workflows as files: each test writes the text a user would write, and reads what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from headrace.dsl.python.loading import documents

Document = dict[str, Any]
Written = Callable[..., Document]

HEAD = """\
from __future__ import annotations
from datetime import UTC, date, datetime, timedelta
from headrace.dsl.python import *

@task
def extract(day: str = "today", regions: list[str] = []) -> list[str]: ...

@task
def price(file: str, tax: float = 0.2) -> int: ...

@task
def check(prices: list[int]) -> dict: ...

@task
def pair(a: int, b: int) -> int: ...

"""


@pytest.fixture
def module(tmp_path: Path) -> Callable[[str], Path]:
    """A file that begins with the tasks of `HEAD`."""

    def write(text: str) -> Path:
        path = tmp_path / "flows.py"
        path.write_text(HEAD + dedent(text))
        return path

    return write


@pytest.fixture
def document(module: Callable[[str], Path]) -> Written:
    """The document of the only workflow of such a file."""

    def read(text: str) -> Document:
        [found] = documents(module(text)).values()
        return found

    return read


@pytest.fixture
def body(document: Written) -> Written:
    """The document of a workflow with this body and these parameters."""

    def read(text: str, params: str = "") -> Document:
        lines = "".join(f"    {line}\n" for line in dedent(text).strip().splitlines())
        return document(f"@workflow\ndef flow({params}):\n{lines}")

    return read
