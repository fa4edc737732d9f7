"""Workflows in both spellings: the Python file and the YAML file beside it give one plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.dsl.document import read_document
from headrace.dsl.python import load_python
from headrace.dsl.yaml_loader import read_yaml
from headrace.engine.core.canonical import plan_hash, to_document
from headrace.engine.core.planning import build_plan

TWINS = Path(__file__).parent / "twins"
NAMES = sorted(path.stem for path in TWINS.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_both_spellings_have_one_plan(name: str) -> None:
    [source] = load_python(TWINS / f"{name}.py", name)
    read = read_yaml((TWINS / f"{name}.yaml").read_text())
    assert not read.problems
    yaml = read_document(read.value)
    assert to_document(source.workflow) == to_document(yaml)
    python_plan, _ = build_plan(source.workflow)
    yaml_plan, _ = build_plan(yaml)
    assert python_plan.hash == yaml_plan.hash == plan_hash(yaml)
    assert python_plan.ids == yaml_plan.ids


def test_the_hash_sees_a_difference() -> None:
    [source] = load_python(TWINS / "cleanup.py", "cleanup")
    assert plan_hash(replace(source.workflow, name="other")) != plan_hash(source.workflow)


def test_there_are_enough_of_them() -> None:
    assert len(NAMES) >= 8
