"""Everything that a simulation draws before it begins: the world's size, what is to run, what goes wrong and when.

A script is a value: parts of it can be left out, and the rest is simulated as before. That is how a failure is made small.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from random import Random
from typing import NamedTuple

from headrace.testing.simulation.faults import CALM, Act, Weather
from headrace.testing.simulation.shapes import CHILDREN, CROWDS, FIRST_CROWD, SHAPES, WAITING

COMMANDS = ("cancel", "kill_run", "pause", "resume", "rerun", "rerun_task", "task", "requeue", "requeue")
TROUBLES = (
    "kill_engine",
    "kill_engine",
    "kill_engine",
    "stop_engine",
    "stale_engine",
    "stale_engine",
    "stale_engine",
    "retire_engine",
    "rename_engine",
    "kill_worker",
    "kill_worker",
    "stop_worker",
    "retire_worker",
    "rename_worker",
    "kill_client",
    "dark",
    "away",
    "power",
    "step_worker",
    "step_engines",
    "more_engines",
)
ENGINE_TROUBLES = (
    "kill_engine",
    "kill_engine",
    "kill_engine",
    "rename_engine",
    "retire_engine",
    "more_engines",
    "power_engines",
)
"""With these alone no attempt may be executed twice."""


FIRST_WAITING = 70_000_000
"""From this seed on half of the worlds wait for people and signals: what earlier ones came to stays what it was."""


FIRST_CROWDED = 80_000_000
"""From this seed on runs of half of the worlds compete for concurrency keys."""


class Asked(NamedTuple):
    """A run to be asked for: when, of which shape, and which tasks are left out of it (a failure being made small)."""

    at: float
    shape: int
    less: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """`parts` of the database; `engines` by number; `workers` by their slots; `heals_at`: from then on nothing goes wrong."""

    seed: int
    parts: int
    engines: int
    workers: tuple[int, ...]
    asked: tuple[Asked, ...]
    acts: tuple[Act, ...]
    weather: Weather
    heals_at: float
    survey_seconds: float = 1.0
    only_engines: bool = False
    """Nothing goes wrong but engines: no attempt may be executed twice."""
    orderly: bool = False
    """At the end every process is told to stop, and must."""
    prompt: float = 0.5
    """The share of the database's calls and answers that need no other turn, where the weather says nothing else."""

    @property
    def calm(self) -> bool:
        return self.weather == CALM and not self.acts

    def describe(self) -> str:
        """In a few lines."""
        lines = [
            f"{self.parts} parts, {self.engines} engines, workers with {self.workers} slots, heals at {self.heals_at:.1f} s",
            f"weather: {self.weather}" if self.weather != CALM else "weather: calm",
            *(f"{asked.at:7.3f} s  run of w{asked.shape}" for asked in self.asked),
            *(
                f"{act.at:7.3f} s  {act.what} whom={act.whom} amount={act.amount} seconds={act.seconds:.3f}"
                for act in self.acts
            ),
        ]
        return "\n".join(lines)

    def smaller(self) -> list[Script]:
        """Scripts that are this one with something left out, the greatest parts first."""
        found: list[Script] = []
        if len(self.acts) > 2:
            half = len(self.acts) // 2
            found += [replace(self, acts=self.acts[:half]), replace(self, acts=self.acts[half:])]
        found += [
            replace(self, acts=self.acts[:place] + self.acts[place + 1 :]) for place in range(len(self.acts))
        ]
        if len(self.asked) > 1:
            found += [
                replace(self, asked=self.asked[:place] + self.asked[place + 1 :])
                for place in range(len(self.asked))
            ]
        if self.weather != CALM:
            found.append(replace(self, weather=CALM))
            for name in ("slow", "refused", "unanswered", "late", "doubled", "repeated"):
                if getattr(self.weather, name):
                    found.append(replace(self, weather=_without(self.weather, name)))
        if self.engines > 1:
            found.append(replace(self, engines=self.engines - 1))
        if len(self.workers) > 1:
            found.append(replace(self, workers=self.workers[:-1]))
        if self.parts > 1:
            found.append(replace(self, parts=1))
        return found


