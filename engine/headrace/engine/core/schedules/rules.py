"""What a schedule says beside its timetable: how it spreads its starts, what it does about moments that were missed, and about
runs that are still going on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from headrace.engine.core.schedules.timetable import Calendar, Timetable

PATIENCE = 60.0
"""Seconds after which a moment that nobody came to was missed."""
FEW = 8
"""Missed moments that are walked through before the last one is looked for from the other end."""
AT_ONCE = 100
"""Moments that are dealt with in one step; the rest follow in the next."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`id` names the schedule, from which its jitter is drawn. `jitter`: seconds. `overlap`: skip | queue_one | queue_all |
    cancel_running | allow; `catchup`: none | last | all; `pause_after`: failures in a row, None for never."""

    id: str
    timetable: Timetable
    jitter: float = 0.0
    overlap: str = "skip"
    catchup: str = "last"
    pause_after: int | None = None

    def fires(self, calendar: Calendar, after: float) -> Iterator[Fire]:
        """What comes after a moment, in order of `at` and of `due` alike: no jitter reaches beyond the next moment."""
        moments = self.timetable.moments(calendar, after)
        if not self.jitter:
            yield from (Fire(moment, moment) for moment in moments)
            return
        moment = next(moments, None)
        while moment is not None:
            following = next(moments, None)
            room = self.jitter if following is None else min(self.jitter, following - moment)
            yield Fire(moment, moment + room * _drawn(self.id, moment))
            moment = following

    def missed(self, calendar: Calendar, cursor: float, before: float) -> float | None:
        """The last moment after the cursor that was due before an instant. After a few it looks back from there, each time further,
        so that a year of seconds is not walked through."""
        last = None
        for number, fire in enumerate(self.fires(calendar, cursor)):
            if fire.due >= before:
                return last
            if number == FEW:
                break
            last = fire.at
        else:
            return last
        reach = PATIENCE
        while True:
            low = max(cursor, before - self.jitter - reach)
            last = None
            for fire in self.fires(calendar, low):
                if fire.due >= before:
                    break
                last = fire.at
            if last is not None:
                return last
            reach *= 4


class Fire(NamedTuple):
    """`at`: the moment that a run is for; `due`: when it is started, later by the jitter."""

    at: float
    due: float


class Coming(NamedTuple):
    """What is due now. `missed` are caught up, `fresh` come in their time; `cursor`: up to where every moment is dealt with;
    `more`: that there was more than one step deals with."""

    missed: tuple[float, ...]
    fresh: tuple[float, ...]
    cursor: float
    more: bool


def key_of(schedule: str, moment: float) -> str:
    """The idempotency key of the run that a schedule has for a moment, whoever begins it."""
    return f"schedule:{schedule}@{moment:.3f}"


def coming(rules: Rules, calendar: Calendar, cursor: float, now: float, room: int) -> Coming:
    """What is due at `now` of what comes after the cursor; `room`: how many missed ones can be taken."""
    before = now - PATIENCE
    missed: list[float] = []
    fresh: list[float] = []
    if rules.catchup != "all":
        last = rules.missed(calendar, cursor, before)
        if last is not None:
            cursor = last
            if rules.catchup == "last":
                missed.append(last)
    for fire in rules.fires(calendar, cursor):
        if fire.due > now:
            break
        if len(missed) + len(fresh) == AT_ONCE or (fire.due < before and len(missed) >= room):
            return Coming(tuple(missed), tuple(fresh), cursor, True)
        (missed if fire.due < before else fresh).append(fire.at)
        cursor = fire.at
    return Coming(tuple(missed), tuple(fresh), cursor, False)


def _drawn(schedule: str, moment: float) -> float:
    """From 0 to 1, the same for everybody who draws it."""
    digest = sha256(f"{schedule}@{moment:.3f}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / (1 << 64)
