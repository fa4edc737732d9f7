"""The protocol holds in every order of events of worlds of these sizes: nothing breaks, and a good end stays in reach.

The sizes are those that one core explores in about a minute together; `make model` explores larger ones.
"""

from __future__ import annotations

import pytest

from tests.simulation.protocol.worlds import DAILY, Named


@pytest.mark.parametrize("world", DAILY, ids=lambda world: world.name)
def test_every_order_of_events(world: Named) -> None:
    """faults 17, 19, 20, 23, 24, 26, 28, 32, 48, 53, 54, 56; I3, I7, I8, and I9 without its time"""
    verdict = world.check(**world.sizes)
    assert verdict.sound, world.told(verdict)
    assert verdict.states > 1
