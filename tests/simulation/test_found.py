"""What the simulator has found (docs/design/simulation.md), each as a scene of its own: seeds grow other worlds when it learns more.

Every scene is decided again from its history at its end, and may leave nothing over.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.engine.core.workflow import Group, Limits, Noop, Pool, PythonCall, Retry, Sleep, Switch, Task
from headrace.engine.shell.settings import EngineSettings
from headrace.runners.attempt import Attempt, Outcome
from headrace.testing.simulation.bodies import Does
from headrace.testing.simulation.faults import Act
from headrace.testing.simulation.world import World
from tests.support.scenes import (
    BODY,
    SCENE,
    body,
    executions,
    flow,
    play,
    run_state,
    seconds,
    states,
    takes,
    told,
)

NARROW = replace(SCENE, engines=1, workers=(1,))
"""One engine, and a worker that does one thing at a time: what is ready waits."""

SMALL = Pool("small")
"""Of one slot."""


def busy(long: float, output: bytes | None = None) -> Does:
    """The task `a` keeps the worker for so long; the others are quick, and fail the first time."""

    def does(attempt: Attempt) -> tuple[float, Outcome, bool]:
        if attempt.dispatch.job.task_id == "a":
            return long, Outcome("succeeded", output), False
        return 0.1, Outcome("failed" if attempt.key[4] == 1 else "succeeded"), False

    return does


@pytest.mark.parametrize("parts", [1, 4])
def test_a_granted_slot_whose_owner_dies_before_it_is_used_is_asked_for_again(parts: int) -> None:
    workflow = flow(body("a"), body("b", pool=SMALL, retry=Retry(2, seconds(0))))
    world = play(workflow, busy(6.0), Act(2.0, "kill_engine", 0, 0, 0.5), scene=replace(NARROW, parts=parts))
    assert run_state(world) == "succeeded"
    assert executions(world) == [1, 1, 1]


@pytest.mark.parametrize("work", [BODY, Sleep(seconds(1))], ids=["a retry", "a nap"])
def test_what_only_made_something_ready_stands_in_history(work: PythonCall | Sleep) -> None:
    """A slot is granted and a timer fires while no worker has room: nothing moves then, and what moves later follows from it."""
    workflow = flow(
        body("a"),
        Task("b", work, retry=Retry(2, seconds(1), jitter="none")),
        body("c", "b", retry=Retry(2, seconds(1), jitter="none"), pool=SMALL),
        body("d", retry=Retry(2, seconds(1), jitter="none"), pool=SMALL),
    )
    world = play(workflow, busy(4.0), scene=NARROW)
    assert run_state(world) == "succeeded"


@pytest.mark.parametrize("chosen", [b'"b"', b'["c", "b"]', b"[]", b'["nobody"]', b"7"])
def test_what_a_switch_function_returned_stands_in_history(chosen: bytes) -> None:
    """Its task run keeps a list of what is there, whatever the function gave."""
    workflow = flow(
        Task("a", Switch(python="bodies:choice")),
        body("b", "a", retry=Retry(2, seconds(0))),
        body("c", "a", retry=Retry(2, seconds(0))),
    )
    found = states(play(workflow, busy(0.1, chosen), scene=NARROW))
    if found["a"] == "succeeded":
        assert [name for name in "bc" if found[name] == "succeeded"] == [
            n for n in "bc" if n in chosen.decode()
        ]
    else:
        assert found == {"a": "failed", "b": "upstream_failed", "c": "upstream_failed"}


def test_that_a_run_was_loaded_stands_in_history() -> None:
    """Of tasks that wait for one place the first owner takes the one that was ready first; whoever loads the run, that of the first
    name. Nothing else tells the two apart."""
    tasks = [body("a"), body("b", "n", retry=Retry(2, seconds(0))), body("c"), Task("n", Noop())]
    workflow = flow(*tasks, limits=Limits(active_tasks=1))
    begun: dict[bool, list[str]] = {}
    for killed in (False, True):
        acts = [Act(1.0, "kill_engine", 0, 0, 0.2)] if killed else []
        world = play(workflow, busy(2.0), *acts, scene=NARROW)
        order = sorted((done[0].began, key[2]) for key, done in world.bodies.executions.items())
        begun[killed] = [tasks[place].id for _, place in order]
    assert begun[False][:2] == ["a", "c"]
    assert begun[True][:2] == ["a", "b"]


def test_no_turn_waits_for_nothing() -> None:
    """A poll and a sweep whose times cannot be written exactly: what is due for who waits is due for who looks."""
    scene = replace(NARROW, heals_at=1.0)
    world = World(scene, workflows=[flow(Task("nap", Sleep(seconds(30))), body("a"))], does=busy(60.0))
    world.ground.settings = EngineSettings.shared(poll_seconds=0.1, sweep_seconds=0.3, quiet_gc=False)
    told(world.run())
    assert run_state(world) == "succeeded"
    assert world.timeline.steps < 20_000


def test_a_second_kill_is_answered_though_it_changes_nothing() -> None:
    acts = (Act(1.0, "kill_worker", 0, 0, 5.0), Act(1.5, "kill_run"), Act(2.5, "kill_run"))
    world = play(flow(body("a")), busy(6.0), *acts, scene=NARROW)
    assert run_state(world) == "cancelled"


@pytest.mark.parametrize("amount", [4, 8, 28], ids=["skip", "succeed", "cancel"])
def test_what_is_asked_of_a_group_is_refused(amount: int) -> None:
    """It changed nothing, and was answered nowhere."""
    workflow = flow(Task("g", Group((body("a"), body("b")))), body("z"))
    world = play(workflow, takes(3.0), Act(1.0, "task", 0, amount), scene=NARROW)
    assert world.client._shapes[0].plan.ids[amount % 4] == "g"
    assert run_state(world) == "succeeded"
