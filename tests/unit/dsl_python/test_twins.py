"""Workflows in both spellings: the Python file and the YAML file beside it give one plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.dsl.python import load_python
from headrace.dsl.source import load
from headrace.engine.core.canonical import plan_hash, to_document

TWINS = Path(__file__).parent / "twins"
NAMES = sorted(path.stem for path in TWINS.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_both_spellings_have_one_hash(name: str) -> None:
    [python] = load_python(TWINS / f"{name}.py", name)
    [yaml] = load(str(TWINS / f"{name}.yaml"))
    written, read = to_document(python.workflow), to_document(yaml.workflow)
    for key in ("description", "tags"):  # outside the hash; a docstring and a key need not agree
        written.pop(key, None)
        read.pop(key, None)
    assert written == read
    assert plan_hash(python.workflow) == plan_hash(yaml.workflow)


def test_there_are_enough_of_them() -> None:
    assert len(NAMES) >= 8
