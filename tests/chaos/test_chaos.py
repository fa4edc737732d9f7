"""The short form of `make chaos`: worlds of known seeds, each with `kill -9`, SIGSTOP, restarts and broken connections under load.

faults 17, 18, 23, 24, 33, 34, 47, 48, 53, 54, 56, 57, 63. docs/reliability.md records the long form.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import Place, place
from tests.chaos.script import script
from tests.chaos.world import play

KILLS = 10
"""At least, in each world."""


@pytest.fixture(scope="module")
def servers() -> Iterator[Place]:
    """Servers behind proxies, for the worlds of this process."""
    with place() as made:
        yield made


@pytest.mark.parametrize("seed", [3, 102, 103, 114, 134, 136])
def test_every_promise_is_kept(servers: Place, tmp_path: Path, seed: int) -> None:
    outcome = play(servers, script(seed, seconds=10.0, disturbances=20, runs=20), tmp_path)
    assert not outcome.broken, f"{outcome}\n{outcome.said}"
    assert outcome.kills >= KILLS, outcome
    assert outcome.attempts > 0
