"""The whole engine on virtual time, with faults from a fixed range of seeds: no promise may be broken.

`make simulate` goes on with other seeds; `headrace simulate --seed N --story` tells what happens in one of them.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from headrace.testing.simulation import Script, Verdict, script, simulate
from headrace.testing.simulation.faults import CALM, Act, Weather
from headrace.testing.simulation.running import run
from headrace.testing.simulation.script import FIRST_CROWDED, FIRST_WAITING, Asked
from headrace.testing.simulation.shrinking import kind_of, shrink

SEEDS = int(os.environ.get("HEADRACE_SEEDS", "1700"))
"""Of each of the eleven tests, which as many processes share as there are: 20,350 in all."""


def holds(verdict: Verdict) -> None:
    assert not verdict.broken, (
        f"seed {verdict.script.seed}: {verdict.broken[0]}\n{verdict.script.describe()}\n"
        f"headrace simulate --seed {verdict.script.seed} tells more, and makes it small"
    )


@pytest.mark.parametrize("first", [*range(0, 9_000_000, 1_000_000), FIRST_WAITING, FIRST_CROWDED])
def test_no_seed_breaks_a_promise(first: int) -> None:
    """I1 to I12"""
    tally = run(first, SEEDS)
    for verdict in tally.failures:
        holds(verdict)
    assert tally.seeds == SEEDS
    assert tally.attempts > SEEDS


def test_a_seed_is_one_world_whatever_python_draws_for_its_hashes() -> None:
    look = "from headrace.testing.simulation.running import run; print(run(500, 50).hashes)"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", look],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "4242")
    ]
    told = [process.communicate()[0] for process in running]
    assert told[0] == told[1]
    assert len(set(told[0].split(","))) > 45


def test_other_seeds_are_other_worlds_and_the_story_changes_nothing() -> None:
    assert simulate(script(1)).hash == simulate(script(1), told=True).hash != simulate(script(2)).hash
    assert simulate(script(1), told=True).story


def test_what_a_script_leaves_out_does_not_happen() -> None:
    whole = Script(
        seed=5,
        parts=2,
        engines=2,
        workers=(2, 1),
        asked=(Asked(0.1, 40), Asked(0.2, 41)),
        acts=(Act(0.5, "kill_engine", 0, 3, 1.0), Act(1.0, "dark", seconds=1.0), Act(1.2, "cancel")),
        weather=Weather(refused=0.1, late=0.2),
        heals_at=4.0,
    )
    smaller = whole.smaller()
    assert {len(one.acts) for one in smaller} >= {1, 2}
    assert any(one.weather == CALM for one in smaller)
    assert any(len(one.asked) == 1 for one in smaller)
    assert all(one != whole for one in smaller)


def test_a_failure_is_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the fence open a stale engine writes: whatever else goes wrong in that world is left out."""
    from headrace.engine.store import sqlite_batch

    monkeypatch.setattr(sqlite_batch, "lost", lambda connection, batches: [])
    failed = next(v for v in (simulate(script(seed)) for seed in range(90, 2_000)) if kind_of(v) == "I8")
    small = shrink(failed).script
    assert kind_of(simulate(small)) == "I8"
    assert len(small.acts) <= len(failed.script.acts)
    assert len(small.asked) < len(failed.script.asked)
    assert not any(kind_of(simulate(less)) == "I8" for less in small.smaller())
