"""Durations, sizes and shares: exact, canonical, and refused with words that help."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.core.units import format_duration, format_share, parse_duration, parse_share, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("2d", 172_800),
        (" 10m ", 600),
        ("1d2h3m4s5ms", 93_784.005),
        ("30m1h", 5400),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10", "write 10s, 10m or 10h"),
        ("1.5", "no unit"),
        ("", "no duration"),
        ("-1s", "no duration"),
        ("1 h", "no duration"),
        ("1w", "no duration"),
        ("1H", "no duration"),
        ("1m1m", "twice"),
        ("0.0001ms", "finer than a microsecond"),
        ("9999999999d", "longer than"),
        ("١s", "no duration"),
    ],
)
def test_what_is_no_duration_is_refused_in_words(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (90, "1m30s"), (3600, "1h"), (86_400.5, "1d500ms"), (0.0015, "1.5ms"), (0.000001, "0.001ms")],
)
def test_a_duration_has_one_text(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


def test_a_negative_duration_has_no_text() -> None:
    with pytest.raises(ValueError, match="negative"):
        format_duration(timedelta(seconds=-1))


@given(st.timedeltas(min_value=timedelta(0)))
def test_durations_survive_the_round_trip(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "count"),
    [("0B", 0), ("32KiB", 32_768), ("1KB", 1000), ("1.5MiB", 1_572_864), ("2GB", 2 * 10**9), ("1GiB", 2**30)],
)
def test_a_size_is_read(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["32", "32kb", "KiB", "0.3B", "1.1KiB", "1TiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_size(text)


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0%", 0.0), ("100%", 1.0), ("12.5%", 0.125)])
def test_a_share_is_read_and_written(text: str, share: float) -> None:
    assert parse_share(text) == share
    assert format_share(share) == text


@pytest.mark.parametrize("text", ["5", "0.05", "-1%", "101%", "five%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_share(text)


@given(st.floats(min_value=0.001, max_value=1).map(lambda share: round(share, 6)))
def test_shares_survive_the_round_trip(share: float) -> None:
    assert parse_share(format_share(share)) == share
