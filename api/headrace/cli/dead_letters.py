"""`headrace dlq list|group|show|discard`: attempts that failed for good, and messages that nobody could read."""

from __future__ import annotations

import json as codec
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from headrace.cli.documents import letter_document
from headrace.cli.failure import Stop
from headrace.cli.here import go, looking
from headrace.cli.output import print_json, print_table, printable, say
from headrace.cli.references import short
from headrace.cli.station import Which
from headrace.cli.where import ANYWHERE, Anywhere

if TYPE_CHECKING:
    from headrace.api.shapes.tasks import ErrorEntry

Json = Annotated[bool, Parameter(help="For programs.")]
Limit = Annotated[int, Parameter(help="How many (at most 500).")]
Workflow = Annotated[str | None, Parameter(help="Only of this workflow.")]
Task = Annotated[str | None, Parameter(help="Only of this task, whatever its index.")]
Fingerprint = Annotated[
    str | None, Parameter(help="Only of this group, or of those that begin so: headrace dlq group.")
]
State = Annotated[
    Literal["open", "requeued", "discarded", "all"],
    Parameter(help="open, requeued, discarded or all [open]."),
]
Letter = Annotated[int, Parameter(help="The id of a dead letter, as dlq list shows it.")]
Poison = Annotated[bool, Parameter(help="Messages that nobody could read, in place of attempts.")]
MOST = 500


