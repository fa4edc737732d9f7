"""The run of a moment: its event, its parameters, its identity, which is the same for everybody who makes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from headrace.engine.core.evaluation import EvaluationError, Evaluator
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.core.schedules.rules import key_of
from headrace.engine.core.schedules.timetable import Calendar, Timetable, day_of
from headrace.engine.core.workflow import Json
from headrace.engine.ports.store import NewRun, VersionRow
from headrace.engine.shell.children import CheckParams, Entropy
from headrace.engine.shell.plans import PlanMissing, Plans
from headrace.engine.shell.schedules.reading import Schedule
from headrace.engine.shell.submission import new_run
from headrace.engine.shell.times import rfc3339

LONGEST_AGO = 10 * 366 * 86_400.0
"""Seconds within which a previous moment is looked for."""


class CannotFire(Exception):
    """No run can be begun for the moment; the text says why. `field`: what of the request is wrong, if it is."""

    def __init__(self, why: str, field: str = "params") -> None:
        self.field = field
        super().__init__(why)


class Given(NamedTuple):
    """What the run of a moment is given; its parameters are not completed and checked yet."""

    params: Mapping[str, Json]
    trigger: Mapping[str, Json]
    event: Mapping[str, Json]


def given(schedule: Schedule, evaluator: Evaluator, event: Mapping[str, Json]) -> Given:
    """By a trigger, for the moment of an event (`event_of`). Raises EvaluationError."""
    filled = evaluator.fill(schedule.params, {"event": event})
    trigger = {"kind": schedule.kind, "schedule": schedule.rules.id, "date": event["date"]}
    return Given(filled.value, trigger, event)


class Firing:
    """Makes the runs of schedules. `parts`: how many the database has; `folder_of`: where a workflow lies, in embedded runs."""

    def __init__(
        self,
        plans: Plans,
        calendar: Calendar,
        evaluator: Evaluator,
        check: CheckParams,
        parts: int,
        folder_of: Callable[[str], str | None] = lambda workflow: None,
        entropy: Entropy = os.urandom,
    ) -> None:
        self.calendar = calendar
        self._plans = plans
        self._evaluator = evaluator
        self._check = check
        self._parts = parts
        self._folder_of = folder_of
        self._entropy = entropy
        self._event = lru_cache(maxsize=4096)(partial(event_of, calendar))

    async def run(
        self,
        schedule: Schedule,
        version: VersionRow,
        moment: float,
        now: float,
        *,
        priority: str | None = None,
        params: Mapping[str, Json] | None = None,
        more: Mapping[str, Json] | None = None,
        once: bool = True,
        follows: str | None = None,
        select: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> NewRun:
        """The run of that moment. `priority`: of the workflow, where the trigger says none; `params`: laid over what the trigger
        gives; `more`: goes into the run's trigger; `once`: it is the one run that the schedule has for the moment, or, with
        `follows`, the one that follows upon that run; `select`, `exclude`: the part of the graph that it runs. Raises CannotFire."""
        event = self._event(schedule.timetable, moment)
        try:
            plan = (await self._plans.get(version.plan)).plan
            said = given(schedule, self._evaluator, event)
            return new_run(
                plan,
                version,
                {**said.params, **(params or {})},
                now=now,
                parts=self._parts,
                trigger={**said.trigger, **(more or {})},
                check=self._check,
                folder=self._folder_of(plan.workflow.name),
                priority=schedule.priority or priority,
                idempotency=_key(schedule.rules.id, moment, follows) if once else None,
                scheduled_at=moment,
                event=event,
                entropy=self._entropy,
                select=select,
                exclude=exclude,
            )
        except EvaluationError as wrong:
            raise CannotFire(f"its parameters cannot be judged: {wrong}") from wrong
        except InvalidWorkflow as invalid:
            first, *_ = *invalid.problems[0].path, "params"
            field = str(first) if first in ("select", "exclude") else "params"
            raise CannotFire(" ".join(str(problem) for problem in invalid.problems), field) from invalid
        except PlanMissing as missing:
            raise CannotFire(str(missing)) from missing


def _key(schedule: str, moment: float, follows: str | None) -> str:
    return key_of(schedule, moment) if follows is None else f"{key_of(schedule, moment)}>{follows}"


def event_of(calendar: Calendar, timetable: Timetable, moment: float) -> dict[str, Json]:
    """What the expressions of a run see as `event`: the moment, its day in the zone, and its neighbours; null where there is
    none."""
    following = next(timetable.moments(calendar, moment), None)
    near = 60.0 if following is None else following - moment + 1.0
    previous = timetable.before(calendar, moment, near=near, since=moment - LONGEST_AGO)
    return {
        "at": rfc3339(moment),
        "date": day_of(moment, calendar.zone(timetable.zone)).date,
        "previous_at": None if previous is None else rfc3339(previous),
        "next_at": None if following is None else rfc3339(following),
    }
