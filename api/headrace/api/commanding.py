"""Commands to runs: checked, posted once, and followed until an engine has decided about them. No Litestar here.

The API decides nothing: it writes the command into the inbox, with the audit's line in the same transaction, and tells the
engine that owns the part. Whoever is willing to wait is told what became of it, a refusal in the engine's own words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.api.asking.starting import key_reused
from headrace.api.problems import Problem
from headrace.engine.core.states import RunState
from headrace.engine.ports.acts import Repeated
from headrace.engine.ports.store import InboxRow, RunRow
from headrace.engine.shell import commands, history
from headrace.engine.shell.commands import Refused

if TYPE_CHECKING:
    from headrace.api.access.asking import Asker
    from headrace.api.office import Office
    from headrace.engine.core.plan import Plan

SOONEST, LATEST = 0.005, 0.1
"""Seconds between looks at the inbox: an engine mostly takes a command at once."""


class Commanded(NamedTuple):
    """What became of a command. `row`: the run as it was, or, once `decided`, as the engine left it. `replayed`: this very
    request came before, and nothing was done now."""

    row: RunRow
    decided: bool = False
    replayed: bool = False


async def command(
    office: Office,
    asker: Asker,
    row: RunRow,
    kind: str,
    body: Mapping[str, Any],
    *,
    action: str,
    asked: bytes,
    wait: float = 0.0,
    check: Callable[[RunRow], None] | None = None,
    object: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> Commanded:
    """Post a command for a run, once however often the request comes.

    Args:
        row: the run as it was just read.
        kind: cancel, kill, pause, resume, rerun or task.
        body: without `by`, which is the asker.
        action: for the audit: run.cancel, task.retry, …
        asked: the whole request, for its Idempotency-Key.
        wait: seconds that the asker is willing to wait for the engine's decision.
        check: raises Problem for what need not be posted (the run has ended); not called for a request that came before.
        object: what the audit says it is about; `run <id>` when left out.
        detail: for the audit, without values of parameters, inputs or outputs.

    Raises Problem: 409 `refused` with the engine's words, where waited for; 422 for a body that says nothing an engine
    understands, and for a key that stood for another request; and what `check` raises.
    """
    act = asker.act(action, object or f"run {row.id}", dict(detail or {}), asked)
    try:
        if check is not None:
            if act.once is not None:
                await office.store.recall(act.once, asker.now)
            check(row)
        posted = InboxRow(0, row.part, row.no, kind, _encoded(kind, {"by": asker.actor, **body}), asker.now)
        posted = posted._replace(id=await office.store.post(posted, act=act))
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        office.nudge(row.part)  # the first request may have died before it did
        return Commanded(row, replayed=True)
    office.nudge(row.part)
    if wait <= 0 or not await taken(office, posted, wait):
        return Commanded(row)
    office.snapshots.forget(row.no)
    why = await refusal(office, row, posted.id)
    if why is not None:
        raise Problem(409, "refused", why, run=row.id)
    return Commanded(await office.store.run(row.no) or row, decided=True)


async def taken(office: Office, posted: InboxRow, seconds: float) -> bool:
    """Whether an engine has taken the command by then."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    pause = SOONEST
    while True:
        rows = await office.store.inbox(posted.part, posted.id - 1, 1)
        if not rows or rows[0].id != posted.id:
            return True
        left = until - loop.time()
        if left <= 0:
            return False
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, LATEST)


async def refusal(office: Office, row: RunRow, command: int) -> str | None:
    """What the engine said against a command that it has taken since the run was read; None: it was carried out."""
    for entry in await office.store.history(row.no, after=row.seq):
        for refused in history.decode(entry.body, history.NoContent()).refused:
            if refused.command == command:
                return refused.why
    return None


def task_name(plan: Plan, text: str) -> str:
    """A task run as commands name it, `price[7]`. Raises Problem (422) for what the plan cannot have."""
    try:
        commands.key_of(plan, text)
    except Refused as refused:
        raise Problem(
            422, "invalid", str(refused), problems=[{"field": "task", "message": str(refused)}]
        ) from None
    return text


def run_final(row: RunRow) -> Problem:
    """409: nothing of a run that has ended moves."""
    return Problem(
        409,
        "run_final",
        f"The run has ended: {RunState(row.state).word}. POST /runs/{row.id}/rerun begins it again.",
        run=row.id,
        state=RunState(row.state).word,
    )


def _encoded(kind: str, body: dict[str, Any]) -> bytes:
    try:
        return commands.encode(kind, body)
    except Refused as refused:
        raise Problem(422, "invalid", str(refused)) from None
