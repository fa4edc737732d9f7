"""`headrace dlq list|group|show|discard`: attempts that failed for good, and messages that nobody could read."""

from __future__ import annotations

import base64
import json as codec
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from headrace.cli.failure import Stop
from headrace.cli.here import go, me, reading
from headrace.cli.output import instant, print_json, print_table, printable, say
from headrace.cli.references import short
from headrace.cli.where import HERE, Where
from headrace.engine.core.keys import Key
from headrace.engine.core.states import RunState

if TYPE_CHECKING:
    from headrace.engine.ports.letters import DeadLetter, PoisonLetter
    from headrace.engine.ports.store import Store

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
    where: Where = HERE,
) -> int:
    """The newest dead letters."""
    page(limit)
    wanted = {"state": None if state == "all" else state, "before": before}
    if poison:
        return go(_list_poison(where, limit, json, wanted))
    return go(
        _list(where, limit, json, {**wanted, "workflow": workflow, "task": task, "fingerprint": fingerprint})
    )


async def _list(where: Where, limit: int, json: bool, wanted: dict[str, Any]) -> int:
    settings = where.settings()
    async with reading(settings) as store:
        letters = await store.dead_letters(settings.project, limit, **wanted)
        entries = [await letter_entry(store, letter) for letter in letters]
    if json:
        print_json({"items": entries, "next": letters[-1].id if len(letters) == limit else None})
        return 0
    print_table(
        ("id", "at", "run", "workflow", "task", "attempt", "state", "error"),
        (
            (
                *(entry[name] for name in ("id", "at")),
                short(entry["run"]),
                *(entry[name] for name in ("workflow", "task", "attempt", "state")),
                said(entry["error"]),
            )
            for entry in entries
        ),
        empty="No dead letter.",
    )
    return 0


