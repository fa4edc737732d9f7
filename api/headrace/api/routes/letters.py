"""Dead letters: attempts that failed for good, and messages that nobody could read. Listed, grouped, begun again, discarded."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, RawBody

from headrace.api.access.asking import Asker, need_first_project
from headrace.api.access.guarding import ADMIN, OPERATOR, VIEWER
from headrace.api.asking import discarding, requeueing
from headrace.api.office import Office
from headrace.api.paging import MOST, USUAL, Page, page, place_of
from headrace.api.problems import missing
from headrace.api.routes.queried import Named, Words
from headrace.api.routes.repeating import REPLAYED, asked
from headrace.api.shapes.operations import (
    FINGERPRINT,
    DiscardAnswer,
    DiscardBody,
    GroupEntry,
    LetterDetail,
    LetterEntry,
    LetterState,
    PoisonDiscardBody,
    PoisonEntry,
    RequeueAnswer,
    RequeueBody,
    group_entry,
    letter_fields,
    poison_entry,
)
from headrace.api.shapes.tasks import attempt_entry
from headrace.api.veiling import Veil
from headrace.engine.core.keys import Key
from headrace.engine.core.states import RunState


@get("/dead-letters", opt=VIEWER, summary="Attempts that failed for good, newest first")
async def list_letters(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    workflow: Named = None,
    task: Words = None,
    fingerprint: Annotated[
        str | None, QueryParameter(min_length=1, max_length=64, pattern=FINGERPRINT)
    ] = None,
    in_state: Annotated[LetterState | None, QueryParameter(name="state")] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[LetterEntry]:
    """Those for which everything given is true; `task` whatever its index, `fingerprint` may be the beginning of one."""
    found = await office.store.dead_letters(
        asker.project,
        limit + 1,
        workflow=workflow,
        task=task,
        fingerprint=fingerprint,
        state=in_state,
        before=place_of(cursor, int),
    )
    listed = page(found, limit, lambda letter: letter.id)
    return Page(
        [
            LetterEntry(**letter_fields(one, await requeueing.task_name(office.store, office.plans, one)))
            for one in listed.items
        ],
        listed.next,
    )


@get("/dead-letters/groups", opt=VIEWER, summary="Dead letters of one kind together")
async def list_letter_groups(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    workflow: Named = None,
    task: Words = None,
    in_state: Annotated[LetterState | None, QueryParameter(name="state")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = USUAL,
) -> Page[GroupEntry]:
    """One kind is the same task, the same kind of error, and the same message but for numbers, ids and times in it. The kind with
    the newest letter first; there is one page."""
    found = await office.store.dead_letter_groups(
        asker.project, limit, workflow=workflow, task=task, state=in_state
    )
    return Page([group_entry(one) for one in found])


@get("/dead-letters/{letter:int}", opt=VIEWER, summary="One dead letter whole")
async def get_letter(
    office: NamedDependency[Office], asker: NamedDependency[Asker], letter: FromPath[int]
) -> LetterDetail:
    """With the inputs of its task run, for operators and above, and every attempt of its generation."""
    found = await office.store.dead_letter(asker.project, letter) if 0 < letter < 2**63 else None
    if found is None:
        raise missing("dead letter", str(letter)[:20])
    run = await office.store.run(found.run)
    veil = Veil(asker.role, office.secrets)
    values = await office.store.values([(found.run, found.generation, found.task, found.map)])
    inputs = veil.value(values[0].inputs) if values else None
    tried = [] if run is None else (await office.attempts.of(run)).of(Key(found.task, found.map))
    return LetterDetail(
        **letter_fields(found, await requeueing.task_name(office.store, office.plans, found)),
        run_state=None if run is None else RunState(run.state).word,
        inputs=None if inputs is None else inputs[0],
        redacted=veil.redacted,
        attempts=[attempt_entry(one) for one in tried if one.generation == found.generation],
    )


@post(
    "/dead-letters/requeue",
    opt={**OPERATOR, "errors": (404,)},
    status_code=202,
    summary="Begin again from what failed for good",
)
async def requeue_letters(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    data: JSONBody[RequeueBody],
    body: RawBody,
) -> Response[RequeueAnswer]:
    """Each is a rerun of its run from the task that failed. One request begins at most a hundred runs; `kept_back` says how many
    letters are left for the next. What an engine refuses stays open, with its words. 409 `canary_open` while the canary's run has not
    ended, `canary_failed` when its task did not succeed."""
    answer, replayed = await discarding.requeue(office, asker, data, asked(request, body))
    return Response(answer, status_code=202, headers=REPLAYED if replayed else None)


@post(
    "/dead-letters/discard",
    opt={**OPERATOR, "errors": (404,)},
    status_code=200,
    summary="Say that nothing more is done about dead letters",
)
async def discard_letters(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    data: JSONBody[DiscardBody],
    body: RawBody,
) -> Response[DiscardAnswer]:
    """They stay to be read."""
    return _told(await discarding.discard(office, asker, data, asked(request, body)))


@get("/poison-letters", opt=ADMIN, summary="Messages that nobody could read, newest first")
async def list_poison(
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    open_only: FromQuery[bool] = False,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100)] = USUAL,
) -> Page[PoisonEntry]:
    """With their bytes. They belong to no project, so only admins of the first one see them."""
    need_first_project(asker, "Unreadable messages")
    state = "open" if open_only else None
    found = await office.store.poison(limit + 1, state=state, before=place_of(cursor, int))
    listed = page(found, limit, lambda letter: letter.id)
    return Page([poison_entry(one) for one in listed.items], listed.next)


@post(
    "/poison-letters/discard",
    opt=ADMIN,
    status_code=200,
    summary="Say that nothing more is done about unreadable messages",
)
async def discard_poison(
    request: Request[Any, Any, Any],
    office: NamedDependency[Office],
    asker: NamedDependency[Asker],
    data: JSONBody[PoisonDiscardBody],
    body: RawBody,
) -> Response[DiscardAnswer]:
    """They stay to be read."""
    need_first_project(asker, "Unreadable messages")
    return _told(await discarding.discard_poison(office, asker, data, asked(request, body)))


def _told(answer: tuple[DiscardAnswer, bool]) -> Response[DiscardAnswer]:
    return Response(answer[0], status_code=200, headers=REPLAYED if answer[1] else None)


ROUTES = [
    list_letters,
    list_letter_groups,
    get_letter,
    requeue_letters,
    discard_letters,
    list_poison,
    discard_poison,
]
