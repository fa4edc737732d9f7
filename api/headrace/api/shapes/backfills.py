"""Backfills, as the API shows them and as it is asked for them. No Litestar here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from headrace.api.shapes.runs import TEXT, Name, PriorityWord, Reason, Text
from headrace.engine.core.backfills import MOST, MOST_ACTIVE

BackfillState = Literal["running", "paused", "cancelled", "done"]
MomentState = Literal["waiting", "started", "succeeded", "failed", "cancelled", "passed", "refused"]
Reprocess = Literal["missing", "failed", "all"]
Order = Literal["forward", "backward"]
Active = Annotated[int, Meta(ge=1, le=MOST_ACTIVE)]
Day = Annotated[str, Meta(min_length=1, max_length=40, pattern=TEXT)]
Schedule = Annotated[str, Meta(min_length=1, max_length=400, pattern=TEXT)]


class BackfillBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """First what is wanted: the answer is a plan. Then `confirm` with its `plan_id`, alone: the backfill begins. `schedule`: the id or
    its end, where the workflow has several. `from` and `to`: days in the schedule's zone, the last one whole, or times; `dates`:
    such days, instead. `params`: laid over what the schedule gives. `reprocess`: moments without a run (missing), those too whose
    newest run has not succeeded (failed), or every one (all). `select`, `exclude`: selectors (`a`, `+a`, `a+`, `tag:x`) of the part of
    the workflow that its runs run."""

    workflow: Name | None = None
    schedule: Schedule | None = None
    from_: Day | None = None
    to: Day | None = None
    dates: Annotated[list[Day], Meta(max_length=MOST)] = []
    params: dict[str, Any] = {}
    reprocess: Reprocess = "missing"
    order: Order = "forward"
    max_active: Active = 5
    priority: PriorityWord = "low"
    select: list[Text] = []
    exclude: list[Text] = []
    confirm: Annotated[str, Meta(min_length=1, max_length=200_000)] | None = None


class BackfillPlan(msgspec.Struct, kw_only=True):
    """What a backfill would do as things stand: `runs` of the `moments` would begin, the first and the last of them are shown in the order
    of their turns. `found`: how many moments have no run (missing), and how the newest run of the others stands. Good until
    `expires_at`."""

    plan_id: str
    workflow: str
    schedule: str
    timezone: str
    moments: int
    runs: int
    found: dict[str, int]
    first: list[str]
    last: list[str]
    reprocess: Reprocess
    order: Order
    max_active: int
    priority: PriorityWord
    select: list[str]
    exclude: list[str]
    expires_at: str


class Progress(msgspec.Struct, kw_only=True):
    """How many moments there are, and how many are in which state. `started`: their runs go on; `passed`: they had a run that serves;
    `refused`: no run could be begun."""

    total: int
    waiting: int
    started: int
    succeeded: int
    failed: int
    cancelled: int
    passed: int
    refused: int


class BackfillEntry(msgspec.Struct, kw_only=True):
    """A backfill. `finished_at`: when none of its runs went on any more. `waits_for`: why its next run does not begin, null where none is
    to. `problem`: why no run could be begun for a moment; viewers are not told, and see no `params`."""

    backfill: int
    workflow: str
    schedule: str
    state: BackfillState
    progress: Progress
    waits_for: str | None
    reprocess: Reprocess
    order: Order
    max_active: int
    priority: PriorityWord
    params: dict[str, Any] | None
    select: list[str]
    exclude: list[str]
    problem: str | None
    by: str
    paused_by: str | None
    paused_why: str | None
    created_at: str
    changed_at: str
    finished_at: str | None


class BackfillMomentEntry(msgspec.Struct, kw_only=True):
    """One moment. `place`: its turn, from 0; `run`: the one that was begun for it, or that serves."""

    place: int
    at: str
    date: str
    state: MomentState
    run: str | None


class BackfillChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to hold for runs that begin from now on."""

    max_active: Active | None = None
    priority: PriorityWord | None = None


class BackfillPause(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why, for those who come later."""

    reason: Reason | None = None


class BackfillCancel(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`runs`: whether its runs that go on are cancelled too."""

    runs: bool = False
    reason: Reason | None = None
