"""Workflow files as arguments: `FILE:name`, folders, listings, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.cli.failure import Stop
from headrace.cli.files import Target, expand, target, workflows_below
from headrace.cli.main import main


@pytest.fixture
def folder(alone: Path) -> Path:
    """Files that hold workflows, and files that do not."""
    for name, text in {
        "hello.yaml": "# one\nworkflow: hello\ntasks: {}\n",
        "compose.yaml": "services: {}\n",
        "etl.json": '{"workflow": "etl", "tasks": {}}',
        "package.json": '{"name": "x"}',
        "many.py": (
            "from headrace.dsl import workflow\n\n@workflow\ndef a(): ...\n\n"
            "@workflow(tags=['x'],\n    description='y')\nasync def b(): ...\n"
        ),
        "plain.py": "def workflow(): ...\n",
        "deep/er/late.yml": 'workflow: "late"\n',
        ".hidden/secret.yaml": "workflow: hidden\n",
        "venv/pyvenv.cfg": "",
        "venv/lib/x.yaml": "workflow: installed\n",
        "latin.yaml": b"workflow: \xff\n".decode("latin-1"),
    }.items():
        path = alone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    return alone


def test_a_folder_is_looked_through_without_parsing(folder: Path) -> None:
    found = {str(path.relative_to(folder)): names for path, names in workflows_below(folder)}
    assert found == {
        "etl.json": ["etl"],
        "hello.yaml": ["hello"],
        "many.py": ["a", "b"],
        "deep/er/late.yml": ["late"],
    }


def test_run_without_a_file_lists_what_to_type(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "headrace run etl.json   # etl",
        "headrace run hello.yaml   # hello",
        "headrace run many.py:a   # a",
        "headrace run many.py:b   # b",
        "headrace run deep/er/late.yml   # late",
    ]


def test_an_empty_folder_says_how_to_begin(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 2
    assert "headrace init makes two" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("hello.yaml", Target("hello.yaml", None)),
        ("many.py:a", Target("many.py", "a")),
        ("C:\\flows\\x.yaml", Target("C:\\flows\\x.yaml", None)),
        ("-", Target("-", None)),
    ],
)
def test_a_name_follows_the_file(text: str, read: Target) -> None:
    assert target(text) == read


def test_a_colon_in_a_file_name_wins(alone: Path) -> None:
    (alone / "odd:name").write_text("")
    assert target("odd:name") == Target("odd:name", None)


def test_folders_and_files_are_expanded_in_order(folder: Path) -> None:
    assert [str(one) for one in expand(["many.py:b", "deep"])] == ["many.py:b", "deep/er/late.yml"]


@pytest.mark.parametrize("command", ["run", "validate", "graph", "export", "register"])
def test_a_file_that_is_not_there_names_the_nearest(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "helo.yaml"]) == 2
    said = capsys.readouterr()
    assert said.err == 'headrace: there is no file helo.yaml.\n  Did you mean "hello.yaml"?\n'


def test_a_folder_where_a_file_is_wanted(folder: Path) -> None:
    from headrace.cli.files import load_one

    with pytest.raises(Stop, match="deep is a folder"):
        load_one("deep")
