"""What a world of chaos goes through, drawn from its seed: the runs, the commands, what is disturbed and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from headrace.testing.simulation.shapes import CHILDREN, SHAPES

ENGINES, WORKERS = 2, 2
SERVERS = ("kafka", "postgres", "valkey")
COMMANDS = ("cancel", "pause", "rerun", "rerun_task", "task", "requeue", "requeue")
MEMBERS: Mapping[str, int] = {"kill": 12, "stop": 3, "retire": 2}
"""What may be done to an engine or a worker, and how often beside the others: kill -9, SIGSTOP and later SIGCONT, SIGTERM;
whoever has ended starts again."""

OUTAGES: Mapping[tuple[str, str], int] = {
    ("kill", "kafka"): 2,
    ("restart", "kafka"): 1,
    ("stop", "kafka"): 1,
    ("kill", "postgres"): 3,
    ("restart", "postgres"): 2,
    ("stop", "postgres"): 2,
    ("kill", "valkey"): 2,
    ("flush", "valkey"): 2,
    ("stop", "valkey"): 1,
    ("drop", "kafka"): 3,
    ("refuse", "kafka"): 2,
    ("hold", "kafka"): 2,
    ("slow", "kafka"): 2,
    ("drop", "postgres"): 3,
    ("refuse", "postgres"): 2,
    ("hold", "postgres"): 2,
    ("slow", "postgres"): 2,
    ("drop", "valkey"): 1,
    ("hold", "valkey"): 1,
}
"""What may be done to a server, or to the connections to it."""


class Disturbance(NamedTuple):
    """At a moment, in seconds: who is treated how, for how long. `whom`: engine, worker, or a server's name; `number`: which."""

    at: float
    how: str
    whom: str
    number: int
    seconds: float

    @property
    def words(self) -> str:
        return f"{self.at:6.2f} s  {self.how} {self.whom} {self.number} for {self.seconds:.2f} s"


class Command(NamedTuple):
    """At a moment somebody gives a command to one of the runs."""

    at: float
    what: str
    whom: int
    amount: int


@dataclass(frozen=True, slots=True)
class Script:
    """`asked`: when a run is asked for, and the number of its shape. `seconds`: from then on nothing is disturbed."""

    seed: int
    seconds: float
    asked: tuple[tuple[float, int], ...]
    commands: tuple[Command, ...]
    disturbances: tuple[Disturbance, ...]
    only_engines: bool


def script(seed: int, *, seconds: float = 12.0, disturbances: int = 20, runs: int = 40) -> Script:
    """The world of that seed. One in four disturbs engines alone: no attempt may be executed twice there."""
    random = Random(seed)
    only_engines = seed % 4 == 3
    asked = tuple(
        sorted(
            (round(random.uniform(0, seconds), 2), random.randrange(CHILDREN, SHAPES)) for _ in range(runs)
        )
    )
    commands = tuple(
        sorted(
            Command(
                round(random.uniform(1, seconds), 2),
                random.choice(COMMANDS),
                random.randrange(1_000),
                random.randrange(64),
            )
            for _ in range(runs // 4)
        )
    )
    chosen = [_disturbance(random, seconds, only_engines) for _ in range(disturbances)]
    return Script(seed, seconds, asked, commands, tuple(sorted(chosen)), only_engines)


def _disturbance(random: Random, seconds: float, only_engines: bool) -> Disturbance:
    at = round(random.uniform(0.3, seconds), 2)
    if not only_engines and random.random() < 0.25:
        how, whom = random.choices(list(OUTAGES), list(OUTAGES.values()))[0]
        long = {"slow": random.uniform(1, 3), "drop": 0.0}.get(how, random.uniform(0.1, 2.5))
        return Disturbance(at, how, whom, 0, round(long, 2))
    whom = "engine" if only_engines else random.choice(("engine", "worker"))
    how = random.choices(list(MEMBERS), list(MEMBERS.values()))[0]
    number = random.randrange(ENGINES if whom == "engine" else WORKERS)
    long = random.choice((0.5, 3.0, 6.0, 12.0)) if how == "stop" else random.choice((0.0, 0.0, 0.3, 1.0))
    return Disturbance(at, how, whom, number, round(long, 2))
