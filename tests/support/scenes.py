"""Scenes for the simulator: a small world with a workflow and acts of its own, played to its end and judged."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import PythonCall, Task, Workflow
from headrace.runners.attempt import Outcome
from headrace.testing.simulation.bodies import Does
from headrace.testing.simulation.faults import CALM, Act
from headrace.testing.simulation.script import Asked, Script
from headrace.testing.simulation.world import Verdict, World

BODY = PythonCall("bodies:body")
SCENE = Script(
    seed=1, parts=1, engines=2, workers=(2, 2), asked=(Asked(0.0, 0),), acts=(), weather=CALM, heals_at=30.0
)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def body(id: str, *depends_on: str, **keys: Any) -> Task:
    return Task(id, BODY, depends_on=depends_on, **keys)


def flow(*tasks: Task, name: str = "scene", **keys: Any) -> Workflow:
    return Workflow(name, tuple(sorted(tasks, key=lambda task: task.id)), **keys)


def takes(long: float, kind: str = "succeeded", output: bytes | None = None) -> Does:
    """Every attempt takes so long and ends like that."""
    return lambda attempt: (long, Outcome(kind, output), False)


def play(
    workflow: Workflow,
    does: Does,
    *acts: Act,
    scene: Script = SCENE,
    beside: Callable[[World], Coroutine[Any, Any, None]] | None = None,
) -> World:
    """The scene played to its end, without any promise broken. `beside` runs at the same time, in no process."""
    world = World(replace(scene, acts=tuple(sorted(acts))), workflows=[workflow], does=does)
    if beside is not None:
        world.loop.create_task(beside(world))
    told(world.run())
    return world


def told(verdict: Verdict) -> None:
    assert not verdict.broken, verdict.broken


def states(world: World, run: int = 1) -> dict[str, str]:
    """What became of the task runs of a run, in its newest generation; of map items, by index."""
    raw = world.database.lane.raw
    plan = world.client._shapes[0].plan
    rows = raw.execute("SELECT task, map, state FROM task_runs WHERE run = ? ORDER BY generation", (run,))
    return {
        plan.ids[task] + (f"/{path >> 42}" if path else ""): TaskState(state).word
        for task, path, state in rows
    }


def run_state(world: World, run: int = 1) -> str:
    (state,) = world.database.lane.raw.execute("SELECT state FROM runs WHERE no = ?", (run,)).fetchone()
    return RunState(state).word


def executions(world: World) -> list[int]:
    """How often each attempt was executed, by its key."""
    return [len(found) for _, found in sorted(world.bodies.executions.items())]


def counted(world: World, name: str) -> int:
    """A counter, of all engines that lived at the end."""
    return sum(getattr(each.engine.counters, name) for each in world.engines if each.engine is not None)
