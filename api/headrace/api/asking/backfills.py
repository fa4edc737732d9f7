"""Backfills: planned, confirmed, looked at, changed. Planning and confirming are for the command line on this machine too. No
Litestar here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from headrace.api.access.asking import Asker
from headrace.api.asking.packing import GOOD_FOR, MOST_TEXT, pack, unpack
from headrace.api.asking.starting import key_reused
from headrace.api.office import Office
from headrace.api.paging import HIGHEST
from headrace.api.problems import Problem, missing
from headrace.api.shapes.backfills import BackfillEntry, BackfillPlan
from headrace.api.showing.backfills import backfill_entry, backfill_plan
from headrace.api.veiling import Veil
from headrace.engine.calendars import IanaCalendar
from headrace.engine.ports.acts import Act, Once, Repeated
from headrace.engine.ports.backfills import BackfillRow
from headrace.engine.ports.store import Store
from headrace.engine.shell.schedules.asking import Outlook, Refused, Wanted, outlook
from headrace.engine.shell.schedules.filling import selection_of
from headrace.engine.shell.schedules.firing import Firing

NOT_THERE = {"no_workflow": 404}
"""What is refused with another status than 422."""


class _Packed(msgspec.Struct, frozen=True):
    """A plan: what was wanted, and what it came to. `moments`: a digest of them and of what the schedule said."""

    project: str
    at: float
    wanted: Wanted
    moments: str


_decode = msgspec.json.Decoder(_Packed).decode
Noting = Callable[[dict[str, Any]], Act]
"""Makes the audit's line, from what it tells."""


async def firing_of(office: Office) -> Firing:
    """What makes the runs of moments, to try one."""
    return Firing(
        office.plans,
        IanaCalendar(),
        office.evaluator,
        office.check,
        await office.parts(),
        folder_of=office.folder_of,
    )


async def plan(
    store: Store, firing: Firing, project: str, wanted: Wanted, by: str, now: float
) -> BackfillPlan:
    """What would be done. Raises Problem (404, 422)."""
    found = await _outlook(store, firing, project, wanted, by, now)
    text = pack(msgspec.json.encode(_Packed(project, now, wanted, _digest(found))))
    if len(text) > MOST_TEXT:
        raise _invalid("params", "The parameters are too large for a backfill: give a reference to them.")
    return backfill_plan(found, text, now)


async def confirm(
    store: Store, firing: Firing, project: str, plan_id: str, by: str, now: float, note: Noting
) -> tuple[BackfillRow, bool]:
    """Begin what was planned; whether it had begun before. Raises Problem: 422 no_plan, 409 plan_expired."""
    try:
        packed = _decode(unpack(plan_id))
    except (ValueError, msgspec.MsgspecError):
        raise _no_plan() from None
    if packed.project != project:
        raise _no_plan()
    if not now - GOOD_FOR <= packed.at <= now + GOOD_FOR:
        raise Problem(409, "plan_expired", "The plan is older than five minutes: ask for a new one.")
    found = await _outlook(store, firing, project, packed.wanted, by, packed.at)
    if _digest(found) != packed.moments:
        raise Problem(409, "plan_expired", "The schedule has changed since: ask for a new plan.")
    new = found.new
    act = note(
        {
            "workflow": new.workflow,
            "schedule": new.schedule,
            "moments": len(new.moments),
            "reprocess": new.reprocess,
            "max_active": new.max_active,
            "params": sorted(packed.wanted.params),
            **selection_of(new)._asdict(),
        }
    )
    if act.once is None:
        whole = hashlib.sha256(plan_id.encode()).hexdigest()
        act = act._replace(once=Once(f"{project}/backfill/{whole}", whole, now + 2 * GOOD_FOR))
    try:
        return await store.create_backfill(new._replace(created_at=now), act=act), False
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        row = await store.backfill(project, int(repeated.object.removeprefix("backfill ")))
        assert row is not None
        return row, True


async def backfill_of(office: Office, asker: Asker, number: int) -> BackfillRow:
    """The backfill of that number. Raises Problem (404)."""
    row = await office.store.backfill(asker.project, number) if 0 < number <= HIGHEST else None
    if row is None:
        raise missing("backfill", str(number)[:20])
    return row


async def shown(office: Office, asker: Asker, rows: Sequence[BackfillRow]) -> list[BackfillEntry]:
    """As they stand now."""
    settings = await office.store.workflow_settings(asker.project, sorted({row.workflow for row in rows}))
    counts = await office.store.backfill_counts([row.no for row in rows])
    veil = Veil(asker.role, office.secrets)
    return [backfill_entry(row, counts[row.no], settings.get(row.workflow), veil) for row in rows]


async def change(
    office: Office,
    asker: Asker,
    number: int,
    action: str,
    detail: dict[str, Any],
    asked: bytes,
    **values: Any,
) -> tuple[BackfillEntry, bool]:
    """How it stands then, and whether this very request was answered before. `values`: as `Backfills.set_backfill` takes them.
    Raises Problem: 404, 409 backfill_over, 422 idempotency_key_reused."""
    row = await backfill_of(office, asker, number)
    act = asker.act(action, f"backfill {row.no}", detail, asked)
    if act.once is not None:
        try:
            await office.store.recall(act.once, asker.now)
        except Repeated as repeated:
            return await _again(office, asker, number, repeated)
    require_going(row, values.get("state"))
    try:
        made = await office.store.set_backfill(
            asker.project, row.no, asker.now, by=asker.actor, act=act, **values
        )
    except Repeated as repeated:
        return await _again(office, asker, number, repeated)
    assert made is not None
    for part in made.parts:
        office.nudge(part)
    [entry] = await shown(office, asker, [made.backfill])
    return entry, False


def require_going(row: BackfillRow, state: str | None) -> None:
    """Raises Problem (409) for one that is over; to cancel a cancelled one again may still stop its runs."""
    if row.state == "done" or (row.state == "cancelled" and state != "cancelled"):
        raise Problem(
            409, "backfill_over", f"Backfill {row.no} is {row.state}: nothing of it changes any more."
        )


async def _again(office: Office, asker: Asker, number: int, repeated: Repeated) -> tuple[BackfillEntry, bool]:
    if not repeated.same:
        raise key_reused()
    [entry] = await shown(office, asker, [await backfill_of(office, asker, number)])
    return entry, True


async def _outlook(
    store: Store, firing: Firing, project: str, wanted: Wanted, by: str, now: float
) -> Outlook:
    try:
        return await outlook(store, firing, project, wanted, by, now)
    except Refused as refused:
        problem = {"field": refused.field, "message": str(refused)[:500]}
        status = NOT_THERE.get(refused.code, 422)
        code = "not_found" if status == 404 else refused.code
        raise Problem(status, code, str(refused)[:1000], problems=[problem]) from None


def _digest(found: Outlook) -> str:
    whole = found.new.trigger + b"\n" + msgspec.json.encode(found.new.moments)
    return hashlib.sha256(whole).hexdigest()[:32]


def _invalid(field: str, message: str) -> Problem:
    return Problem(422, "invalid", message, problems=[{"field": field, "message": message}])


def _no_plan() -> Problem:
    return Problem(
        422,
        "no_plan",
        "This is no plan of this project: ask for one, and confirm its `plan_id`.",
        problems=[{"field": "confirm", "message": "no plan of this project"}],
    )