async def _list_poison(where: Where, limit: int, json: bool, wanted: dict[str, Any]) -> int:
    settings = where.settings()
    async with reading(settings) as store:
        letters = await store.poison(limit, **wanted)
    if json:
        entries = [_poison_entry(letter) for letter in letters]
        print_json({"items": entries, "next": letters[-1].id if len(letters) == limit else None})
        return 0
    print_table(
        ("id", "at", "topic", "partition", "offset", "item", "state", "reason"),
        (
            (one.id, instant(one.at), one.topic, one.partition, one.offset, one.item, one.state, one.reason)
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
    where: Where = HERE,
) -> int:
    """Dead letters of one kind together.

    One kind is: the same task, the same kind of error, and the same message but for the numbers, ids and times in it.
    """
    page(limit)
    return go(_group(where, workflow, task, state, limit, json))


async def _group(
    where: Where, workflow: str | None, task: str | None, state: str, limit: int, json: bool
) -> int:
    settings = where.settings()
    async with reading(settings) as store:
        found = await store.dead_letter_groups(
            settings.project, limit, workflow=workflow, task=task, state=None if state == "all" else state
        )
    entries = [
        {
            "fingerprint": one.fingerprint,
            "workflow": one.workflow,
            "task": one.task_id,
            "count": one.letters,
            "open": one.open,
            "first_at": instant(one.first_at),
            "newest_at": instant(one.newest_at),
            "newest": one.newest,
            "error": codec.loads(one.error),
        }
        for one in found
    ]
    if json:
        print_json({"items": entries, "next": None})
        return 0
    columns = ("fingerprint", "count", "newest_at", "workflow", "task")
    print_table(
        ("fingerprint", "letters", "newest", "workflow", "task", "error"),
        ((*(entry[name] for name in columns), said(entry["error"])) for entry in entries),
        empty="No dead letter.",
    )
    return 0


def show(letter: Letter, /, *, json: Json = False, where: Where = HERE) -> int:
    """One dead letter whole: error, inputs, attempts."""
    return go(_show(where, letter, json))


async def _show(where: Where, number: int, json: bool) -> int:
    from headrace.engine.shell.rows import filled_of

    settings = where.settings()
    async with reading(settings) as store:
        letter = await found_letter(store, settings.project, number)
        entry = await letter_entry(store, letter)
        run = await store.run(letter.run)
        values = await store.values([(letter.run, letter.generation, letter.task, letter.map)])
        inputs = values[0].inputs if values else None
        entry["inputs"] = None if inputs is None else filled_of(inputs).value
        entry["attempts"] = await _attempts(store, letter)
        entry["run_state"] = None if run is None else RunState(run.state).word
    if json:
        print_json({"schema": 1, **entry})
        return 0
    handled = "" if letter.handled_at is None else f" at {instant(letter.handled_at)} by {letter.by}"
    print_text(f"{entry['task']} of {letter.workflow}, run {short(letter.run_id)} ({entry['run_state']})")
    print_text(f"  {letter.state}{handled}{'' if not letter.note else ': ' + letter.note}")
    print_text(f"  group {letter.fingerprint}")
    print_text(f"  {said(entry['error'])}")
    if entry["inputs"] is not None:
        print_text(f"  inputs {codec.dumps(entry['inputs'], ensure_ascii=False)}")
    for attempt in entry["attempts"]:
        print_text(f"  attempt {attempt['attempt']}  {attempt['at']}  {said(attempt['error'])}")
    if letter.state == "open":
        say(f"Try it again: headrace dlq requeue {letter.id}")
    return 0


async def _attempts(store: Store, letter: DeadLetter) -> list[dict[str, Any]]:
    """Every attempt of the task run that failed, from the run's history."""
    from headrace.engine.core.events import AttemptFailed
    from headrace.engine.shell import history

    key = Key(letter.task, letter.map)
    found = []
    for row in await store.history(letter.run):
        recorded = history.decode(row.body, history.NoContent())
        if recorded.generation != letter.generation:
            continue
        for event in recorded.events:
            if isinstance(event, AttemptFailed) and event.key == key:
                error = {"kind": event.error.kind, "message": event.error.message}
                found.append({"attempt": event.attempt, "at": instant(event.at), "error": error})
    return found


def discard(
    *letters: Letter,
    reason: Annotated[str, Parameter(help="Why; it is kept.")],
    workflow: Workflow = None,
    task: Task = None,
    fingerprint: Fingerprint = None,
    poison: Poison = False,
    json: Json = False,
    where: Where = HERE,
) -> int:
    """Say that nothing more is done about dead letters.

    Name them by their ids, or all open ones by --workflow, --task and --fingerprint.
    """
    return go(_discard(where, letters, reason, (workflow, task, fingerprint), poison, json))


async def _discard(
    where: Where, ids: tuple[int, ...], reason: str, which: Which, poison: bool, json: bool
) -> int:
    settings = where.settings()
    async with reading(settings) as store:
        if poison:
            if not ids or any(which):
                raise Stop("dlq discard --poison takes ids.", hint="headrace dlq list --poison")
            done = await store.discard_poison(ids, me(), reason, time.time())
        else:
            wanted = await chosen(store, settings.project, ids, which)
            done = await store.discard([letter.id for letter in wanted], me(), reason, time.time())
            ids = tuple(letter.id for letter in wanted)
    left = sorted(set(ids) - set(done))
    if json:
        print_json({"schema": 1, "discarded": done, "left": left})
    else:
        say(f"{len(done)} discarded." + (f" {len(left)} were not open." if left else ""))
    return 0


# what the commands share -----------------------------------------------------------------------------------------

Which = tuple[str | None, str | None, str | None]
"""Workflow, task and fingerprint of the letters that are meant."""


async def chosen(store: Store, project: str, ids: tuple[int, ...], which: Which) -> list[DeadLetter]:
    """The letters that are meant, oldest first: those of the ids, or all open ones that fit. Raises Stop when none is."""
    workflow, task, fingerprint = which
    if bool(ids) == any(which):
        raise Stop(
            "name dead letters by their ids, or by --workflow, --task and --fingerprint.",
            hint="headrace dlq list shows the ids, headrace dlq group the fingerprints.",
        )
    if ids:
        return [await found_letter(store, project, number) for number in sorted(set(ids))]
    found: list[DeadLetter] = []
    before = None
    while True:
        some = await store.dead_letters(
            project, MOST, workflow=workflow, task=task, fingerprint=fingerprint, state="open", before=before
        )
        found += some
        if len(some) < MOST:
            break
        before = some[-1].id
    if not found:
        raise Stop("no open dead letter fits.", hint="headrace dlq group shows what there is.")
    return found[::-1]


async def found_letter(store: Store, project: str, number: int) -> DeadLetter:
    """The letter of that id. Raises Stop."""
    letter = await store.dead_letter(project, number)
    if letter is None:
        raise Stop(f"there is no dead letter {number}.", hint="headrace dlq list --state all")
    return letter


async def letter_entry(store: Store, letter: DeadLetter) -> dict[str, Any]:
    """A letter as programs get it."""
    from headrace.api.asking.requeueing import task_name
    from headrace.engine.shell.plans import Plans

    return {
        "id": letter.id,
        "run": letter.run_id,
        "workflow": letter.workflow,
        "task": await task_name(store, Plans(store), letter),
        "generation": letter.generation,
        "attempt": letter.attempt,
        "at": instant(letter.at),
        "error": codec.loads(letter.error),
        "fingerprint": letter.fingerprint,
        "state": letter.state,
        "handled_at": instant(letter.handled_at),
        "by": letter.by,
        "note": letter.note,
    }


def _poison_entry(letter: PoisonLetter) -> dict[str, Any]:
    handled = {"handled_at": instant(letter.handled_at), "by": letter.by, "note": letter.note}
    place = {name: getattr(letter, name) for name in ("topic", "partition", "offset", "item")}
    body = base64.b64encode(letter.body).decode()
    kept = {"at": instant(letter.at), "reason": letter.reason, "body_base64": body, "state": letter.state}
    return {"id": letter.id, **place, **kept, **handled}


def said(error: dict[str, Any]) -> str:
    """`ValueError: no such day`."""
    return printable(f"{error.get('kind')}: {error.get('message')}")


def print_text(text: str) -> None:
    """A line of what was asked for, on stdout."""
    print(printable(text))


def page(limit: int) -> None:
    """Raises Stop for a limit out of range."""
    if not 1 <= limit <= MOST:
        raise Stop(f"--limit is from 1 to {MOST}.")
