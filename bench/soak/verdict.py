"""Whether a series has grown: a pure judgement of what was sampled.

A line is laid through the second half of the series, which is when caches are full and pools are open, by the median of the slopes between
all its points (Theil and Sen): a few outliers do not turn it. Grown has what rises by more than its tolerance along that line.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple


class Tolerance(NamedTuple):
    """How much a series may rise in its second half: a share of its level, and so much in any case."""

    share: float
    least: float


TOLERANCES: Mapping[str, Tolerance] = {
    "memory_mib": Tolerance(0.05, 4.0),
    "open_files": Tolerance(0.05, 4.0),
    "cpu": Tolerance(0.25, 0.05),
    "unfinished": Tolerance(0.5, 20.0),
    "rows": Tolerance(0.5, 50.0),
    "dead_rows": Tolerance(0.5, 20_000.0),
    "bytes_a_run": Tolerance(0.1, 200.0),
    "first_task_ms_p50": Tolerance(0.25, 3.0),
    "first_task_ms_p99": Tolerance(0.5, 50.0),
    "hop_ms_p50": Tolerance(0.25, 2.0),
    "hop_ms_p99": Tolerance(0.5, 50.0),
}
"""By the last part of a figure's name; figures without one are not judged."""

LEAST = 6
"""So few samples tell nothing."""


class Grown(NamedTuple):
    """A series that rose: its level, and by how much in the second half."""

    name: str
    level: float
    rise: float

    def __str__(self) -> str:
        return f"{self.name} rose by {self.rise:.3g} from about {self.level:.3g} in the second half"


def judged(samples: Sequence[Mapping[str, float]]) -> list[Grown]:
    """The series that have grown. Raises ValueError for fewer than LEAST samples."""
    if len(samples) < LEAST:
        raise ValueError(f"{len(samples)} samples are too few to judge: {LEAST} are needed.")
    half = samples[len(samples) // 2 :]
    found = []
    for name in half[0]:
        tolerance = TOLERANCES.get(name.rpartition(".")[2])
        points = [(sample["minute"], sample[name]) for sample in half if name in sample]
        if tolerance is None or len(points) < LEAST // 2:
            continue
        level = statistics.median(value for _, value in points)
        rise = slope(points) * (points[-1][0] - points[0][0])
        if rise > max(tolerance.share * abs(level), tolerance.least):
            found.append(Grown(name, level, rise))
    return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points."""
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 > x1]
    return statistics.median(slopes) if slopes else 0.0