def list_(
    *,
    workflow: Workflow = None,
    task: Task = None,
    fingerprint: Fingerprint = None,
    state: State = "open",
    poison: Poison = False,
    before: Annotated[
        int | None, Parameter(help="Only below this id: the `next` of the page before.")
    ] = None,
    limit: Limit = 50,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """The newest dead letters."""
    page(limit)
    open_ = None if state == "all" else state
    if poison:
        return go(_list_poison(where, open_, before, limit, json))
    return go(_list(where, Which(workflow, task, fingerprint), open_, before, limit, json))


async def _list(
    where: Anywhere, which: Which, state: str | None, before: int | None, limit: int, json: bool
) -> int:
    async with looking(where.settings()) as station:
        letters = await station.letters.list(which, state=state, before=before, limit=limit)
    if json:
        items = [letter_document(letter) for letter in letters]
        print_json({"items": items, "next": letters[-1].id if len(letters) == limit else None})
        return 0
    print_table(
        ("id", "at", "run", "workflow", "task", "attempt", "state", "error"),
        (
            (one.id, one.at, short(one.run), one.workflow, one.task, one.attempt, one.state, said(one.error))
            for one in letters
        ),
        empty="No dead letter.",
    )
    return 0


async def _list_poison(where: Anywhere, state: str | None, before: int | None, limit: int, json: bool) -> int:
    async with looking(where.settings()) as station:
        letters = await station.letters.poison(state=state, before=before, limit=limit)
    if json:
        items = [letter_document(letter) for letter in letters]
        print_json({"items": items, "next": letters[-1].id if len(letters) == limit else None})
        return 0
    print_table(
        ("id", "at", "topic", "partition", "offset", "item", "state", "reason"),
        (
            (one.id, one.at, one.topic, one.partition, one.offset, one.item, one.state, one.reason)
            for one in letters
        ),
        empty="No message that nobody could read.",
    )
    return 0


def group(
    *,
    workflow: Workflow = None,
    task: Task = None,
    state: State = "open",
    limit: Limit = 50,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Dead letters of one kind together.

    One kind is: the same task, the same kind of error, and the same message but for the numbers, ids and times in it.
    """
    page(limit)
    return go(_group(where, Which(workflow, task), None if state == "all" else state, limit, json))


async def _group(where: Anywhere, which: Which, state: str | None, limit: int, json: bool) -> int:
    async with looking(where.settings()) as station:
        groups = await station.letters.groups(which, state=state, limit=limit)
    if json:
        items = [
            {
                "fingerprint": one.fingerprint,
                "workflow": one.workflow,
                "task": one.task,
                "count": one.letters,
                "open": one.open,
                "first_at": one.first_at,
                "newest_at": one.newest_at,
                "newest": one.newest,
                "error": {"kind": one.error.kind, "message": one.error.message},
            }
            for one in groups
        ]
        print_json({"items": items, "next": None})
        return 0
    print_table(
        ("fingerprint", "letters", "newest", "workflow", "task", "error"),
        (
            (one.fingerprint, one.letters, one.newest_at, one.workflow, one.task, said(one.error))
            for one in groups
        ),
        empty="No dead letter.",
    )
    return 0


def show(letter: Letter, /, *, json: Json = False, where: Anywhere = ANYWHERE) -> int:
    """One dead letter whole: error, inputs, attempts."""
    return go(_show(where, letter, json))


async def _show(where: Anywhere, number: int, json: bool) -> int:
    async with looking(where.settings()) as station:
        letter = await station.letters.get(number)
    failed = [one for one in letter.attempts if one.error is not None]
    if json:
        tried = [
            {
                "attempt": one.attempt,
                "at": one.finished_at,
                "error": {"kind": one.error.kind, "message": one.error.message},
            }
            for one in failed
            if one.error is not None
        ]
        print_json({"schema": 1, **letter_document(letter), "attempts": tried})
        return 0
    handled = "" if letter.handled_at is None else f" at {letter.handled_at} by {letter.by}"
    print_text(f"{letter.task} of {letter.workflow}, run {short(letter.run)} ({letter.run_state})")
    print_text(f"  {letter.state}{handled}{'' if not letter.note else ': ' + letter.note}")
    print_text(f"  group {letter.fingerprint}")
    print_text(f"  {said(letter.error)}")
    if letter.inputs is not None:
        print_text(f"  inputs {codec.dumps(letter.inputs, ensure_ascii=False)}")
    for one in failed:
        if one.error is not None:
            print_text(f"  attempt {one.attempt}  {one.finished_at}  {said(one.error)}")
    if letter.state == "open":
        say(f"Try it again: headrace dlq requeue {letter.id}")
    return 0


def discard(
    *letters: Letter,
    reason: Annotated[str, Parameter(help="Why; it is kept.")],
    workflow: Workflow = None,
    task: Task = None,
    fingerprint: Fingerprint = None,
    poison: Poison = False,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Say that nothing more is done about dead letters.

    Name them by their ids, or all open ones by --workflow, --task and --fingerprint.
    """
    return go(_discard(where, letters, reason, Which(workflow, task, fingerprint), poison, json))


async def _discard(
    where: Anywhere, ids: tuple[int, ...], reason: str, which: Which, poison: bool, json: bool
) -> int:
    if poison:
        if not ids or any(which):
            raise Stop("dlq discard --poison takes ids.", hint="headrace dlq list --poison")
    else:
        either(ids, which)
    async with looking(where.settings()) as station:
        answer = await station.letters.discard(ids, which, reason, poison=poison)
    if json:
        print_json({"schema": 1, "discarded": answer.discarded, "left": answer.left})
    else:
        say(
            f"{len(answer.discarded)} discarded."
            + (f" {len(answer.left)} were not open." if answer.left else "")
        )
    return 0


# what the commands share -----------------------------------------------------------------------------------------


def either(ids: tuple[int, ...], which: Which) -> None:
    """Raises Stop unless letters are named in one way: by their ids, or by what they have in common."""
    if bool(ids) == any(which):
        raise Stop(
            "name dead letters by their ids, or by --workflow, --task and --fingerprint.",
            hint="headrace dlq list shows the ids, headrace dlq group the fingerprints.",
        )


def said(error: ErrorEntry) -> str:
    """`ValueError: no such day`."""
    return printable(f"{error.kind}: {error.message}")


def print_text(text: str) -> None:
    """A line of what was asked for, on stdout."""
    print(printable(text))


def page(limit: int) -> None:
    """Raises Stop for a limit out of range."""
    if not 1 <= limit <= MOST:
        raise Stop(f"--limit is from 1 to {MOST}.")
