"""What makes two errors the same."""

from __future__ import annotations

import json

import pytest

from headrace.engine.store.fingerprints import fingerprint, normalised


def of(message: str, kind: str = "ValueError", workflow: str = "etl", task: str = "load") -> str:
    return fingerprint(workflow, task, json.dumps({"kind": kind, "message": message}).encode())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no row 17 of 2,000.5", "no row 9 of 1"),
        ("job 01a204eb-a22e-7007-a9f7-3ff039945f88 gone", "job 11111111-2222-7333-8444-555555555555 gone"),
        ("object at 0x7f3a2b", "object at 0xdeadbeef"),
        (
            "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
            "commit 0123456789abcdef0123456789abcdef01234567",
        ),
        ("late since 2026-03-01T06:00:00.123Z", "late since 2025-12-31 23:59"),
        ("10.0.0.1:5432 refused", "192.168.7.200:80 refused"),
        ("a  line\nbroken", "a line broken "),
    ],
)
def test_what_varies_does_not_count(one: str, other: str) -> None:
    assert of(one) == of(other)


def test_what_differs_counts() -> None:
    seen = {
        of("no such day"),
        of("no such month"),
        of("no such day", kind="KeyError"),
        of("no such day", workflow="other"),
        of("no such day", task="extract"),
    }
    assert len(seen) == 5


@pytest.mark.parametrize("word", ["deadbeef", "decade", "facade", "12", "a1"])
def test_words_of_letters_are_no_numbers(word: str) -> None:
    assert normalised(f"see {word}") == ("see <n>" if word == "12" else f"see {word}".replace("1", "<n>"))


def test_a_huge_message_costs_little_and_an_unreadable_error_has_a_fingerprint() -> None:
    assert of("x" * 5_000_000) == of("x" * 6_000_000)
    assert len({fingerprint("w", "t", error) for error in (b"\xff", b"[1]", b'"text"', b"")}) >= 3
