"""What a task writes becomes whole, bounded lines without secrets, however it is cut into pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.ports.messages import Dispatch, Job, Limits, Log
from headrace.runners.loglines import LONGEST_LINE, LogLines
from headrace.runners.redaction import Redactor


class Kept:
    """Logs in a list."""

    def __init__(self) -> None:
        self.lines: list[Log] = []

    def write(self, lines: Sequence[Log]) -> None:
        self.lines += lines

    async def read(
        self, run_id: str, task_id: str, map: int, generation: int, attempt: int, after: int = 0
    ) -> list[Log]:
        return self.lines[after:]

    async def follow(self, run_id: str) -> AsyncIterator[Log]:
        for line in self.lines:
            yield line


DISPATCH = Dispatch(1, "r", 0, 0, 0, 1, 1, 1, Job("w", "t", "shell", {}, Limits()), {})


def written(pieces: Sequence[str], redactor: Redactor | None = None) -> list[str]:
    kept = Kept()
    lines = LogLines(DISPATCH, kept, redactor, lambda: 5.0)
    for piece in pieces:
        lines.write("stdout", piece)
    lines.close()
    assert all((line.at, line.stream, line.task_id) == (5.0, "stdout", "t") for line in kept.lines)
    return [line.text for line in kept.lines]


def test_line_ends_of_all_kinds() -> None:
    assert written(["a\nb\r\nc\rd\n\ne"]) == ["a", "b", "c", "d", "", "e"]
    assert written(["a\r", "\nb\r", "c"]) == ["a", "b", "c"]
    assert written([""]) == []


@given(st.lists(st.text("ab\r\n", max_size=6), max_size=8))
def test_the_cuts_between_writes_change_nothing(pieces: list[str]) -> None:
    assert written(pieces) == written(["".join(pieces)])


@given(st.integers(0, 60), st.integers(1, 40), st.integers(1, 5))
def test_a_secret_is_hidden_wherever_a_line_or_write_is_cut(start: int, step: int, times: int) -> None:
    secret = "hunter2-" * 3
    text = "x" * (LONGEST_LINE - start) + secret * times + "y" * LONGEST_LINE + secret
    redactor = Redactor([secret])
    size = 400 + step
    for pieces in ([text], [text[at : at + size] for at in range(0, len(text), size)]):
        seen = "".join(written(pieces, redactor))
        assert "hunter2" not in seen
        assert seen.count("***") == times + 1


def test_an_endless_line_does_not_stay_in_memory() -> None:
    kept = Kept()
    lines = LogLines(DISPATCH, kept, None)
    for _ in range(100):
        lines.write("stdout", "x" * 5000)
    assert sum(len(line.text) for line in kept.lines) >= 500_000 - LONGEST_LINE
    assert max(len(line.text) for line in kept.lines) <= LONGEST_LINE


def test_a_message_of_several_lines() -> None:
    kept = Kept()
    lines = LogLines(DISPATCH, kept, Redactor(["hunter2"]))
    lines.line("log", "a hunter2\nb")
    lines.line("log", "")
    assert [(line.stream, line.text) for line in kept.lines] == [("log", "a ***"), ("log", "b"), ("log", "")]
