"""One world of chaos from its beginning to its judgement."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from headrace.engine.store import open_store
from headrace.testing.simulation.shapes import Shape, shape
from tests.chaos import bodies
from tests.chaos.checking import check
from tests.chaos.cluster import QUEUES, Cluster, Place, cluster
from tests.chaos.gathering import gather
from tests.chaos.load import Load
from tests.chaos.pools import PoolWatch
from tests.chaos.script import Disturbance, Script

ENDS_WITHIN = 180.0
"""Seconds after the last disturbance in which all runs have ended (I9). Generous: the machine may be busy with other things."""

CANARY = "canary-7f3a91c2d5"
LOOK_EVERY = 0.2
_DONE = """
SELECT (SELECT count(*) FROM runs WHERE finished_at IS NULL), (SELECT count(*) FROM inbox),
       (SELECT count(*) FROM dead_letters WHERE publish_at IS NOT NULL)
"""


@dataclass
class Outcome:
    """What became of a world. `done`: what was done to whom, and how often; `broken`: what should not be; `said`: the members'
    words, where something is broken; `pool_looks`: how often slots of pools were seen to be held. Times in seconds."""

    seed: int
    broken: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    attempts: int = 0
    pool_looks: int = 0
    healing: float = 0.0
    said: str = ""

    @property
    def kills(self) -> int:
        """How often a process was ended by `kill -9`."""
        return sum(times for what, times in self.done.items() if what.startswith("kill "))

    @property
    def disturbances(self) -> int:
        """How often anything was done to anybody; who could not start meanwhile is counted in `done` alone."""
        return sum(times for what, times in self.done.items() if not what.startswith("refused "))

    def __str__(self) -> str:
        told = f"seed {self.seed}: {self.kills} kills of {self.disturbances} disturbances, {self.runs} runs, "
        told += f"{self.attempts} executions, all at rest after {self.healing:.1f} s"
        return "\n  ".join([told, *self.broken[:20]])


def play(place: Place, script: Script, folder: Path) -> Outcome:
    """Live through it, look at everything that it leaves."""
    outcome = Outcome(script.seed)
    place.heal()
    shapes = [shape(number) for number in _numbers(script)]
    settings = {"CHAOS_SEED": str(script.seed), "HEADRACE_SECRET_CANARY": CANARY}
    with cluster(place, folder, settings) as made:
        choices = {
            each.plan.workflow.name: {each.plan.ids[node]: ids for node, ids in each.choices.items()}
            for each in shapes
        }
        made.deployment.write("bodies.py", bodies.source(choices))
        made.start()
        made.deployment.go(_live(made, script, shapes, outcome))
        outcome.done = made.done
        outcome.broken += made.failures + made.end()
        if outcome.broken:
            outcome.said = made.deployment.said
    return outcome


def _numbers(script: Script) -> list[int]:
    """Of all shapes that may run."""
    found: dict[int, None] = {}
    waiting = [number for _, number in script.asked]
    for number in waiting:  # grows while it is walked
        if number not in found:
            found[number] = None
            waiting += shape(number).children
    return list(found)


async def _live(made: Cluster, script: Script, shapes: list[Shape], outcome: Outcome) -> None:
    url = made.deployment.url
    store = await open_store(url)
    try:
        load = Load(store, script, await store.parts())
        await load.register(shapes)
        watch = PoolWatch(url, [each.plan for each in shapes])
        looking = [asyncio.create_task(_look_after(made)), asyncio.create_task(watch.look_on())]
        async with asyncio.TaskGroup() as group:
            group.create_task(load.play())
            for each in script.disturbances:
                group.create_task(_disturb(made, each))
        await asyncio.to_thread(made.place.heal)
        healed = time.monotonic()
        outcome.broken += await _at_rest(url)
        outcome.healing = time.monotonic() - healed
        for each_look in looking:
            each_look.cancel()
        outcome.broken += watch.broken
        outcome.pool_looks = watch.looks
        connection: Any = await asyncpg.connect(url)
        try:
            evidence = await gather(
                store,
                connection,
                made.deployment.kafka,
                made.deployment.journal,
                QUEUES,
                accepted=load.accepted,
                commands=load.commands,
                only_engines=script.only_engines,
            )
        finally:
            await connection.close()
        outcome.runs = len(evidence.runs)
        outcome.attempts = sum(effect.kind == "begin" for effect in evidence.effects)
        outcome.broken += check(evidence)
    finally:
        await store.close()


async def _disturb(made: Cluster, what: Disturbance) -> None:
    await asyncio.sleep(what.at)
    await asyncio.to_thread(made.disturb, what)


async def _look_after(made: Cluster) -> None:
    while True:
        await asyncio.to_thread(made.look_after)
        await asyncio.sleep(LOOK_EVERY)


async def _at_rest(url: str) -> list[str]:
    """Wait until nothing is left to do; what is, when that takes too long."""
    connection: Any = await asyncpg.connect(url)
    try:
        end = time.monotonic() + ENDS_WITHIN
        while any(left := tuple(await connection.fetchrow(_DONE))):
            if time.monotonic() > end:
                return [
                    f"I9: {left} runs, letters to engines and dead letters are left after {ENDS_WITHIN:.0f} s"
                ]
            await asyncio.sleep(LOOK_EVERY)
        return []
    finally:
        await connection.close()
