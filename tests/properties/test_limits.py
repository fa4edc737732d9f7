"""Limits, whatever is asked for and given back: never exceeded, nothing leaks, who is first is never passed by what fits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.core.limits import (
    CANCEL_IN_PROGRESS,
    CANCEL_NEWEST,
    KEEP_NEWEST,
    QUEUE,
    ROUND_ROBIN,
    Limits,
    Name,
    Share,
    fits,
)

NAMES: list[Name] = [("p", "a"), ("p", "b"), ("p", "k", "x"), ("p", "k", "y")]
SIZES = {NAMES[0]: 1, NAMES[1]: 3, NAMES[2]: 1, NAMES[3]: 2}
asking = st.lists(
    st.builds(lambda place, cost: (NAMES[place], cost), st.integers(0, 3), st.integers(1, 4)),
    min_size=1,
    max_size=3,
    unique_by=lambda share: share[0],
)
waits = st.sampled_from((QUEUE, ROUND_ROBIN))
cancels = st.sampled_from((CANCEL_NEWEST, CANCEL_IN_PROGRESS, KEEP_NEWEST))
steps = st.lists(
    st.tuples(st.sampled_from(("want", "want", "free")), asking, st.integers(0, 2), st.integers(0, 30)),
    max_size=40,
)


class Model:
    """What somebody who watches knows: who asked for what, who was told to go."""

    def __init__(self) -> None:
        self.limits: Limits[int] = Limits()
        self.wants: dict[int, tuple[tuple[Share, ...], tuple[int, int]]] = {}
        self.holds: dict[int, tuple[Share, ...]] = {}
        self.ending: set[int] = set()
        self.next = 1

    def want(self, shares: tuple[Share, ...], priority: int) -> None:
        claimant, self.next = self.next, self.next + 1
        self.limits.want(claimant, shares, priority, claimant)
        self.wants[claimant] = shares, (priority, claimant)

    def free(self, which: int) -> None:
        everybody = sorted({**self.wants, **self.holds})
        if everybody:
            claimant = everybody[which % len(everybody)]
            self.limits.free(claimant)
            self.wants.pop(claimant, None)
            self.holds.pop(claimant, None)
            self.ending.discard(claimant)

    def settle(self) -> None:
        granted, cancelled = self.limits.settle()
        for claimant in granted:
            self.holds[claimant] = self.wants.pop(claimant)[0]
        for one in cancelled:
            assert one.claimant != one.by
            if one.claimant in self.holds:
                assert one.claimant not in self.ending, "told once"
                self.ending.add(one.claimant)
            else:
                del self.wants[one.claimant]
        assert set(self.limits) == {*self.wants, *self.holds}
        for name in NAMES:
            costs = [share.cost for shares in self.holds.values() for share in shares if share.name == name]
            assert self.limits.used(name) == sum(costs)
            assert sum(costs) <= SIZES[name] or len(costs) == 1, "no more than there is, but for one alone"

    def fits(self, shares: tuple[Share, ...]) -> bool:
        return all(fits(share.size, self.limits.used(share.name), share.cost) for share in shares)

    def run_out(self) -> None:
        """Everybody who goes ends: then everybody has gone."""
        for _ in range(len(self.wants) + 1):
            for claimant in list(self.holds):
                self.limits.free(claimant)
                del self.holds[claimant]
            self.ending.clear()
            self.settle()
        assert not self.wants
        for claimant in list(self.holds):
            self.limits.free(claimant)
        assert not self.limits.settle().granted
        assert not list(self.limits)


def shares_of(asked: list[tuple[Name, int]], strategy: str) -> tuple[Share, ...]:
    return tuple(
        Share(name, cost, SIZES[name], strategy if len(name) == 3 else QUEUE) for name, cost in asked
    )


@given(steps, waits)
def test_nobody_takes_too_much_or_is_forgotten(
    moves: list[tuple[str, list[tuple[Name, int]], int, int]], strategy: str
) -> None:
    model = Model()
    for kind, asked, priority, which in moves:
        if kind == "want":
            model.want(shares_of(asked, strategy), priority)
        else:
            model.free(which)
        model.settle()
        if model.wants and strategy == QUEUE:
            first = min(model.wants.values(), key=lambda want: want[1])
            assert not model.fits(first[0]), "who is first has nothing to wait for but room"
    model.run_out()


@given(steps, cancels)
def test_whom_strategies_cancel(
    moves: list[tuple[str, list[tuple[Name, int]], int, int]], strategy: str
) -> None:
    model = Model()
    for kind, asked, priority, which in moves:
        if kind == "want":
            model.want(shares_of(asked, strategy), priority)
        else:
            model.free(which)
        model.settle()
        for name in NAMES[2:]:
            crowd = [
                claimant
                for claimant, (shares, _) in model.wants.items()
                for share in shares
                if share.name == name and not fits(share.size, model.limits.used(name), share.cost)
            ]
            if strategy == CANCEL_NEWEST:
                assert not crowd
            elif strategy == KEEP_NEWEST:
                assert len(crowd) <= 1
            elif crowd:
                assert max(crowd) == max(
                    c for c, (shares, _) in model.wants.items() if name in dict(s[:2] for s in shares)
                )
    model.run_out()


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 3), st.integers(0, 2), st.integers(0, 30)), max_size=60)
)
def test_of_one_limit_the_order_is_strict(moves: list[tuple[bool, int, int, int]]) -> None:
    """Class, then age; who does not fit holds back all behind it: as the simplest thing that could decide it says."""
    model, size = Model(), SIZES[NAMES[1]]
    waiting: list[tuple[int, int, int]] = []
    going: dict[int, int] = {}
    for asks, cost, priority, which in moves:
        if asks:
            waiting.append((priority, model.next, cost))
            model.want((Share(NAMES[1], cost, size),), priority)
        else:
            everybody = sorted({*going, *(claimant for _, claimant, _ in waiting)})
            if everybody:
                gone = everybody[which % len(everybody)]
                going.pop(gone, None)
                waiting = [one for one in waiting if one[1] != gone]
            model.free(which)
        model.settle()
        waiting.sort()
        while waiting and fits(size, sum(going.values()), waiting[0][2]):
            _, claimant, cost = waiting.pop(0)
            going[claimant] = cost
        assert set(model.holds) == set(going)
