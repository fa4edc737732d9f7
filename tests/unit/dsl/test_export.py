"""Exported workflows: YAML and Python that read back to the same plan."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.dsl.document import read_document
from headrace.dsl.export import to_yaml
from headrace.dsl.export_python import to_python
from headrace.dsl.source import load, read_text
from headrace.dsl.yaml_loader import read_yaml
from headrace.dsl.yaml_writer import write_yaml
from headrace.engine.core.canonical import plan_hash, to_document
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.core.workflow import Workflow
from tests.support.strategies import workflows
from tests.unit.dsl import reading, test_kinds, test_task_keys, test_workflow_keys

ROOT = Path(__file__).parents[3]
FILES = sorted((*ROOT.glob("examples/workflows/**/*.yaml"), *ROOT.glob("tests/unit/dsl_python/twins/*.yaml")))
KINDS = {
    *[
        "python",
        "shell",
        "http",
        "container",
        "workflow",
        "sleep",
        "signal",
        "approval",
        "switch",
        "gate",
        "noop",
        "tasks",
    ]
}
SPECS: list[dict[str, Any]] = [
    keys if KINDS & keys.keys() else {"noop": {}, **keys}
    for keys in (*(row[0] for row in test_task_keys.GOOD), *(row[0] for row in test_kinds.GOOD))
]


@pytest.fixture
def executed(tmp_path: Path) -> Callable[[Workflow], Workflow]:
    """The workflow that its own Python export gives, beside modules that have its functions."""

    def execute(workflow: Workflow) -> Workflow:
        modules: dict[str, set[str]] = {}
        for module, function in re.findall(
            r"\b([a-z_][\w.]*):([a-z_]\w*)\b", json.dumps(to_document(workflow))
        ):
            modules.setdefault(module, set()).add(function)
        for module, functions in modules.items():
            path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"def {name}(**inputs): ...\n\n\n" for name in sorted(functions)))
        (tmp_path / "exported_flow.py").write_text(to_python(workflow))
        [source] = load(str(tmp_path / "exported_flow.py"))
        return source.workflow

    return execute


def same(one: Workflow, other: Workflow) -> None:
    assert to_document(other) == to_document(one)
    assert plan_hash(other) == plan_hash(one)


# -- YAML ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_come_back_from_yaml(path: Path) -> None:
    [source] = load(str(path))
    same(source.workflow, read_text(to_yaml(source.workflow)).workflow)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(spec)[:60])
def test_every_key_of_a_task_comes_back_from_yaml(spec: dict[str, Any]) -> None:
    workflow = reading.workflow(spec)
    same(workflow, read_text(to_yaml(workflow)).workflow)


@pytest.mark.parametrize(
    "keys", [keys for keys, *_ in test_workflow_keys.GOOD], ids=lambda keys: str(keys)[:60]
)
def test_every_key_of_a_workflow_comes_back_from_yaml(keys: dict[str, Any]) -> None:
    workflow = reading.workflow(**keys)
    same(workflow, read_text(to_yaml(workflow)).workflow)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(workflows())
def test_random_workflows_come_back_from_yaml(workflow: Workflow) -> None:
    read = read_text(to_yaml(workflow)).workflow
    assert squeezed(read) == squeezed(workflow)  # not all of their expressions are canonical
    same(read, read_text(to_yaml(read)).workflow)


def squeezed(workflow: Workflow) -> str:
    """The document without what differs between spellings of an expression."""
    return json.dumps(to_document(workflow), sort_keys=True).replace(" ", "").replace('\\"', "'")


def test_what_it_looks_like() -> None:
    workflow = reading.workflow(
        {
            "shell": "echo one\necho two\n",
            "when": "params.a==1&&!(params.b in [1,2])",
            "retry": {"attempts": 5},
            "timeout": "90s",
            "map": {"product": {"b": [1, 2], "a": "${{params.l}}"}, "as": "pair"},
            "env": {"A": "${{pair.a>1?'x':{'k':-1}.k}}", "N": "no"},
        },
        params={"a": {"default": 1}, "b": {}, "l": {}},
    )
    assert to_yaml(workflow) == (
        "workflow: w\n"
        "params: {a: {default: 1}, b: {}, l: {}}\n"
        "tasks:\n"
        "  t:\n"
        "    shell: |\n"
        "      echo one\n"
        "      echo two\n"
        '    env: {A: \'${{ pair.a > 1 ? "x" : {"k": -1}.k }}\', "N": "no"}\n'
        '    map: {product: {b: [1, 2], a: "${{ params.l }}"}, as: pair}\n'
        "    when: params.a == 1 && !(params.b in [1, 2])\n"
        "    retry: 5\n"
        "    timeout: 1m30s\n"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    | st.sampled_from(["no", "1e3", "0o7", "010", "1:30", "~", "", " ", "a: b", "a #b", "- a", "\n", "a\nb\n", "a\n\n", "é\u2028", "${{ x }}", "=", "<<", ".5", "2030-01-01"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8), JSON, min_size=1, max_size=5
    )
)
def test_every_value_comes_back_from_yaml_1_2_and_1_1(document: dict[str, Any]) -> None:
    text = write_yaml(document)
    read = read_yaml(text)
    assert read.problems == ()
    assert exactly(read.value, document)
    assert exactly(yaml.safe_load(text), document)


def exactly(one: Any, other: Any) -> bool:
    """Equal in type and sign too."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(exactly(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(exactly, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return type(one) is type(other) and bool(one == other)


