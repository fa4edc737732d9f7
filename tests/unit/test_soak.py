"""The judgement of a soak: what has grown is told, what swings or jumps once is not."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET

import pytest

from bench.soak.plot import drawn
from bench.soak.verdict import LEAST, judged, slope

NAMES = ("engine-1.memory_mib", "engine-1.cpu", "task_runs.dead_rows", "unfinished", "first_task_ms_p99")


def series(minutes: int, **changed: float) -> list[dict[str, float]]:
    """An hour in which nothing grows, each figure with some noise; `changed`: by how much a figure rises in a minute."""
    drawn = random.Random(7)
    level = dict.fromkeys(NAMES, 100.0)
    return [
        {"minute": float(minute)}
        | {name: level[name] * drawn.uniform(0.98, 1.02) for name in NAMES}
        | {"engine-1.memory_mib": 100.0 + drawn.uniform(-1, 1) + changed.get("memory", 0.0) * minute}
        for minute in range(minutes)
    ]


def test_nothing_has_grown_where_nothing_does() -> None:
    assert judged(series(60)) == []


def test_a_leak_is_told_with_its_size() -> None:
    [grown] = judged(series(60, memory=0.3))
    assert grown.name == "engine-1.memory_mib"
    assert 7.0 < grown.rise < 10.0
    assert str(grown).startswith("engine-1.memory_mib rose by")


def test_a_few_high_figures_are_no_growth() -> None:
    samples = series(60)
    for minute in (45, 52, 59):
        samples[minute]["first_task_ms_p99"] = 5_000.0
    assert judged(samples) == []


def test_the_first_half_is_a_time_of_growth() -> None:
    samples = series(60)
    for minute in range(30):
        samples[minute]["engine-1.memory_mib"] = 50.0 + minute
    assert judged(samples) == []


def test_what_is_not_known_is_not_judged() -> None:
    samples = [sample | {"runs": 1000.0 * sample["minute"]} for sample in series(60)]
    assert judged(samples) == []


def test_a_handful_of_samples_is_no_soak() -> None:
    with pytest.raises(ValueError, match="too few"):
        judged(series(LEAST - 1))


def test_the_slope_is_the_median_of_all() -> None:
    assert slope([(0, 0.0), (1, 2.0), (2, 4.0)]) == 2.0
    assert slope([(0, 0.0), (1, 2.0), (2, 4.0), (3, 6.0), (4, 900.0)]) == 2.0
    assert slope([(0, 1.0)]) == 0.0


def test_the_picture_has_a_chart_for_each_kind_and_a_line_for_each_series() -> None:
    samples = [sample | {"engine-2.memory_mib": 90.0} for sample in series(20)]
    picture = ET.fromstring(drawn(samples))
    ns = "{http://www.w3.org/2000/svg}"
    titles = [text.text for text in picture.iter(f"{ns}text") if text.get("font-weight") == "bold"]
    assert titles == [
        "memory, MiB",
        "CPU, cores",
        "runs that go on",
        "dead rows",
        "first task, ms: median and 99 of 100",
    ]
    assert len(list(picture.iter(f"{ns}polyline"))) == 6
    for line in picture.iter(f"{ns}polyline"):
        assert len((line.get("points") or "").split()) == 20
