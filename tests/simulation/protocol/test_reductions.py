"""What the model leaves out to be small changes no verdict."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulation.protocol.checker import Explorer
from tests.simulation.protocol.model import Model, check, told
from tests.simulation.protocol.terms import Budget, Sizes

SMALL: list[dict[str, Any]] = [
    {"tasks": 1, "workers": 2, "crash": 1, "steal": 1, "hand_back": 1},
    {"tasks": 1, "workers": 2, "steal": 1, "duplicate": 1},
    {"tasks": 1, "workers": 2, "crash": 1, "loss": 1, "chatter": 1},
    {"tasks": 1, "workers": 2, "cancel": 1, "steal": 1, "duplicate": 1},
    {"tasks": 1, "workers": 2, "crash": 1, "cut": 1},
    {"tasks": 2, "workers": 2, "crash": 1},
    {"tasks": 1, "workers": 2, "steal": 1, "forget": 1, "queues": 2},
]


@pytest.mark.parametrize("sizes", SMALL, ids=str)
def test_publishing_step_by_step_is_sound_too(sizes: dict[str, Any]) -> None:
    reduced, stepwise = check(**sizes), check(**sizes, stepwise=True)
    assert reduced.sound, told(reduced)
    assert stepwise.sound, told(stepwise)
    assert stepwise.states > reduced.states


@pytest.mark.parametrize("sizes", SMALL, ids=str)
def test_renaming_is_sound_too(sizes: dict[str, Any]) -> None:
    reduced, whole = check(**sizes), check(**sizes, symmetric=False)
    assert reduced.sound
    assert whole.sound, told(whole)
    assert reduced.depth == whole.depth
    assert reduced.states < whole.states <= 4 * reduced.states


def test_every_state_of_the_whole_world_is_one_of_the_reduced_world_renamed() -> None:
    sizes = Sizes(2, 2, Budget(crash=1))
    reduced, whole = Explorer(Model(sizes)), Explorer(Model(sizes, symmetric=False))
    reduced.explore()
    whole.explore()
    assert {reduced.same(state) for state in whole.states()} == set(reduced.states())
