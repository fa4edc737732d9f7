"""Reports on disk: order, restarts, and files that were cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.engine.ports.messages import ErrorInfo, Report
from headrace.runners.spill import Spill

MUCH = 1 << 20


Opened = Callable[[Path], Spill]


@pytest.fixture
def opened() -> Iterator[Opened]:
    spills: list[Spill] = []

    def open_(folder: Path) -> Spill:
        spills.append(Spill(folder))
        return spills[-1]

    yield open_
    for spill in spills:
        spill.close()


def report(number: int, output: bytes | None = None) -> Report:
    return Report(1, 0, number, 0, 1, 1, 1, "succeeded", 1.0, 2.5, output)


def test_what_comes_back_is_what_went_in_in_order(tmp_path: Path, opened: Opened) -> None:
    spill = opened(tmp_path / "reports")
    first = [
        report(0, b'"\xc3\xbc"'),
        Report(1, 0, 1, 0, 1, 1, 1, "failed", error=ErrorInfo("E", "no", ["E"])),
    ]
    spill.put(3, first)
    spill.put(3, [report(2)])
    spill.put(4, [report(9)])
    assert (spill.waiting(3), spill.waiting(4), spill.waiting(5)) == (3, 1, 0)
    assert spill.take(3, 2, MUCH) == first
    spill.put(3, [report(5)])
    assert spill.take(3, 9, MUCH) == [report(2), report(5)]
    assert spill.parts() == [4]


def test_a_taking_is_bounded_by_bytes_too_and_never_empty(tmp_path: Path, opened: Opened) -> None:
    spill = opened(tmp_path)
    spill.put(0, [report(number, b'"' + b"x" * 1000 + b'"') for number in range(10)])
    assert [each.task for each in spill.take(0, 100, 2000)] == [0, 1]
    assert [each.task for each in spill.take(0, 100, 1)] == [2]


def test_a_file_goes_when_all_of_it_was_taken(tmp_path: Path, opened: Opened) -> None:
    spill = opened(tmp_path)
    spill.put(0, [report(0), report(1)])
    spill.take(0, 1, MUCH)
    spill.drop(0)
    assert len(list(tmp_path.iterdir())) == 1, "one report is still to be sent"
    spill.take(0, 1, MUCH)
    spill.drop(0)
    assert list(tmp_path.iterdir()) == []
    spill.put(0, [report(2)])
    assert spill.take(0, 1, MUCH) == [report(2)]


def test_the_next_incarnation_finds_what_was_not_sent_and_what_was_sent_without_an_answer(
    tmp_path: Path, opened: Opened
) -> None:
    before = opened(tmp_path)
    before.put(2, [report(0), report(1)])
    before.take(2, 1, MUCH)
    before.close()
    after = opened(tmp_path)
    assert after.load() == 2
    after.put(2, [report(7)])
    assert [each.task for each in after.take(2, 9, MUCH)] == [0, 1, 7]


def test_a_line_that_was_cut_off_or_damaged_costs_only_itself(tmp_path: Path, opened: Opened) -> None:
    before = opened(tmp_path)
    before.put(0, [report(0), report(1)])
    before.close()
    (file,) = tmp_path.iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + b"\x00\x00\n" + lines[1] + lines[1][:20])
    after = opened(tmp_path)
    assert after.load() == 3
    after.put(0, [report(2)])
    assert [each.task for each in after.take(0, 9, MUCH)] == [0, 1, 2]


def test_nothing_is_made_where_nothing_is_put(tmp_path: Path, opened: Opened) -> None:
    spill = opened(tmp_path / "reports")
    assert (spill.load(), spill.parts(), spill.take(0, 1, MUCH)) == (0, [], [])
    assert not (tmp_path / "reports").exists()
