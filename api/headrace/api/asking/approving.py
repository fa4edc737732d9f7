"""Approvals that are decided: by whom they may be, and what has to be filled in. No Litestar here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.api.paging import HIGHEST
from headrace.api.problems import Problem, missing
from headrace.dsl.json_schema import violations
from headrace.engine.core.keys import pack, written
from headrace.engine.core.problems import did_you_mean
from headrace.engine.ports.access import Role
from headrace.engine.ports.waits import APPROVAL, Waiting

if TYPE_CHECKING:
    from headrace.engine.ports.store import Store

_DEEPEST = 16
"""How many runs up the one that somebody started may lie."""


async def approval_of(store: Store, project: str, no: int) -> Waiting:
    """The approval of that number, which waits. Raises Problem (404)."""
    found = await store.wait(project, no) if 0 < no <= HIGHEST else None
    if found is None or found.row.kind != APPROVAL:
        raise missing("approval that waits", str(no))
    return found


def name_of(waiting: Waiting) -> str:
    """The task run that asks, `pay[7]`."""
    return written(waiting.row.name, pack(tuple(body_of(waiting)["index"])))


def body_of(waiting: Waiting) -> dict[str, Any]:
    """What is asked, and who has agreed."""
    body: dict[str, Any] = json.loads(waiting.row.body)
    return body


def least_role(roles: list[str]) -> Role:
    """The least role that may decide: the lowest of those named, an operator where none is."""
    named = [role for role in Role if role.word in roles]
    return max(Role.OPERATOR, min(named)) if named else Role.OPERATOR


async def starter(store: Store, waiting: Waiting) -> str | None:
    """Who started the run, or, of a child, the run that it comes from."""
    trigger: dict[str, Any] = json.loads(waiting.trigger)
    for _ in range(_DEEPEST):
        if trigger.get("kind") != "parent":
            break
        above = await store.find_runs(waiting.row.project, str(trigger.get("run")))
        if len(above) != 1:
            break
        trigger = json.loads(above[0].trigger)
    by = trigger.get("by")
    return by if isinstance(by, str) else None


async def check(store: Store, waiting: Waiting, actor: str) -> None:
    """Raises Problem (403 own_run, 409 agreed_already) for who may not agree; who rejects is not asked."""
    body = body_of(waiting)
    if not body["self"] and await starter(store, waiting) == actor:
        raise Problem(
            403,
            "own_run",
            "Who started a run may not approve it. Somebody else has to, or the approval says self: true.",
        )
    if any(vote["by"] == actor for vote in body["agreed"]):
        raise Problem(409, "agreed_already", f"{actor} has agreed already; it waits for others.")


def filled_in(form: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The form with its defaults; None where nothing is asked. Raises Problem (422) with all that is wrong, missing or unknown."""
    wrong = []
    for name in given:
        if name not in form:
            hint = did_you_mean(name[:100], form) or (
                f"It has {', '.join(form)}." if form else "It has none."
            )
            wrong.append((name, f"the form has no field {name[:100]!r}. {hint}"))
    filled = {}
    for name, schema in form.items():
        if name not in given and "default" not in schema:
            wrong.append((name, f"the field {name} is missing."))
            continue
        filled[name] = given.get(name, schema.get("default"))
        for below, message in violations(schema, filled[name]):
            where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in below)
            wrong.append((name, f"{name}{where}: {message}"))
    if wrong:
        problems = [{"field": f"form.{name}", "message": message} for name, message in wrong]
        raise Problem(422, "invalid", problems[0]["message"], problems=problems[:20])
    return filled or None
