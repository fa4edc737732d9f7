"""Dead letters that somebody handles: which are meant, begun again behind a canary, or discarded. No Litestar here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headrace.api.access.asking import Asker
from headrace.api.asking.requeueing import TOGETHER, Again, Which, by_run, fared, fitting
from headrace.api.asking.starting import key_reused
from headrace.api.office import Office
from headrace.api.problems import Problem, missing
from headrace.api.shapes.operations import (
    DiscardAnswer,
    DiscardBody,
    LetterChoice,
    PoisonDiscardBody,
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
    found = await office.store.these_letters(asker.project, choice.letters)
    unknown = set(choice.letters) - {letter.id for letter in found}
    if unknown:
        raise missing("dead letter", str(min(unknown)))
    return found


async def requeue(
    office: Office, asker: Asker, body: RequeueBody, asked: bytes
) -> tuple[RequeueAnswer, bool]:
    """Begin runs again; whether this very request came before. Raises Problem (404, 409, 422)."""
    act = asker.act("letter.requeue", "", _detail(body), asked)
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
        kept_back = len(letters) - len(first)
        act = act._replace(object=_written([one.id for one in first], kept_back))
        again = Again(office.store, office.plans, asker.actor, office.now, office.nudge)
        outcome = await again.begin(first, wait=TAKEN_WITHIN, act=act)
    except Repeated as repeated:
        return await _requeued_before(office, asker, body, repeated), True
    except PlanMissing as problem:
        raise Problem(500, "plan_missing", str(problem)) from problem
    return RequeueAnswer(
        requeued=[letter.id for letter in outcome.begun],
        refused=[RefusedLetter(id=one.letter.id, why=one.why) for one in outcome.refused],
        canary=None if canary is None else canary.id,
        kept_back=kept_back,
        decided=outcome.decided,
    ), False


async def _requeued_before(
    office: Office, asker: Asker, body: RequeueBody, repeated: Repeated
) -> RequeueAnswer:
    """The answer of the request that has used the key, from what it wrote."""
    if not repeated.same:
        raise key_reused() from None
    ids, kept_back = _read(repeated.object)
    states = await _states(office, asker, ids)
    return RequeueAnswer(
        requeued=[one for one in ids if states.get(one) == "requeued"],
        refused=[
            RefusedLetter(id=one, why="it was not begun: it is open, or somebody else handled it")
            for one in ids
            if states.get(one) != "requeued"
        ],
        canary=ids[0] if body.canary is True and kept_back and len(ids) == 1 else None,
        kept_back=kept_back,
        decided=True,
    )


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
    office: Office, asker: Asker, body: DiscardBody, asked: bytes
) -> tuple[DiscardAnswer, bool]:
    """Open ones become discarded; whether this very request came before. Raises Problem (404, 422)."""
    act = asker.act("letter.discard", "", {"reason": body.reason}, asked)
    try:
        if act.once is not None:
            await office.store.recall(act.once, asker.now)
        ids = [letter.id for letter in await chosen(office, asker, body)]
        act = act._replace(object=_written(ids))
        done = await office.store.discard(ids, asker.actor, body.reason, office.now(), act=act)
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        ids, _ = _read(repeated.object)
        states = await _states(office, asker, ids)
        done = [one for one in ids if states.get(one) == "discarded"]
        return _discarded(ids, done), True
    return _discarded(ids, done), False


async def discard_poison(
    office: Office, asker: Asker, body: PoisonDiscardBody, asked: bytes
) -> tuple[DiscardAnswer, bool]:
    """The same for messages that nobody could read."""
    ids = sorted(set(body.letters))
    act = asker.act("poison.discard", _written(ids), {"reason": body.reason}, asked)
    try:
        done = await office.store.discard_poison(ids, asker.actor, body.reason, office.now(), act=act)
    except Repeated as repeated:
        if not repeated.same:
            raise key_reused() from None
        return _discarded(ids, ids), True
    return _discarded(ids, done), False


def _discarded(ids: Sequence[int], done: Sequence[int]) -> DiscardAnswer:
    return DiscardAnswer(discarded=sorted(done), left=sorted(set(ids) - set(done)))


async def _states(office: Office, asker: Asker, ids: Sequence[int]) -> dict[int, str]:
    return {letter.id: letter.state for letter in await office.store.these_letters(asker.project, ids)}


_OBJECT = re.compile(r"dead letters ([\d,]*)(?: and (\d+) kept back)?")


def _written(ids: Sequence[int], kept_back: int = 0) -> str:
    """What the audit says was handled; it is what a repeated request is answered from."""
    return f"dead letters {','.join(map(str, ids))}" + (f" and {kept_back} kept back" if kept_back else "")


def _read(object: str) -> tuple[list[int], int]:
    found = _OBJECT.fullmatch(object)
    if found is None:
        return [], 0
    return [int(one) for one in found[1].split(",") if one], int(found[2] or 0)


def _detail(body: RequeueBody) -> dict[str, object]:
    return {
        "letters": (body.letters or [])[:TOGETHER],
        "workflow": body.workflow,
        "task": body.task,
        "fingerprint": body.fingerprint,
        "canary": body.canary,
    }
