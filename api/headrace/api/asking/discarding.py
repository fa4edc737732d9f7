"""Dead letters that somebody handles: which are meant, begun again behind a canary, or discarded. No Litestar here."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.api.access.asking import Asker
from headrace.api.asking.requeueing import TOGETHER, Again, Which, by_run, fared, fitting
from headrace.api.asking.starting import key_reused
from headrace.api.office import Office
from headrace.api.problems import Problem, missing
from headrace.api.shapes.operations import (
    DiscardAnswer,
    LetterChoice,
    RefusedLetter,
    RequeueAnswer,
    RequeueBody,
)
from headrace.engine.ports.acts import Repeated
from headrace.engine.ports.letters import DeadLetter
from headrace.engine.shell.plans import PlanMissing

TAKEN_WITHIN = 10.0
"""Seconds that a request waits for engines to take its commands."""


async def chosen(office: Office, asker: Asker, choice: LetterChoice) -> list[DeadLetter]:
    """The letters that are meant, oldest first. Raises Problem (404, 422)."""
    which = Which(choice.workflow, choice.task, choice.fingerprint)
    if (choice.letters is None) == (not any(which)):
        raise Problem(
            422,
            "invalid",
            "Name dead letters by `letters`, their ids, or all open ones by workflow, task and fingerprint.",
            problems=[{"field": "letters", "message": "either these, or what they have in common"}],
        )
    if choice.letters is None:
        return await fitting(office.store, asker.project, which)
    found = []
    for number in sorted(set(choice.letters)):
        letter = await office.store.dead_letter(asker.project, number)
        if letter is None:
            raise missing("dead letter", str(number))
        found.append(letter)
    return found


async def requeue(
    office: Office, asker: Asker, body: RequeueBody, asked: bytes
) -> tuple[RequeueAnswer, bool]:
    """Begin runs again; whether this very request came before. Raises Problem (404, 409, 422)."""
    act = asker.act("letter.requeue", "dead letters", _detail(body), asked)
    try:
        if act.once is not None:
            await office.store.recall(act.once, asker.now)
        letters = await chosen(office, asker, body)
        canary = None
        if body.canary is True and len(letters) > 1:
            canary = letters[0]
        elif body.canary is not True and body.canary is not False:
            await _succeeded(office, asker, body.canary)
        runs = by_run(letters)
        first = [canary] if canary else [one for no in list(runs)[:TOGETHER] for one in runs[no]]
        again = Again(office.store, office.plans, asker.actor, office.now, office.nudge)
        outcome = await again.begin(first, wait=TAKEN_WITHIN, act=act)
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        return RequeueAnswer(requeued=[], refused=[], canary=None, kept_back=0, decided=True), True
    except PlanMissing as problem:
        raise Problem(500, "plan_missing", str(problem)) from problem
    return RequeueAnswer(
        requeued=[letter.id for letter in outcome.begun],
        refused=[RefusedLetter(id=one.letter.id, why=one.why) for one in outcome.refused],
        canary=None if canary is None else canary.id,
        kept_back=len(letters) - len(first),
        decided=outcome.decided,
    ), False


async def _succeeded(office: Office, asker: Asker, canary: int) -> None:
    letter = await office.store.dead_letter(asker.project, canary)
    if letter is None:
        raise missing("dead letter", str(canary))
    state = None if letter.state == "open" else await fared(office.store, letter)
    if state is None:
        raise Problem(
            409,
            "canary_open",
            f"Dead letter {canary} was not tried to the end yet: GET /runs/{letter.run_id}?wait=60s waits for it.",
            run=letter.run_id,
        )
    if state != "succeeded":
        raise Problem(
            409,
            "canary_failed",
            f"The task run of dead letter {canary} was tried and is {state}. canary: false begins the others all the same.",
            run=letter.run_id,
        )


async def discard(
    office: Office,
    asker: Asker,
    letters: Sequence[int],
    reason: str,
    asked: bytes,
    *,
    poison: bool = False,
) -> tuple[DiscardAnswer, bool]:
    """Open ones become discarded; whether this very request came before. Raises Problem (422)."""
    what = "unreadable messages" if poison else "dead letters"
    action = "poison.discard" if poison else "letter.discard"
    detail = {"letters": list(letters)[:TOGETHER], "count": len(letters), "reason": reason}
    act = asker.act(action, what, detail, asked)
    store = office.store
    try:
        doing = store.discard_poison if poison else store.discard
        done = await doing(letters, asker.actor, reason, office.now(), act=act)
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        return DiscardAnswer(discarded=[], left=sorted(set(letters))), True
    return DiscardAnswer(discarded=done, left=sorted(set(letters) - set(done))), False


def _detail(body: RequeueBody) -> dict[str, object]:
    return {
        "letters": (body.letters or [])[:TOGETHER],
        "workflow": body.workflow,
        "task": body.task,
        "fingerprint": body.fingerprint,
        "canary": body.canary,
    }