# -- Python ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_come_back_from_python(path: Path, executed: Callable[[Workflow], Workflow]) -> None:
    [source] = load(str(path))
    same_but_described(source.workflow, executed(source.workflow))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(spec)[:60])
def test_every_key_of_a_task_comes_back_from_python(
    spec: dict[str, Any], executed: Callable[[Workflow], Workflow]
) -> None:
    others = {name: {"noop": {}, "depends_on": "t"} for name in "abc"} if "switch" in spec else {}
    workflow = reading.workflow(tasks={"t": spec, **others}) if others else reading.workflow(spec)
    same_but_described(workflow, executed(workflow))


def same_but_described(one: Workflow, other: Workflow) -> None:
    assert plan_hash(one) == plan_hash(other), (to_document(one), to_document(other))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            reading.document(params={"class": {}}),
            'the parameter "class" cannot be written in Python. Give it another name.',
        ),
        (
            reading.document({"python": "m:Class.method"}),
            "the function m:Class.method cannot be written in Python. Make it a function at the top of its module.",
        ),
        (
            reading.document({"http": {"url": "http://x"}, "timeouts": {"attempt": None}}),
            "an http task whose tries have no bound cannot be written in Python. Give timeouts.attempt a length.",
        ),
        (
            {
                "workflow": "w",
                "tasks": {
                    "s": {"switch": {"cases": [{"when": "true", "then": ["a"]}], "default": ["a"]}},
                    "a": {"noop": {}, "depends_on": "s"},
                },
            },
            '"a" as a choice of two cases cannot be written in Python. Join the cases with ||.',
        ),
        (
            reading.document({"workflow": "x", "map": [1], "with": {"a": "${{ item.b }}"}}),
            'the map of "t" cannot be written in Python. Pass the item itself as one parameter.',
        ),
    ],
)
def test_what_only_yaml_can_say(document: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        to_python(read_document(document))
    assert [str(problem) for problem in refused.value.problems] == [said]


def test_names_that_meet_are_kept_apart(executed: Callable[[Workflow], Workflow]) -> None:
    """Parameters, tasks, modules, groups and the language's own names may all be the same words."""
    document = {
        "workflow": "task",
        "params": {"shell": {"type": "string"}, "run": {}},
        "tasks": {
            "task": {"python": "shell:task", "with": {"shell": "${{ params.shell }}", "class": 1}},
            "shell": {"shell": "x", "env": {"A": "${{ params.run }}"}},
            "group": {
                "map": {"over": "${{ tasks.task.output }}", "as": "task"},
                "tasks": {
                    "task": {"python": "shell:task", "with": {"x": "${{ task.y }}"}},
                    "mapped": {
                        "python": "shell:task",
                        "map": {"over": "${{ task }}", "as": "task"},
                        "with": {"x": "${{ task }}", "id": "${{ run.id }}"},
                    },
                },
                "output": "${{ tasks.mapped.output }}",
            },
            "a-b.c": {"noop": {}, "depends_on": "shell"},
        },
        "output": {"x": "${{ tasks[\"a-b.c\"].state }}", "y": "${{ tasks.group.output[0][\"in\"]._z }}"},
    }  # fmt: skip
    workflow = read_document(document)
    same_but_described(workflow, executed(workflow))
