"""What reaches the terminal: aligned, readable without colour, and never steering it."""

from __future__ import annotations

import pytest

from headrace.cli.output import COLOURS, SIGNS, State, instant, paint, print_table, printable, span
from headrace.engine.core.states import RunState, TaskState


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain äöü 漢字", "plain äöü 漢字"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\rb", "a\\x0db"),
        ("tab\tkept\nline kept", "tab\tkept\nline kept"),
        ("bell\x07", "bell\\x07"),
        ("abc\u202etxt", "abc\\u202etxt"),
        ("\x9b31m", "\\x9b31m"),
        ("lonely \x1b escape", "lonely \\x1b escape"),
    ],
)
def test_nothing_written_by_a_task_can_steer_the_terminal(raw: str, shown: str) -> None:
    assert printable(raw) == shown


def test_every_state_has_a_sign_and_a_colour() -> None:
    words = {state.word for state in TaskState} | {state.word for state in RunState}
    assert words == set(SIGNS) == set(COLOURS)
    final = [SIGNS[state.word] for state in TaskState if state.final]
    assert len(set(final)) == len(final)


def test_paint_only_where_colour_is_wanted() -> None:
    assert paint("x", "failed", colour=False) == "x"
    assert paint("x", "failed", colour=True) == "\033[31;1mx\033[0m"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0.0, "0.00s"),
        (0.4249, "0.42s"),
        (12.34, "12.3s"),
        (245, "4m 05s"),
        (7380, "2h 03m"),
        (273_600, "3d 04h"),
    ],
)
def test_durations_for_people(seconds: float | None, words: str) -> None:
    assert span(seconds) == words


def test_times_are_utc_with_z() -> None:
    assert instant(1_772_345_600.5) == "2026-03-01T06:13:20.500Z"
    assert instant(None) is None


def test_a_table_is_aligned_by_columns_on_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        ("task", "state", "note"),
        [("漢字", State("failed", "timed_out"), None), ("b", State("succeeded"), ["x", "y"])],
        empty="nothing",
    )
    assert capsys.readouterr().out.splitlines() == [
        "TASK  STATE                 NOTE",
        "漢字  ✗ failed (timed_out)  -",
        "b     ✓ succeeded           x, y",
    ]


def test_an_empty_table_leaves_stdout_empty(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a",), [], empty="nothing here")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "nothing here\n")
