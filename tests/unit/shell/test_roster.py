"""Who could take a task, as far as engines have noted workers."""

from __future__ import annotations

import pytest

from headrace.engine.ports.messages import Beat
from headrace.engine.ports.roster import WorkerRow
from headrace.engine.shell.fleet import Fleet
from headrace.engine.shell.roster import seen, unserved


def worker(
    queues: tuple[str, ...] = ("default",),
    labels: dict[str, str] | None = None,
    kinds: tuple[str, ...] = (),
    draining: bool = False,
) -> WorkerRow:
    return WorkerRow("w", "i", queues, labels or {}, kinds, 4, 4, draining, 0.0)


@pytest.mark.parametrize(
    ("workers", "lacking", "others"),
    [
        ([], "queue", 0),
        ([worker(("cpu",)), worker(("io",))], "queue", 2),
        ([worker(("gpu",), draining=True)], "queue", 0),
        ([worker(("gpu",)), worker(("gpu",), {"zone": "b"})], "labels", 2),
        ([worker(("gpu",), {"zone": "a"}, ("python",))], "kind", 1),
        ([worker(("gpu",), {"zone": "a"}, draining=True), worker(("gpu",))], "draining", 1),
        ([worker(("gpu",), {"zone": "a"}, ("python",), draining=True), worker(("gpu",))], "labels", 1),
    ],
)
def test_the_first_thing_that_nobody_has_is_named(
    workers: list[WorkerRow], lacking: str, others: int
) -> None:
    found = unserved("gpu", {"zone": "a"}, "shell", workers)
    assert found is not None
    assert (found.lacking, found.others) == (lacking, others)


@pytest.mark.parametrize("kinds", [(), ("python", "shell")])
def test_a_busy_worker_still_serves(kinds: tuple[str, ...]) -> None:
    fits = worker(("gpu",), {"zone": "a"}, kinds)
    assert unserved("gpu", {"zone": "a"}, "shell", [fits]) is None
    assert unserved("gpu", {"zone": "a"}, "shell", [fits._replace(draining=True), fits]) is None


def test_only_workers_heard_of_late_are_noted_with_the_time_of_their_beat() -> None:
    fleet = Fleet()
    fleet.beat(Beat("old", "i", 0, ["default"], {}, 2, 0, 1), 0.0)
    fleet.beat(Beat("new", "i", 0, ["b", "a"], {"x": "y"}, 2, 0, 1, kinds=["shell"]), 9.0)
    (row,) = seen(fleet, 10.0, 1000.0)
    assert row == WorkerRow("new", "i", ("a", "b"), {"x": "y"}, ("shell",), 2, 1, False, 999.0)
