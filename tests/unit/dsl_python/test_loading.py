"""Python files as sources of workflows: executed as a worker imports them, and gone from the process afterwards."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headrace.dsl.python.loading import documents, load_python
from headrace.engine.core.problems import InvalidWorkflow, Problem

FLOW = """
from headrace.dsl.python import *
from helpers import NAME
@task
def work(x: str) -> str: ...
@workflow
def {name}():
    work(NAME)
"""


def _problem(path: Path, name: str | None = None) -> Problem:
    with pytest.raises(InvalidWorkflow) as caught:
        documents(path, name)
    [problem] = caught.value.problems
    return problem


def test_same_named_files_and_helpers_of_two_folders_do_not_meet(tmp_path: Path) -> None:
    before = dict(sys.modules), list(sys.path)
    for folder in ("one", "two", "one"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "helpers.py").write_text(f"NAME = {folder!r}")
        (tmp_path / folder / "flows.py").write_text(FLOW.format(name="flow"))
        [document] = documents(tmp_path / folder / "flows.py").values()
        assert document["tasks"]["work"] == {"python": "flows:work", "with": {"x": folder}}
    assert {name: sys.modules.get(name) for name in before[0]} == before[0]
    assert "flows" not in sys.modules
    assert "helpers" not in sys.modules
    assert sys.path == before[1]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("NAME = 'a'")
    path = tmp_path / "flows.py"
    path.write_text(FLOW.format(name="aaaa"))
    assert list(documents(path)) == ["aaaa"]
    path.write_text(FLOW.format(name="bbbb"))
    assert list(documents(path)) == ["bbbb"]


def test_functions_of_packages_have_dotted_modules(tmp_path: Path) -> None:
    package = tmp_path / "shop" / "deep"
    package.mkdir(parents=True)
    (tmp_path / "shop" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "sales.py").write_text("def extract(day): ...\nasync def price(file): ...\n")
    path = tmp_path / "flows.py"
    path.write_text(
        "from headrace.dsl.python import *\n"
        "from shop.deep import sales\n"
        "from shop.deep.sales import price\n"
        "extract = task(sales.extract)\n"
        "@workflow\n"
        "def flow():\n"
        "    task(price, ) .map(extract(1))\n"
    )
    [document] = documents(path).values()
    assert document["tasks"]["extract"]["python"] == "shop.deep.sales:extract"
    assert document["tasks"]["price"]["python"] == "shop.deep.sales:price"
    assert "shop.deep" not in sys.modules


def test_several_workflows_are_told_apart_by_name(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(
        "from headrace.dsl.python import *\n@workflow\ndef imported(): noop()\n"
    )
    path = tmp_path / "flows.py"
    path.write_text(
        "from headrace.dsl.python import *\n"
        "from other import imported\n"
        "@workflow\ndef second(): noop()\n"
        "@workflow(name='first')\ndef one(): imported()\n"
    )
    assert list(documents(path)) == ["first", "second"]
    assert list(documents(path, "second")) == ["second"]
    assert list(documents(path, "one")) == ["first"]
    assert list(documents(path, "imported")) == ["imported"]
    problem = _problem(path, "secund")
    assert (problem.code, problem.hint) == ("empty_workflow", 'Did you mean "second"?')
    assert _problem(path, "xyz").hint == "It has: first, second."


@pytest.mark.parametrize(
    ("text", "code", "line", "says"),
    [
        ("x = 1\n", "empty_workflow", None, "defines no workflow"),
        ("x = 1\ny = (\n", "parse_error", 2, "'(' was never closed"),
        ("x = 1\nimport no_such_module\n", "not_importable", 2, "ModuleNotFoundError: No module named"),
        ("def f():\n    raise SystemExit(3)\nf()\n", "not_importable", 2, "SystemExit: 3"),
        (
            "from headrace.dsl.python import *\n@workflow\ndef flow():\n    noop()\n    1 / 0\n",
            "not_importable",
            5,
            "ZeroDivisionError: division by zero",
        ),
        (
            "from headrace.dsl.python import *\n"
            "@workflow(name='a')\ndef x(): noop()\n@workflow(name='a')\ndef y(): noop()\n",
            "schema",
            4,
            'two workflows are named "a"',
        ),
        ("from headrace.dsl.python import *\n@workflow(retries=1)\ndef f(): ...\n", "schema", 2, "retries"),
        ("x = '\0'\n", "parse_error", None, "Python cannot read this"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, code: str, line: int | None, says: str) -> None:
    path = tmp_path / "flows.py"
    path.write_text(text)
    problem = _problem(path)
    assert problem.code == code
    assert says in problem.message
    assert problem.place is not None
    assert problem.place.file == str(path)
    assert problem.place.line == line


def test_places_show_the_path_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flows.py").write_text(
        "from headrace.dsl.python import *\n@workflow\ndef flow():\n    len(noop())\n"
    )
    monkeypatch.chdir(tmp_path)
    assert str(_problem(Path("flows.py")).place) == "flows.py:4:5"
    assert str(_problem(tmp_path / "flows.py").place) == f"{tmp_path}/flows.py:4:5"


def test_the_checker_s_problems_stand_at_the_user_s_lines(tmp_path: Path) -> None:
    path = tmp_path / "flows.py"
    path.write_text(
        "from headrace.dsl.python import *\n"
        "@workflow\n"
        "def one():\n"
        "    noop(id='a')\n"
        "    noop(id='b', max_parallel=3)\n"
        "@workflow(priority='urgent')\n"
        "def two():\n"
        "    with finally_():\n"
        "        sleep('soon')\n"
        "    noop()\n"
    )
    with pytest.raises(InvalidWorkflow) as caught:
        load_python(path)
    places = {str(problem.place): problem.code for problem in caught.value.problems}
    assert places == {f"{path}:5": "schema", f"{path}:6": "schema", f"{path}:9": "schema"}


def test_a_source_holds_the_checked_workflow(tmp_path: Path) -> None:
    path = tmp_path / "flows.py"
    path.write_text("from headrace.dsl.python import *\n@workflow\ndef flow():\n    noop(id='a')\n")
    [source] = load_python(path)
    assert [task.id for task in source.workflow.tasks] == ["a"]
    assert source.workflow == source.function.build()
    assert (source.file, source.folder) == (str(path), str(tmp_path))
    assert str(source.locate(("tasks", "a"), "a")) == f"{path}:4"
