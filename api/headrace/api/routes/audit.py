"""The audit: who did what, and whether the lines are still those that were written."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from headrace.api.access.asking import Asker
from headrace.api.access.guarding import ADMIN
from headrace.api.access.verifying import verify
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page, page, place_of
from headrace.api.routes.queried import Words
from headrace.api.shapes.people import AuditEntry, AuditVerdict, audit_entry, audit_verdict
from headrace.api.veiling import Veil


@get("/audit", opt=ADMIN, summary="Who did what")
async def list_audit(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    actor: Words = None,
    action: Words = None,
    object: Words = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[AuditEntry]:
    """Newest first. `actor`: `user:ada`, `token:ci`. `action`: one of them, or a beginning: `run` for everything done to runs.
    `object`: `run 0199…`, `workflow daily`."""
    lines = await office.store.audit(
        asker.project,
        actor=actor,
        action=action,
        object=object,
        before=place_of(cursor, int),
        limit=limit + 1,
    )
    veil = Veil(asker.role, office.secrets)
    return page([audit_entry(line, veil) for line in lines], limit, lambda entry: entry.id)


@get("/audit/verify", opt=ADMIN, summary="Whether the audit was tampered with")
async def verify_audit(office: NamedDependency[Office], asker: NamedDependency[Asker]) -> AuditVerdict:
    """Every line's hash is of the line and of the one before it. Note `lines` and `hash` elsewhere: whoever can write the database
    could make the whole chain anew, but not with the same hashes."""
    return audit_verdict(await verify(office.store, asker.project))


ROUTES = [list_audit, verify_audit]
