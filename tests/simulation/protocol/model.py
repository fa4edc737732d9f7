"""World, invariants and renamings put together for the checker, and traces in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.simulation.protocol.checker import Explorer, Move, Symmetry, Verdict
from tests.simulation.protocol.invariants import good, judge
from tests.simulation.protocol.renaming import FIXED, renamings
from tests.simulation.protocol.terms import Action, Budget, Rules, Sizes, State
from tests.simulation.protocol.world import World

STATES = ("line", "dispatched", "running", "succeeded", "cancelled")


class Model:
    """What the checker explores: a world of certain sizes under certain rules."""

    def __init__(self, sizes: Sizes, rules: Rules | None = None, *, symmetric: bool = True) -> None:
        self._sizes = sizes
        self._symmetric = symmetric
        self._world = World(sizes, rules)

    def start(self) -> State:
        return self._world.start()

    def moves(self, state: State) -> Iterator[Move[State]]:
        for action, fair, after in self._world.steps(state):
            yield Move(action, fair, after, judge(state, action, after, self._sizes))

    def good(self, state: State) -> bool:
        return good(state)

    def parts(self, state: State) -> tuple[Any, ...]:
        return (*state[:FIXED], *state.inboxes, *state.workers)

    def whole(self, parts: Sequence[Any]) -> State:
        inboxes = FIXED + self._sizes.workers * self._sizes.queues
        return State._make((*parts[:FIXED], tuple(parts[FIXED:inboxes]), tuple(parts[inboxes:])))

    def symmetries(self) -> list[Symmetry]:
        return renamings(self._sizes) if self._symmetric else []


def check(
    tasks: int,
    workers: int,
    *,
    rules: Rules | None = None,
    endless: bool = False,
    queues: int = 1,
    stepwise: bool = False,
    symmetric: bool = True,
    most: int = 5_000_000,
    **budget: int,
) -> Verdict[State]:
    """Explore one world: `budget` says how often each misfortune of `Budget` may happen. Raises TooLarge.

    `stepwise` and `symmetric=False` undo the reductions, which multiplies the states.
    """
    sizes = Sizes(tasks, workers, Budget(**budget), endless, queues, stepwise)
    return Explorer(Model(sizes, rules, symmetric=symmetric), most).explore()


def told(verdict: Verdict[State]) -> str:
    """The shortest way to the fault, a line a step: what happened, then how the task runs stand."""
    lines = [f"{verdict.broken}, after {len(verdict.trace) - 1} steps:"]
    lines += [
        f"{number:3} {_told(action):58} {_rows(state)}"
        for number, (action, state) in enumerate(verdict.trace)
    ]
    return "\n".join(lines)


def _told(action: Action | None) -> str:
    if action is None:
        return "the start"
    name, worker, task, detail = action
    where = [f"worker {worker + 1}"] if worker >= 0 else []
    where += [f"task {'ABC'[task]}"] if task >= 0 else []
    if name == "takes":
        name = ("takes a dispatch", "takes Ask{all}", "takes Ask", "takes Abort")[detail[0]]
        where = where[:1] if detail[0] == 1 else where
    elif name == "starts":
        name = f"starts attempt {detail[0]}"
    elif "claims" in name and any(detail):
        where.append(f"unpublished by inbox: {', '.join(map(str, detail))}")
    elif name.endswith("publishes") and any(detail):
        where.append(f"delivery {detail[0]}.{detail[1]}")
    return f"{name} ({', '.join(where)})" if where else name


def _rows(state: State) -> str:
    return "  ".join(
        f"{'ABC'[task]} {STATES[row.state]}"
        + (
            f" #{row.attempt} {row.epoch}.{row.n} at {row.worker + 1}"
            if row.worker >= 0
            else f" #{row.attempt}"
        )
        for task, row in enumerate(state.truth.rows)
    )
