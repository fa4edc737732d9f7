"""The ids of live streams: what they say is what they said, and frames are cut where that hurts nobody."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.api.live.frames import PIECE, Place, frame, pieces, place_of, rest
from headrace.api.live.marks import LONGEST, Attempt, counts_of, marked

_ATTEMPTS = st.builds(
    Attempt,
    st.sampled_from(["list", "each", "a.b", "größe"]),
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(0, 2**62),
)


@given(st.dictionaries(_ATTEMPTS, st.integers(0, 2**40), max_size=50))
def test_counts_of_lines_come_back(counts: dict[Attempt, int]) -> None:
    id = marked(counts)
    assert len(id) <= LONGEST
    assert id.isascii()
    assert counts_of(id) == counts


def test_neighbours_cost_little_and_too_many_have_no_id() -> None:
    each = {Attempt("each", 1, 1, place): 3 for place in range(1, 4_001)}
    assert len(marked(each)) < 300
    assert counts_of(marked(each)) == each
    assert marked({Attempt("each", 1, 1, place): 3 for place in range(10_000)}) == ""


@given(st.integers(1, 10**12), st.integers(1, 10**6))
def test_a_place_is_what_its_id_says(seq: int, move: int) -> None:
    assert place_of(f"{seq}.{move}") == Place(seq - 1, move)
    assert place_of(f"{seq}") == Place(seq)
    assert place_of(f"{seq}.end") == Place(seq, ended=True)


@given(st.lists(st.integers(0, 3 * PIECE), max_size=8), st.integers(0, 8))
def test_pieces_are_the_frames(sizes: list[int], skip: int) -> None:
    frames = [frame("task", b"x" * size, f"1.{place}") for place, size in enumerate(sizes)]
    data = b"".join(frames)
    cut = list(pieces(data))
    assert b"".join(cut) == data
    assert all(0 < len(piece) <= PIECE for piece in cut)
    assert rest(data, skip) == b"".join(frames[skip:])
