"""Schedules, as the API shows them. No Litestar here."""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace.api.shapes.runs import Reason

ScheduleKind = Literal["cron", "every", "at"]
ScheduleState = Literal["active", "paused", "workflow_paused", "disabled", "over", "broken"]


class ScheduleEntry(msgspec.Struct, kw_only=True):
    """What starts a workflow by time. `id`: the workflow's name and the trigger's. `when`: the cron line, the distance or the moment.
    `state`: disabled by `enabled: false`; over: nothing comes any more; broken: it cannot be read,
    as when a newer release has written it; what it says is null then. `next_at`: the next moment that a
    run is for, null where none starts; `due_at`: when it starts, later by the jitter.
    `waiting`: moments that wait for a run to end; `skipped`: moments that came while one went on; `failures`: in a row.
    `problem`: why no run could be begun the last time; viewers are not told."""

    id: str
    workflow: str
    kind: ScheduleKind | None
    when: str | None
    timezone: str | None
    overlap: str | None
    catchup: str | None
    jitter_seconds: float | None
    pause_after: int | None
    state: ScheduleState
    next_at: str | None
    due_at: str | None
    last_at: str | None
    last_run: str | None
    waiting: int
    skipped: int
    failures: int
    paused_by: str | None
    paused_why: str | None
    problem: str | None
    created_at: str
    changed_at: str


class Moment(msgspec.Struct, kw_only=True):
    """One that comes. `local`: in the schedule's zone; `clock_shift_seconds`: by how much the clock is put forward on that day, back
    when it is negative, else 0."""

    at: str
    due_at: str
    local: str
    date: str
    clock_shift_seconds: int


class Preview(msgspec.Struct, kw_only=True):
    """What comes, whether or not it is paused; `items` is empty when nothing does."""

    id: str
    timezone: str
    items: list[Moment]


class PauseBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why, for those who come later."""

    reason: Reason | None = None