def script(seed: int) -> Script:
    """What happens in the world of that seed."""
    random = Random(seed)
    draw = random.random
    engines = random.choice((1, 1, 2, 2, 2, 3))
    only_engines = draw() < 0.2
    quiet = draw() < 0.12
    asked = tuple(
        Asked(round(draw() ** 2 * 3, 3), _shape(random)) for _ in range(random.choice((1, 1, 1, 2, 2, 3)))
    )
    acts: list[Act] = []
    horizon = random.choice((1.0, 3.0, 8.0))
    for _ in range(random.choice((0, 0, 1, 1, 2, 3))):
        what = random.choice(COMMANDS)
        again = round(draw() * 2, 3) if draw() < 0.3 else 0.0
        acts.append(Act(round(draw() * horizon, 3), what, random.randrange(12), random.randrange(64), again))
    if not quiet:
        troubles = ENGINE_TROUBLES if only_engines else TROUBLES
        count = random.choice((0, 1, 1, 2, 2, 3, 4))
        acts += [_trouble(random, random.choice(troubles), horizon) for _ in range(count)]
    acts.sort()
    weather = CALM if quiet or draw() < 0.35 else _weather(random, only_engines)
    whole = Script(
        seed=seed,
        parts=random.choice((1, 2, 2, 4)),
        engines=engines,
        workers=tuple(random.choice((1, 2, 4)) for _ in range(random.choice((1, 2, 2, 3)))),
        asked=tuple(sorted(asked)),
        acts=tuple(acts),
        weather=weather,
        heals_at=max((act.at + act.seconds for act in acts), default=0.0) + draw() * 2,
        survey_seconds=random.choice((1.0, 2.0, 4.0)),
        only_engines=only_engines,
        orderly=draw() < 0.3,
        prompt=random.choice((0.1, 0.5, 0.9)),
    )
    if seed >= FIRST_WAITING and draw() < 0.5:
        waiting = (one._replace(shape=SHAPES + random.randrange(WAITING)) for one in whole.asked)
        whole = replace(whole, asked=tuple(waiting))
    if seed >= FIRST_CROWDED and draw() < 0.5:
        shapes = [FIRST_CROWD + random.randrange(CROWDS) for _ in range(random.choice((1, 1, 2)))]
        crowd = (
            Asked(round(draw() ** 2 * 3, 3), random.choice(shapes))
            for _ in range(random.choice((2, 3, 3, 4, 6)))
        )
        whole = replace(whole, asked=tuple(sorted(crowd)))
    return whole


def _without(weather: Weather, name: str) -> Weather:
    given = {field.name: getattr(weather, field.name) for field in fields(weather)}
    return Weather(**{**given, name: 0.0})


def _shape(random: Random) -> int:
    return CHILDREN + random.randrange(SHAPES - CHILDREN)


def _trouble(random: Random, what: str, horizon: float) -> Act:
    at = round(random.random() * horizon, 3)
    whom, amount = random.randrange(12), int(random.random() ** 2 * 60)
    if what.startswith("stale"):
        seconds = 30.0
    elif what.startswith("stop"):
        seconds = random.choice((0.5, 3.0, 9.0, 13.0, 40.0, 600.0 if random.random() < 0.2 else 20.0))
    elif what.startswith("step"):
        seconds = random.choice((-3600.0, -1.0, 1.0, 3600.0))
        return Act(at, what, whom, round(seconds), 0.0)
    elif what in ("dark", "away"):
        seconds = random.choice((0.3, 2.0, 8.0))
    else:
        seconds = random.choice((0.0, 0.2, 1.0, 4.0, 9.0))
    return Act(at, what, whom, amount, round(seconds * (0.5 + random.random()), 3))


def _weather(random: Random, only_engines: bool) -> Weather:
    def share(most: float) -> float:
        return round(random.random() ** 2 * most, 3) if random.random() < 0.5 else 0.0

    if only_engines:
        return Weather(
            slow=share(0.3), refused=share(0.1), unanswered=share(0.1), late=share(0.4), lateness=0.2
        )
    return Weather(
        slow=share(0.4),
        slowness=random.choice((0.02, 0.2, 1.5)),
        refused=share(0.2),
        unanswered=share(0.2),
        late=share(0.6),
        lateness=random.choice((0.02, 0.3, 3.0)),
        doubled=share(0.4),
        repeated=share(0.3),
    )
