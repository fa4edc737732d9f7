"""The last line of a stream, however it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.runners import lastline
from headrace.runners.lastline import JSON_BEGINS, LastLine, LineTooLong

TEXT = st.lists(
    st.sampled_from([b"\n", b"\n\n", b" ", b"\r", b"[1]", b"x", b"12", b"\xff"]), max_size=20
).map(b"".join)


@contextmanager
def heard(*pieces: bytes, most: int = 1000, begins: frozenset[int] | None = None) -> Iterator[LastLine]:
    line = LastLine(most, begins)
    for piece in pieces:
        line.hear(piece)
    try:
        yield line
    finally:
        line.close()


@given(text=TEXT, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_it_is_the_last_that_is_not_blank_wherever_the_pieces_are_cut(text: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    lines = [one.strip() for one in text.split(b"\n") if one.strip()]
    with heard(*(text[a:b] for a, b in pairwise(places))) as line:
        assert line.whole() == line.start() == (lines[-1] if lines else b"")


@pytest.mark.parametrize("pieces", [(b"[", b"1" * 9), (b"[" + b"1" * 9,), (b"x\n[" + b"1" * 9, b"\n \n")])
def test_of_a_line_that_is_too_long_the_start_is_kept(pieces: tuple[bytes, ...]) -> None:
    with heard(*pieces, most=4, begins=JSON_BEGINS) as line:
        assert line.start() == b"[111"
        with pytest.raises(LineTooLong):
            line.whole()


def test_a_long_line_of_no_use_is_not_kept() -> None:
    with heard(b"[1]\n", b"x" * 10, b"1" * 10, most=4, begins=JSON_BEGINS) as line:
        assert line.whole() == b""


def test_a_short_line_after_a_long_one_counts() -> None:
    with heard(b"[" * 100, b"\n", b"2\n", most=4, begins=JSON_BEGINS) as line:
        assert line.whole() == b"2"


def test_a_long_line_lies_on_disk_and_comes_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lastline, "IN_MEMORY", 8)
    with heard(b'"', b"ab " * 100, b'"', b" ", b"\n", begins=JSON_BEGINS) as line:
        assert line.whole() == line.whole() == b'"' + b"ab " * 100 + b'"'
