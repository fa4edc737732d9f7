"""What a worker remembers stays bounded; what it says of its pace is time."""

from __future__ import annotations

import pytest

from headrace.engine.ports.messages import Report
from headrace.runners import finished
from headrace.runners.finished import Finished
from headrace.runners.outbox import ENVELOPE_BYTES, LARGEST_ENVELOPE, _envelopes
from headrace.runners.pace import MOST_AHEAD, Pace


def report(task: int, output: bytes | None = None) -> Report:
    return Report(1, 0, task, 0, 1, 1, 1, "succeeded", 0.0, 0.0, output)


def key(task: int) -> tuple[int, int, int, int, int]:
    return (1, 0, task, 0, 1)


def test_finished_attempts_are_bounded_by_number_bytes_and_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished, "MOST", 100)
    monkeypatch.setattr(finished, "MOST_BYTES", 1000)
    now = 0.0
    memory = Finished(lambda: now)
    for task in range(250):
        now = float(task)
        memory.keep(key(task), report(task))
    assert list(memory.reports) == [key(task) for task in range(150, 250)]
    now = finished.OLDEST + 200
    memory.forget()
    assert list(memory.reports) == [key(task) for task in range(201, 250)]
    for task in range(1000, 1020):
        memory.keep(key(task), report(task, b"x" * 100))
    assert list(memory.reports) == [key(task) for task in range(1010, 1020)]
    for _ in range(50):
        memory.keep(key(1019), report(1019, b"x" * 100))
    assert len(memory.reports) == 10, "the same one again takes no more room"


def test_a_repeated_report_bears_the_newest_delivery() -> None:
    memory = Finished()
    memory.keep(key(1), report(1, b"7"))
    assert (memory.again(key(1), 1, 5).n, memory.again(key(1), 1, 3).n, memory.again(key(1), 2, 1).epoch) == (
        5,
        5,
        2,
    )
    assert memory.reports[key(1)].output == b"7"


def test_envelopes_stay_small_and_keep_their_order() -> None:
    items = [(key(task), report(task, b"x" * 30_000 if task % 3 == 0 else None)) for task in range(3000)]
    cuts = _envelopes(items)
    assert [item for cut in cuts for item in cut] == items
    for cut in cuts:
        assert len(cut) <= LARGEST_ENVELOPE
        assert sum(len(each.output or b"") for _, each in cut) <= ENVELOPE_BYTES
    assert len(_envelopes(items[:1])) == 1


@pytest.mark.parametrize(
    ("slots", "seconds", "ahead"),
    [(4, 0.0, MOST_AHEAD), (4, 0.001, 400), (4, 0.1, 4), (4, 1.0, 0), (100, 0.05, 200)],
)
def test_ahead_is_what_can_be_started_within_100_ms(slots: int, seconds: float, ahead: int) -> None:
    pace = Pace(slots, ahead=9)
    assert pace.ahead() == 9
    for _ in range(10):
        pace.took(seconds)
    assert pace.ahead() == pytest.approx(ahead, abs=1)
    assert pace.ahead() == pytest.approx(ahead, abs=1), "asked again, nothing has changed"


def test_the_average_moves() -> None:
    pace = Pace(10)
    pace.took(0.001)
    assert pace.ahead() == pytest.approx(1000, abs=1)
    for _ in range(20):
        pace.took(1.0)
        pace.ahead()
    assert pace.ahead() == pytest.approx(1, abs=1)
