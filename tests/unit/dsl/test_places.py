"""Where a path of a document stands in its text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.dsl.places import TextPlaces, is_task_map
from headrace.engine.core.problems import Path

TEXT = """\
# a comment
workflow: w
tasks:
  load:
    python: m:f
    depends_on: [a, "b"]
    with: {x: 1, "y z": [1, {k: v}]}
  store:
    depends_on:
      - load
      - first
"""


@pytest.mark.parametrize(
    ("path", "spot"),
    [
        (("workflow",), "2:1"),
        (("tasks", "load"), "4:3"),
        (("tasks", "load", "depends_on", 1), "6:21"),
        (("tasks", "load", "with", "y z"), "7:18"),
        (("tasks", "load", "with", "y z", 1, "k"), "7:30"),
        (("tasks", "store", "depends_on", 1), "11:9"),
        (("tasks", "store", "retry", "attempts"), "8:3"),
        (("tasks", "load", "python", "function"), "5:5"),
        (("tasks", "nowhere"), "3:1"),
        ((), "1:1"),
        (("nothing",), "1:1"),
    ],
)
def test_a_path_has_the_place_of_its_key_item_or_nearest_owner(path: Path, spot: str) -> None:
    assert str(TextPlaces(TEXT, "f.yaml")(path, None)) == f"f.yaml:{spot}"


def test_what_stands_before_a_syntax_error_has_its_place() -> None:
    places = TextPlaces("a:\n  b: 1\nc: [", "f.yaml")
    assert str(places(("a", "b"))) == "f.yaml:2:3"


def test_a_list_or_map_as_a_key_does_not_shift_what_follows() -> None:
    places = TextPlaces("? [x, y]\n: {b: 1}\nb: 2\n", "f.yaml")
    assert str(places(("b",))) == "f.yaml:3:1"


def test_characters_count_as_one_column_each() -> None:
    assert str(TextPlaces('{"ä😀": 1, "b": 2}', "f.json", json=True)(("b",))) == "f.json:1:11"


def test_escaped_pairs_of_json_do_not_hide_what_follows() -> None:
    text = '{"e": "\\ud83d\\ude00", "b": 2}'
    column = text.index('"b"') + 1
    assert str(TextPlaces(text, "f.json", json=True)(("b",))) == f"f.json:1:{column}"


_TREES: st.SearchStrategy[Any] = st.recursive(
    st.just(0),
    lambda below: (
        st.lists(below, min_size=1, max_size=3)
        | st.dictionaries(st.text("abc", min_size=1), below, min_size=1)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.text("xyz", min_size=1), _TREES, min_size=1))
def test_every_path_of_a_document_is_found_alone_and_together(tree: dict[str, Any]) -> None:
    text = json.dumps(tree, indent=1)
    paths = list(_paths(tree))
    together = TextPlaces(text, json=True)
    together.look_up(paths)
    lines = text.split("\n")
    for path in paths:
        place = TextPlaces(text, json=True)(path)
        assert place == together(path)
        assert place is not None
        assert place.line is not None
        assert place.column is not None
        here = lines[place.line - 1][place.column - 1 :]
        assert here.startswith(json.dumps(path[-1])) if isinstance(path[-1], str) else here[0] in '0{["'


def _paths(tree: Any, path: Path = ()) -> list[Path]:
    found = [path] if path else []
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, below in entries:
        found += _paths(below, (*path, key))
    return found


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (("tasks",), True),
        (("finally",), True),
        (("tasks", "g", "tasks"), True),
        (("tasks", "g", "tasks", "h", "tasks"), True),
        (("tasks", "a", "with"), False),
        (("tasks", "a", "with", "tasks", "x"), False),
        (("params",), False),
        ((), False),
    ],
)
def test_only_maps_of_tasks_hold_tasks(path: Path, answer: bool) -> None:
    assert is_task_map(path) is answer
