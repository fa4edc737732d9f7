"""Workers that somebody wants to leave. No Litestar here."""

from __future__ import annotations

from headrace.api.access.asking import Asker, need_first_project
from headrace.api.asking.starting import key_reused
from headrace.api.office import Office
from headrace.api.problems import missing
from headrace.api.shapes.operations import WorkerEntry, worker_entry
from headrace.engine.ports.acts import Repeated
from headrace.engine.shell.draining import HOME, request
from headrace.engine.shell.roster import FRESH_SECONDS


async def drain(office: Office, asker: Asker, worker: str, asked: bytes) -> tuple[WorkerEntry, bool]:
    """Ask for it; the worker as it was heard last, and whether this very request came before. Raises Problem (403, 404, 422)."""
    need_first_project(asker, "Workers")
    live = await office.store.workers(office.now() - FRESH_SECONDS)
    found = next((one for one in live if one.id == worker), None)
    if found is None:
        raise missing("worker that is heard", worker[:100])
    replayed = False
    try:
        act = asker.act("worker.drain", f"worker {found.id}", {"incarnation": found.incarnation}, asked)
        await office.store.post(request(found, asker.actor, asker.now), act=act)
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        replayed = True
    office.nudge(HOME)
    return worker_entry(found, True), replayed
