"""The worlds that are explored: DAILY in every test run, LARGE by `make model`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.simulation.protocol.checker import Verdict
from tests.simulation.protocol.model import check, told
from tests.simulation.protocol.slots_world import check_slots, told_slots


class Named(NamedTuple):
    """A world; `sizes` are the arguments of `check`, whose verdict `told` puts in words."""

    name: str
    sizes: dict[str, Any]
    check: Callable[..., Verdict[Any]] = check
    told: Callable[[Verdict[Any]], str] = told


def world(tasks: int, workers: int, **sizes: Any) -> Named:
    """Named after its sizes: `2 tasks, 2 workers, crash 1, steal 1`."""
    words = [f"{tasks} task{'s' * (tasks > 1)}", f"{workers} worker{'s' * (workers > 1)}"]
    words += [what if value is True else f"{what} {value}" for what, value in sizes.items()]
    return Named(", ".join(words), {"tasks": tasks, "workers": workers, **sizes})


def slots(costs: tuple[int, ...], size: int, **budget: int) -> Named:
    """Task runs that want so much each of a pool of `size`: `slots 1 1 of 1, home_dies 1`."""
    words = [f"slots {' '.join(map(str, costs))} of {size}", *(f"{what} {n}" for what, n in budget.items())]
    return Named(", ".join(words), {"costs": costs, "size": size, **budget}, check_slots, told_slots)


DAILY = [
    # engine faults
    world(1, 2, crash=1, steal=2, hand_back=1),
    world(1, 3, crash=1, steal=1, hand_back=1),
    world(2, 2, crash=2),
    world(2, 2, crash=1, steal=1),
    world(2, 2, crash=1, forget=1),
    world(1, 2, crash=1, steal=1, hand_back=1, duplicate=1),
    world(1, 2, crash=1, steal=1, hand_back=1, loss=1),
    world(1, 2, crash=1, hand_back=1, duplicate=1, loss=1),
    world(1, 2, crash=1, steal=1, forget=1, chatter=1),
    # Kafka's faults
    world(1, 2, hand_back=2, duplicate=2),
    world(1, 2, duplicate=1, loss=2, chatter=1),
    world(2, 2, hand_back=1, duplicate=1),
    world(2, 2, crash=1, loss=1),
    # workers' faults
    world(1, 2, crash=1, hand_back=1, death=1),
    world(1, 2, crash=1, hand_back=1, cut=1),
    world(1, 2, hand_back=1, duplicate=1, cut=1),
    world(1, 2, failure=1, death=1),
    world(1, 2, failure=1, crash=1, duplicate=1),
    # a cancellation
    world(1, 2, cancel=1, steal=1, hand_back=1, duplicate=1),
    world(1, 2, cancel=1, crash=1, duplicate=1, loss=1),
    world(1, 2, cancel=1, crash=1, cut=1),
    world(1, 2, cancel=1, chatter=1, duplicate=1, loss=1),
    world(1, 2, cancel=1, crash=1, death=1, endless=True),
    world(1, 2, cancel=1, duplicate=1, loss=1, endless=True),
    # two queues
    world(2, 2, crash=1, queues=2),
    # limits over several engines
    slots((1, 1), 1, home_dies=1, owner_dies=1, failure=1),
    slots((1, 1), 1, home_dies=1, owner_dies=1, cancel=1),
    slots((1, 1), 1, home_dies=2, failure=1),
    slots((1, 1, 1), 1, home_dies=1, owner_dies=1),
    slots((3, 1), 2, home_dies=1, failure=1, cancel=1),
]

LARGE = [
    world(2, 2, steal=2),
    world(2, 2, crash=1, duplicate=1),
    world(2, 2, crash=1, hand_back=1, loss=1),
    world(2, 2, steal=1, forget=1, chatter=1),
    world(2, 2, cut=1),
    world(2, 1, death=1),
    world(2, 2, cancel=1, crash=1),
    world(2, 2, cancel=1, steal=1),
    world(3, 2, crash=1),
    world(3, 3, crash=1),
    world(2, 1, crash=1, steal=1, queues=2),
    world(1, 2, crash=1, steal=1, hand_back=1, duplicate=2),
    world(1, 2, crash=1, steal=1, hand_back=1, duplicate=1, loss=1),
    world(1, 2, crash=1, steal=1, hand_back=1, forget=1, chatter=1),
    world(1, 2, cut=1, death=1),
    world(1, 2, death=2),
    world(1, 2, failure=1, crash=1, death=1, hand_back=1),
    slots((1, 1), 1, home_dies=1, owner_dies=1, failure=1, cancel=1),
    slots((1, 1), 1, home_dies=2, owner_dies=2, cancel=1),
    slots((1, 1), 1, home_dies=1, owner_dies=2, failure=1, cancel=1),
    slots((1, 1), 1, home_dies=2, owner_dies=1, failure=2),
    slots((1, 1, 1), 1, home_dies=1, owner_dies=1, failure=1),
    slots((1, 1, 1), 2, home_dies=1, owner_dies=1, cancel=1),
    slots((2, 1, 1), 2, home_dies=1, owner_dies=1),
    world(1, 2, cancel=1, crash=1, steal=1, duplicate=1, loss=1),
]
