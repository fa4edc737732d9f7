"""Steps of a schedule under looks at random times, as by engines that die and come back, and runs of random length."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.calendars import IanaCalendar
from headrace.engine.core.schedules.rules import PATIENCE, Rules
from headrace.engine.core.schedules.stepping import Standing, settled, started, step
from headrace.engine.core.schedules.timetable import Timetable

CALENDAR = IanaCalendar()
BEGIN = 1_774_700_000.0  # the evening before the clocks go forward in Berlin


@dataclass
class World:
    """One schedule, what it has started, and when its runs end."""

    rules: Rules
    lengths: list[float]
    now: float = BEGIN
    standing: Standing = field(default_factory=lambda: Standing(BEGIN))
    started: list[float] = field(default_factory=list)
    ends: dict[str, float] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    most_at_once: int = 0

    def look(self) -> float | None:
        ended = {run: True for run in self.standing.running if self.ends[run] <= self.now}
        made = step(self.rules, CALENDAR, settled(self.standing, ended), self.now)
        runs = tuple(f"run {len(self.started) + number}" for number in range(len(made.start)))
        for run in runs:
            self.ends[run] = self.now + self.lengths[len(self.ends) % len(self.lengths)]
        self.started += made.start
        for run in made.cancel:
            self.ends[run] = self.now
            self.cancelled.append(run)
        self.standing = started(made.standing, runs)
        self.most_at_once = max(self.most_at_once, len(self.standing.running))
        return made.due_at

    def look_until_quiet(self) -> None:
        """As an engine does: again as long as something is due, and whenever what it waits for has ended."""
        for _ in range(10_000):
            due = self.look()
            ended = self.standing.waits_for is not None and self.ends[self.standing.waits_for] <= self.now
            if (due is None or due > self.now) and not ended:
                return
        raise AssertionError("it is never quiet")

    def until_all_ended(self) -> None:
        while self.standing.waits_for is not None:
            self.now = max(self.now, self.ends[self.standing.waits_for])
            self.look_until_quiet()


RULES = {"cron": Timetable(cron="*/5 * * * *", zone="Europe/Berlin"), "every": Timetable(every=90.0)}
looks = st.lists(st.one_of(st.floats(0.5, 100), st.floats(60, 3_000)), min_size=1, max_size=12)
lengths = st.lists(st.floats(1, 2000), min_size=1, max_size=5)


def run(rules: Rules, lengths: list[float], looks: list[float]) -> World:
    rules = replace(rules, timetable=replace(rules.timetable, end=BEGIN + sum(looks)))
    world = World(rules, lengths)
    for pause in looks:
        world.now += pause
        world.look_until_quiet()
    return world


def moments(world: World) -> list[float]:
    """What was due until now."""
    fires = world.rules.fires(CALENDAR, BEGIN)
    return [fire.at for fire in takewhile(lambda fire: fire.due <= world.now, fires)]


@given(
    st.sampled_from(sorted(RULES)),
    st.sampled_from(["queue_all", "allow"]),
    st.sampled_from([0.0, 50.0]),
    lengths,
    looks,
)
def test_catching_up_all_and_skipping_none_starts_every_moment_once_and_in_order(
    kind: str, overlap: str, jitter: float, lengths: list[float], looks: list[float]
) -> None:
    world = run(Rules("a.b", RULES[kind], jitter, overlap, "all"), lengths, looks)
    due = moments(world)
    world.until_all_ended()
    assert world.started[: len(due)] == due
    assert world.started == moments(world)
    assert world.standing.skipped == 0
    assert overlap == "allow" or world.most_at_once <= 1


@given(
    st.sampled_from(sorted(RULES)),
    st.sampled_from(["skip", "queue_one", "cancel_running"]),
    st.sampled_from(["none", "last", "all"]),
    lengths,
    looks,
)
def test_no_moment_starts_twice_and_never_two_runs_at_once(
    kind: str, overlap: str, catchup: str, lengths: list[float], looks: list[float]
) -> None:
    world = run(Rules("a.b", RULES[kind], 0.0, overlap, catchup), lengths, looks)
    due = set(moments(world))
    world.until_all_ended()
    assert world.started == sorted(set(world.started))
    assert set(world.started) <= due | set(moments(world))
    assert world.most_at_once <= 1
    assert overlap == "cancel_running" or not world.cancelled
    if catchup == "all":
        assert len(world.started) + world.standing.skipped >= len(due)


@given(st.sampled_from(["none", "last", "all"]), st.floats(PATIENCE + 1, 30_000))
def test_what_was_missed_is_passed_over_or_its_last_or_all_of_it_is_run(catchup: str, away: float) -> None:
    world = World(Rules("a.b", RULES["every"], 0.0, "queue_all", catchup), [0.0])
    world.now += away
    world.look_until_quiet()
    due = moments(world)
    missed = [moment for moment in due if moment < world.now - PATIENCE]
    fresh = [moment for moment in due if moment >= world.now - PATIENCE]
    caught_up = {"none": [], "last": missed[-1:], "all": missed}[catchup]
    assert world.started == [*caught_up, *fresh]
