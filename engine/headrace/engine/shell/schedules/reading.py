"""What a stored trigger says, read once: its rules, and what its runs are given."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec

from headrace.engine.core.evaluation import Template
from headrace.engine.core.expressions import parse_template
from headrace.engine.core.schedules.rules import Rules
from headrace.engine.core.schedules.timetable import Timetable
from headrace.engine.core.units import parse_duration
from headrace.engine.core.workflow import Json
from headrace.engine.ports.schedules import NewSchedule

KINDS = ("cron", "every", "at")
"""Triggers by time."""


class Schedule(NamedTuple):
    """`kind`: cron | every | at, `said`: what stands there. `enabled` False: it starts nothing."""

    rules: Rules
    kind: str
    said: str
    params: Template
    priority: str | None
    enabled: bool

    @property
    def timetable(self) -> Timetable:
        return self.rules.timetable


@lru_cache(maxsize=20_000)
def read(id: str, trigger: bytes) -> Schedule:
    """The schedule of that id. Raises ValueError for what this release does not know: a newer one may have written it."""
    try:
        return _read(id, trigger)
    except KeyError as missing:
        raise ValueError(f"it says nothing of {missing}") from None
    except (TypeError, StopIteration, AttributeError) as wrong:
        raise ValueError(f"it is no trigger by time that this release knows ({wrong or 'no kind'})") from None


def _read(id: str, trigger: bytes) -> Schedule:
    said: Mapping[str, Json] = msgspec.json.decode(trigger)
    kind = next(kind for kind in KINDS if kind in said)
    dst = said["dst"]
    timetable = Timetable(
        cron=said.get("cron"),
        every=_seconds(said.get("every")),
        at=_instant(said.get("at")),
        zone=said["timezone"],
        start=_instant(said.get("start")),
        end=_instant(said.get("end")),
        gap=dst["gap"],
        overlap=dst["overlap"],
    )
    rules = Rules(
        id,
        timetable,
        _seconds(said["jitter"]) or 0.0,
        said["overlap"],
        said["catchup"],
        said.get("pause_after"),
    )
    params = parse_template(dict(said.get("params") or {}))
    return Schedule(rules, kind, str(said[kind]), params, said.get("priority"), said["enabled"])


def by_time(workflow: str, triggers: Iterable[Mapping[str, Json]]) -> list[NewSchedule]:
    """The schedules of a workflow with these triggers, as they are registered."""
    return [
        NewSchedule(
            f"{workflow}.{trigger['id']}",
            json.dumps(trigger, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode(),
        )
        for trigger in triggers
        if any(kind in trigger for kind in KINDS)
    ]


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else parse_duration(duration).total_seconds()


def _instant(time: str | None) -> float | None:
    return None if time is None else datetime.fromisoformat(time).timestamp()
