"""Approvals: what tasks ask of people, and what people say to it."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, RawBody

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import OPERATOR, VIEWER
from headrace.api.asking.approving import approval_of, body_of, check, filled_in, least_role, name_of
from headrace.api.asking.finding import run_of
from headrace.api.asking.starting import key_reused
from headrace.api.asking.waiting import patience
from headrace.api.commanding import command
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page, page, place_of
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.shapes.runs import TEXT
from headrace.api.shapes.waits import ApprovalAnswer, ApprovalEntry, ApproveBody, RejectBody
from headrace.api.showing.waits import approval_entry
from headrace.api.veiling import Veil
from headrace.engine.ports.acts import Repeated
from headrace.engine.ports.waits import APPROVAL


@get("/approvals", opt={**VIEWER, "errors": (404,)}, summary="Approvals that wait")
async def list_approvals(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    run: Annotated[str | None, QueryParameter(min_length=1, max_length=100, pattern=TEXT)] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[ApprovalEntry]:
    """The longest waiting first, of one run or of all. What was decided stands in the output of the task and in the audit."""
    of = None if run is None else (await run_of(office, asker.project, run)).no
    found = await office.store.waits(
        asker.project, APPROVAL, after=place_of(cursor, int) or 0, run=of, limit=limit + 1
    )
    veil = Veil(asker.role, office.secrets)
    return page([approval_entry(one, veil) for one in found], limit, lambda entry: entry.id)


@get("/approvals/{approval:int}", opt=VIEWER, summary="One approval that waits")
async def get_approval(
    office: NamedDependency[Office], asker: NamedDependency[Asker], approval: FromPath[int]
) -> ApprovalEntry:
    """404 once it is decided."""
    found = await approval_of(office.store, asker.project, approval)
    return approval_entry(found, Veil(asker.role, office.secrets))


@post("/approvals/{approval:int}/approve", opt=OPERATOR, status_code=202, summary="Agree to an approval")
async def approve(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    approval: FromPath[int],
    body: RawBody,
    data: JSONBody[ApproveBody | None] = None,
    wait: FromQuery[str | None] = None,
) -> Response[ApprovalAnswer]:
    """202 when it is kept; with `wait` (10s) when an engine has decided, or 409 `refused` with its words. 403 for a role that may
    not, and `own_run` for who started the run; 409 `agreed_already`; 422 for a form that does not fit."""
    given = data or ApproveBody()
    return await _decide(office, asker, approval, True, given.form, given.comment, asked(request, body), wait)


@post("/approvals/{approval:int}/reject", opt=OPERATOR, status_code=202, summary="Reject an approval")
async def reject(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    approval: FromPath[int],
    body: RawBody,
    data: JSONBody[RejectBody | None] = None,
    wait: FromQuery[str | None] = None,
) -> Response[ApprovalAnswer]:
    """One rejection is enough, and then the approval's `on_reject` holds. Who started the run may reject it. `wait` as for approve."""
    comment = None if data is None else data.comment
    return await _decide(office, asker, approval, False, {}, comment, asked(request, body), wait)


async def _decide(
    office: Office,
    asker: Asker,
    no: int,
    approved: bool,
    form: dict[str, Any],
    comment: str | None,
    whole: bytes,
    wait: str | None,
) -> Response[ApprovalAnswer]:
    seconds, once = patience(wait), asker.once(whole)
    try:
        if once is not None:  # what was decided by the first request waits no more
            await office.store.recall(once, asker.now)
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        return _answer(no, approved, False, replayed=True)
    found = await approval_of(office.store, asker.project, no)
    asker.require(least_role(body_of(found)["roles"]))
    filled = None
    if approved:
        await check(office.store, found, asker.actor)
        filled = filled_in(body_of(found)["form"], form)
    row = await run_of(office, asker.project, found.run_id)
    name = name_of(found)
    told = await command(
        office,
        asker,
        row,
        "approval",
        {"task": name, "approved": approved, "form": filled, "comment": comment},
        action="approval.approve" if approved else "approval.reject",
        object=f"task {name} of run {row.id}",
        detail={"comment": comment, "form": sorted(filled or ())},
        asked=whole,
        wait=seconds,
    )
    return _answer(no, approved, told.decided, replayed=told.replayed)


def _answer(no: int, approved: bool, decided: bool, *, replayed: bool) -> Response[ApprovalAnswer]:
    answer = ApprovalAnswer(id=no, approved=approved, decided=decided)
    return Response(answer, status_code=202, headers=REPLAYED if replayed else None)


ROUTES = [list_approvals, get_approval, approve, reject]
