"""Many runs at once: first a plan of what would be done, then the word to do it. No Litestar here.

The plan's id is the plan: the action and the numbers of the runs, packed. So it is kept nowhere, any process of the API can
apply it, and what is applied is what was shown, whatever has begun meanwhile. It lends no rights: the runs are read anew
within the asker's project, and whoever makes one up could as well have asked for it. Applying a plan twice posts nothing twice,
for each share of it has a key of its own; so one that was cut off in the middle can be confirmed again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import pairwise

import msgspec

from headrace.api.access.asking import Asker
from headrace.api.asking.listing import found_by
from headrace.api.asking.packing import GOOD_FOR, pack, unpack
from headrace.api.office import Office
from headrace.api.problems import Problem
from headrace.api.shapes.runs import (
    BulkAction,
    BulkApplied,
    BulkPlan,
    RunFilter,
    Unmoved,
    run_entry,
)
from headrace.api.showing.documents import state_word
from headrace.api.showing.times import instant
from headrace.api.veiling import Veil
from headrace.engine.core.states import RunState
from headrace.engine.ports.acts import Once, Repeated
from headrace.engine.ports.store import InboxRow, RunRow
from headrace.engine.shell import commands

MOST = 10_000
"""Runs of one plan."""
SHARE = 500
"""Commands that one transaction posts."""
SAMPLE, TOLD = 20, 100
"""Runs of a plan that are shown, and of those left alone."""
_LOOKED_AT = 1_000
"""Runs read at a time."""


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    """A plan. `steps`: the first run's number, then how much lower each next one is; so they pack well."""

    project: str
    action: BulkAction
    reason: str | None
    at: float
    steps: list[int]

    @property
    def numbers(self) -> list[int]:
        numbers, number = [], 0
        for place, step in enumerate(self.steps):
            number = step if place == 0 else number - step
            numbers.append(number)
        return numbers


_decode = msgspec.msgpack.Decoder(_Packed).decode


async def plan(
    office: Office, asker: Asker, action: BulkAction, wanted: RunFilter, reason: str | None
) -> BulkPlan:
    """Find the runs and say what would be done to them. Raises Problem (422) when they are too many."""
    matched = await _all(office, asker.project, wanted)
    rows = [row for row in matched if unfit(action, row) is None]
    numbers = [row.no for row in rows]
    steps = [*numbers[:1], *(high - low for high, low in pairwise(numbers))]
    veil = Veil(asker.role, office.secrets)
    return BulkPlan(
        plan_id=_pack(_Packed(asker.project, action, reason, asker.now, steps)),
        action=action,
        matched=len(matched),
        runs=len(rows),
        states=dict(Counter(state_word(row) for row in rows)),
        sample=[run_entry(row, veil) for row in rows[:SAMPLE]],
        expires_at=instant(asker.now + GOOD_FOR),
    )


async def apply(office: Office, asker: Asker, plan_id: str) -> BulkApplied:
    """Post the plan's commands, share after share. Raises Problem: 422 for what is no plan, 409 plan_expired."""
    packed = _unpack(plan_id)
    if packed.project != asker.project:
        raise _no_plan()
    if not asker.now - GOOD_FOR <= packed.at <= asker.now + GOOD_FOR:
        raise Problem(409, "plan_expired", "The plan is older than five minutes: ask for a new one.")
    body = _body(packed.action, asker.actor, packed.reason)
    digest = hashlib.sha256(plan_id.encode()).hexdigest()
    rows, skipped = await _fit(office, packed)
    posted = earlier = 0
    # By the plan's own numbers, not by those that are fit now: a share is the same share when the plan is confirmed again.
    places = {number: place // SHARE for place, number in enumerate(packed.numbers)}
    shares: dict[int, list[RunRow]] = {}
    for row in rows:
        shares.setdefault(places[row.no], []).append(row)
    for place, share in shares.items():
        detail = {"runs": [row.id for row in share], "plan": digest[:24]}
        once = Once(f"{asker.project}/bulk/{digest}/{place}", digest, asker.now + 2 * GOOD_FOR)
        act = asker.act(f"run.{packed.action}", f"{len(share)} runs", detail)._replace(once=once)
        inbox = [InboxRow(0, row.part, row.no, packed.action, body, asker.now) for row in share]
        try:
            await office.store.post_all(inbox, act=act)
            posted += len(share)
        except Repeated:
            earlier += len(share)
        for part in {row.part for row in share}:
            office.nudge(part)
    return BulkApplied(
        action=packed.action,
        posted=posted,
        earlier=earlier,
        skipped_runs=len(skipped),
        skipped=skipped[:TOLD],
    )


def unfit(action: str, row: RunRow) -> str | None:
    """Why the action means nothing to the run as it is, or None. The engine has the last word."""
    state, word = RunState(row.state), state_word(row)
    if action == "rerun":
        if not state.final:
            return f"it is {word}, and only a run that has ended can be rerun"
        return "it succeeded, so nothing of it failed" if state is RunState.SUCCEEDED else None
    if state.final:
        return f"it has ended: {word}"
    if state is RunState.CANCELLING and action != "kill":
        return "it is being cancelled already"
    if action == "pause" and row.paused:
        return "it is paused already"
    if action == "resume" and not row.paused:
        return "it is not paused"
    return None


async def _all(office: Office, project: str, wanted: RunFilter) -> list[RunRow]:
    found: list[RunRow] = []
    before: int | None = None
    while True:
        rows = await found_by(office, project, wanted, before=before, limit=_LOOKED_AT, body=True)
        found += rows
        if len(found) > MOST:
            raise Problem(
                422,
                "too_many_runs",
                f"The filter finds more than {MOST:,} runs. Narrow it, by workflow or by time, and go on from there.",
                problems=[{"field": "filter", "message": f"finds more than {MOST} runs"}],
            )
        if len(rows) < _LOOKED_AT:
            return found
        before = rows[-1].no


async def _fit(office: Office, packed: _Packed) -> tuple[list[RunRow], list[Unmoved]]:
    """The plan's runs as they are now, newest first: those that the action fits, and why not the others."""
    rows: list[RunRow] = []
    skipped: list[Unmoved] = []
    found = await office.store.runs_of(packed.project, packed.numbers)
    for row in sorted(found, key=lambda row: row.no, reverse=True):
        why = unfit(packed.action, row)
        if why is None:
            rows.append(row)
        else:
            skipped.append(Unmoved(run=row.id, why=why))
    return rows, skipped


def _body(action: BulkAction, by: str, reason: str | None) -> bytes:
    body: commands.Body
    if action in ("cancel", "kill"):
        body = commands.StopBody(by, reason)
    elif action == "rerun":
        body = commands.RerunBody(by)
    else:
        body = commands.AskBody(by)
    return commands.encode(action, body)


def _pack(packed: _Packed) -> str:
    return pack(msgspec.msgpack.encode(packed))


def _unpack(text: str) -> _Packed:
    try:
        packed = _decode(unpack(text))
    except (ValueError, msgspec.MsgspecError):
        raise _no_plan() from None
    numbers = packed.numbers
    if len(numbers) > MOST or not all(0 < number < 2**63 for number in numbers):
        raise _no_plan()
    return packed


def _no_plan() -> Problem:
    return Problem(
        422,
        "no_plan",
        "This is no plan of this project: ask for one with `action` and `filter`, and confirm its `plan_id`.",
        problems=[{"field": "confirm", "message": "no plan of this project"}],
    )
