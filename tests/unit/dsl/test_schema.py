"""The schema for editors: valid itself, true of real files, and as strict about keys as the reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from headrace.dsl.language.keys import TABLES
from headrace.dsl.language.kinds import KINDS
from headrace.dsl.language.top import KEYS
from headrace.dsl.schema import workflow_schema
from headrace.dsl.yaml_loader import read_yaml
from tests.unit.dsl import test_kinds, test_task_keys, test_workflow_keys
from tests.unit.dsl.reading import document

SCHEMA = workflow_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
ROOT = Path(__file__).parents[3]
FILES = sorted((*ROOT.glob("examples/workflows/**/*.yaml"), *ROOT.glob("tests/unit/dsl_python/twins/*.yaml")))


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_true_of_files(path: Path) -> None:
    document = read_yaml(path.read_text()).value
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize("keys", [keys for keys, *_ in (*test_task_keys.GOOD, *test_kinds.GOOD)], ids=str)
def test_it_is_true_of_every_key_of_a_task(keys: dict[str, Any]) -> None:
    kinds = {*KINDS, "tasks"}
    assert VALIDATOR.is_valid(document(keys if kinds & keys.keys() else {"noop": {}, **keys}))


@pytest.mark.parametrize("keys", [keys for keys, *_ in test_workflow_keys.GOOD], ids=str)
def test_it_is_true_of_every_key_of_a_workflow(keys: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(document(**keys))


@pytest.mark.parametrize(
    "task",
    [
        {"pyton": "m:f"},
        {"python": "m:f", "retry": {"dely": "1s"}},
        {"noop": {}, "sleep": "1s"},
        {"sleep": 5},
        {},
    ],
    ids=str,
)
def test_it_refuses_what_an_editor_can_see(task: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(document(task))


def test_every_key_says_what_it_means() -> None:
    task = SCHEMA["$defs"]["task"]["properties"]
    assert set(task) == {*KINDS, "tasks", *(name for table in TABLES.values() for name in table)}
    assert set(SCHEMA["properties"]) == set(KEYS)
    for name, schema in (*task.items(), *SCHEMA["properties"].items()):
        assert schema["description"].endswith((".", "argv.")), name
