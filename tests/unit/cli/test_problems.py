"""Problems on the screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.cli.problems import MOST, show_problems
from headrace.engine.core.problems import Place, Problem


def test_a_problem_shows_its_place_its_line_and_what_to_do(
    alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (alone / "etl.yaml").write_text("workflow: etl\ntasks:\n  load:\n    depends_on: transfrom\n")
    problem = Problem(
        "unknown_dependency",
        'task "load" waits for "transfrom", which is not defined.',
        hint='Did you mean "transform"?',
        place=Place("etl.yaml", 4, 17),
    )
    warning = Problem("never_runs", 'task "x" never runs.', place=Place("etl.yaml"))
    show_problems([problem], [warning])
    assert capsys.readouterr().err.splitlines() == [
        'etl.yaml:4:17: error: task "load" waits for "transfrom", which is not defined. [unknown_dependency]',
        "          depends_on: transfrom",
        "                      ^",
        '    Did you mean "transform"?',
        'etl.yaml: warning: task "x" never runs. [never_runs]',
        "1 problem, 1 warning.",
    ]


def test_text_from_a_file_cannot_steer_the_terminal(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (alone / "x.yaml").write_text("a: \x1b[2Jgone\n")
    show_problems([Problem("schema", "bad \x1b]0;t\x07name", place=Place("x.yaml", 1, 4))])
    assert "\x1b" not in capsys.readouterr().err


def test_a_place_that_cannot_be_read_again_is_only_named(capsys: pytest.CaptureFixture[str]) -> None:
    show_problems([Problem("schema", "wrong.", place=Place("gone.yaml", 3, 1))])
    assert capsys.readouterr().err.splitlines()[0] == "gone.yaml:3:1: error: wrong. [schema]"
    show_problems([Problem("schema", "wrong.", place=Place("<stdin>", 3, 1))])


def test_a_long_line_is_shown_around_its_column(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (alone / "long.json").write_text("x" * 500 + "HERE" + "y" * 500)
    show_problems([Problem("schema", "wrong.", place=Place("long.json", 1, 501))])
    shown, mark = capsys.readouterr().err.splitlines()[1:3]
    assert len(shown) < 120
    assert shown[mark.index("^")] == "H"


def test_many_problems_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    show_problems([Problem("schema", f"wrong {n}.") for n in range(MOST + 5)])
    told = capsys.readouterr().err.splitlines()
    assert told[-2:] == ["… and 5 more; --json has them all.", f"{MOST + 5} problems, 0 warnings."]
