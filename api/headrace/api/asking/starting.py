"""Runs that are asked for: of a registered workflow, or of a graph that comes with the question. No Litestar here."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from headrace.api.access.asking import Asker
from headrace.api.asking.finding import SHOWN, plan_of, run_of
from headrace.api.office import Office
from headrace.api.operated.tracing import carried
from headrace.api.problems import Problem
from headrace.api.shapes.runs import ONCE, StartBody
from headrace.api.shapes.times import moment
from headrace.engine.core.drawing import problem_document
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.core.workflow import Json
from headrace.engine.ports.acts import Act, Repeated
from headrace.engine.ports.store import Created, KeyTaken, NewRun, OutcomeUnknown, RunRow, VersionRow
from headrace.engine.shell.submission import begin, new_row, new_run

ENDED_WITHIN = 5.0
"""Seconds that a request waits for the run whose place its own is to take."""
TRIES = 3
"""How often a run is begun whose beginning was cut off: it has an id of its own, so it begins once."""
AHEAD = 1.0
"""Seconds by which `scheduled_at` may lie ahead of our clock and still be now."""


class Started(NamedTuple):
    """`existed`: another run had the business key. `replayed`: this very request was answered before."""

    row: RunRow
    existed: bool
    replayed: bool = False


async def recall(office: Office, asker: Asker, asked: bytes) -> Started | None:
    """The answer of this very request, when it came before; to be looked for before anything that could refuse it now. Raises
    Problem (422 idempotency_key_reused)."""
    once = asker.act("run.start", "run", None, asked).once
    if once is not None:
        try:
            await office.store.recall(once, asker.now)
        except Repeated as repeated:
            return await _again(office, asker, repeated)
    return None


async def start(
    office: Office, asker: Asker, version: VersionRow, body: StartBody, asked: bytes, priority: str | None
) -> Started:
    """Begin a run of the version. `asked`: the whole request; `priority`: of the workflow, when the body says none.

    Raises Problem: 409 key_taken, 422 invalid_parameter, not_supported_yet, idempotency_key_reused; 503 no_room.
    """
    new = await _new(office, asker, version, body, priority)
    detail = {"workflow": version.name, "version": version.version, "key": body.key}
    return await begin_run(office, asker, new, detail, asked, body.on_conflict)


async def begin_run(
    office: Office,
    asker: Asker,
    new: NewRun,
    detail: dict[str, Json],
    asked: bytes,
    on_conflict: str = "reject",
) -> Started:
    """Begin the run; `detail` goes into the audit. Raises Problem: 409 key_taken, 422 idempotency_key_reused; 503 no_room."""
    if office.room is not None:
        await office.room.require()
    act = asker.act("run.start", f"run {new.id}", detail, asked)
    try:
        created = await _begun(office, asker, new, on_conflict, act)
    except Repeated as repeated:
        return await _again(office, asker, repeated)
    except KeyTaken as taken:
        raise _key_taken(taken, on_conflict) from None
    if not created.existed:
        return Started(new_row(new, created.no), existed=False)
    return Started(await run_of(office, asker.project, created.id), existed=True)


async def _new(
    office: Office, asker: Asker, version: VersionRow, body: StartBody, priority: str | None
) -> NewRun:
    scheduled_at = moment(body.scheduled_at, "scheduled_at")
    if scheduled_at is not None and scheduled_at > asker.now + AHEAD:
        raise Problem(
            422,
            "not_supported_yet",
            "scheduled_at: a run at a later time cannot be had yet.",
            problems=[{"field": "scheduled_at", "message": "not supported yet"}],
        )
    plan = await plan_of(office, version.plan)
    try:
        return new_run(
            plan,
            version,
            body.params,
            now=asker.now,
            parts=await office.parts(),
            trigger={"kind": "manual", **by(asker)},
            check=office.check,
            folder=office.folder_of(version.name),
            priority=body.priority or priority,
            key=body.key,
            scheduled_at=scheduled_at,
            select=body.select,
            exclude=body.exclude,
        )
    except InvalidWorkflow as invalid:
        raise invalid_parameters(invalid) from None
    except RecursionError:
        raise Problem(422, "invalid_parameter", "The parameters are nested too deeply.") from None


def invalid_parameters(invalid: InvalidWorkflow) -> Problem:
    """422 with every parameter that is wrong, missing or unknown."""
    problems: list[dict[str, Json]] = [
        {"field": ".".join(str(step)[:SHOWN] for step in problem.path), **problem_document(problem)}
        for problem in invalid.problems[:SHOWN]
    ]
    told = " ".join(str(problem) for problem in invalid.problems[:3])
    return Problem(422, "invalid_parameter", told[:1000], problems=problems)


async def _begun(office: Office, asker: Asker, new: NewRun, on_conflict: str, act: Act) -> Created:
    for attempt in range(TRIES):
        try:
            return await begin(
                office.store,
                new,
                on_conflict,
                office.nudge,
                by=asker.actor,
                within=ENDED_WITHIN,
                act=act,
            )
        except OutcomeUnknown:
            if attempt == TRIES - 1:
                raise
        except Repeated as repeated:
            if attempt == 0 or repeated.object != act.object:
                raise
            row = await run_of(office, asker.project, new.id)  # our own earlier try
            office.nudge(new.part)
            return Created(row.no, row.id, False)
    raise AssertionError


def by(asker: Asker) -> dict[str, Json]:
    """What a run's trigger keeps of who asked for it, and in which trace."""
    return {"by": asker.actor, **carried(), **_once(asker)}


def _once(asker: Asker) -> dict[str, Json]:
    """By what a run is known that was begun under an Idempotency-Key, and not merely found."""
    return {} if asker.key is None else {ONCE: hashlib.sha256(asker.key.encode()).hexdigest()[:24]}


async def _again(office: Office, asker: Asker, repeated: Repeated) -> Started:
    """The answer of the request that has used the key."""
    if not repeated.same:
        raise key_reused()
    row = await run_of(office, asker.project, repeated.object.removeprefix("run "))
    office.nudge(row.part)  # the first request may have died before it did
    begun = msgspec.json.decode(row.trigger).get(ONCE) == _once(asker)[ONCE]
    return Started(row, existed=not begun, replayed=True)


def key_reused() -> Problem:
    """422: an Idempotency-Key stands for one request."""
    return Problem(
        422,
        "idempotency_key_reused",
        "This Idempotency-Key came with another request within the last 24 hours. Use a new key for a new request.",
        problems=[{"field": "Idempotency-Key", "message": "used for another request"}],
    )


def _key_taken(taken: KeyTaken, on_conflict: str) -> Problem:
    if on_conflict == "cancel_existing":
        return Problem(
            409,
            "key_taken",
            f"Run {taken.run} has the key and is being cancelled, which takes longer than a request should. Send this again.",
            headers={"Retry-After": "5"},
            run=taken.run,
        )
    return Problem(409, "key_taken", f"Run {taken.run} has this key and has not ended.", run=taken.run)
