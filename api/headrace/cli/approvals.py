"""`headrace approvals list|approve|reject` and `headrace signal`: what tasks that wait are told."""

from __future__ import annotations

import json as codec
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.follow import follow
from headrace.cli.here import go, keeping, looking, steered
from headrace.cli.output import print_json, print_table, say
from headrace.cli.references import short
from headrace.cli.where import ANYWHERE, Anywhere

if TYPE_CHECKING:
    from headrace.api.shapes.waits import ApprovalEntry

FINAL = frozenset(("succeeded", "failed", "cancelled"))
Json = Annotated[bool, Parameter(help="For programs.")]
Id = Annotated[int, Parameter(help="The approval's number: headrace approvals list shows it.")]
Comment = Annotated[str | None, Parameter(help="Why; it is kept with the decision.")]


def list_(
    *,
    run: Annotated[str | None, Parameter(help="Only those of this run.")] = None,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """What tasks ask of people, the longest waiting first."""
    return go(_list(where, run, json))


async def _list(where: Anywhere, run: str | None, json: bool) -> int:
    async with looking(where.settings()) as station:
        named = None if run is None else (await station.find(run)).run
        found = await station.waits.list(named)
    if json:
        print_json({"items": [msgspec.to_builtins(one) for one in found], "next": None})
        return 0
    print_table(
        ("id", "asks", "workflow", "task", "run", "agreed", "expires"),
        (
            (
                str(one.id),
                one.title or "",
                one.workflow,
                one.task,
                short(one.run),
                f"{len(one.agreed)} of {one.approvers}",
                one.expires_at,
            )
            for one in found
        ),
        empty="Nothing waits for anybody's decision.",
    )
    for one in found:
        for line in _form(one):
            print(line)
    return 0


def _form(one: ApprovalEntry) -> list[str]:
    """What is to be filled in, field by field."""
    if not one.form:
        return []
    fields = []
    for name, schema in one.form.items():
        kind = schema.get("type", "any")
        fields.append(f"{name} ({kind}{'' if 'default' in schema else ', required'})")
    return [f"  {one.id} takes --form {', '.join(fields)}"]


def approve(
    id: Id,
    /,
    *,
    form: Annotated[
        list[str] | None, Parameter(help="A field that is filled in, NAME=VALUE; repeatable.")
    ] = None,
    comment: Comment = None,
    where: Anywhere = ANYWHERE,
) -> int:
    """Agree to what a task asks.

    A value is JSON where it reads as such, else text. When no engine lives here, this process goes on with the run.
    """
    return go(_decide(where, id, True, _fields(form or []), comment))


def reject(id: Id, /, *, comment: Comment = None, where: Anywhere = ANYWHERE) -> int:
    """Reject what a task asks; one rejection is enough."""
    return go(_decide(where, id, False, {}, comment))


async def _decide(where: Anywhere, id: int, approved: bool, form: dict[str, Any], comment: str | None) -> int:
    async with steered(where.settings()) as station:
        run = await station.find(await station.waits.decide(id, approved, form, comment))
        say(f"✓ {id} is {'approved' if approved else 'rejected'}; run {short(run.run)} is {run.state}.")
        if station.owns and run.state not in FINAL:
            say("No engine lives on this home, so this process goes on with the run.")
            return await follow(
                station, run, await station.plan(run), json=False, stop_on_interrupt=True, timeout=None
            )
    return Status.OK


def _fields(pairs: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise Stop(f"--form takes NAME=VALUE, not {pair}.")
        try:
            fields[name] = codec.loads(text)
        except ValueError:
            fields[name] = text
    return fields


def signal(
    name: Annotated[str, Parameter(help="The signal's name.")],
    /,
    *,
    key: Annotated[str | None, Parameter(help="For those who wait for this one.")] = None,
    payload: Annotated[str, Parameter(help="What it says, as JSON.")] = "null",
    where: Anywhere = ANYWHERE,
) -> int:
    """Send a signal to every task that waits for it.

    Tasks that begin to wait later take it too, where they look back far enough; it is kept for a week.
    """
    try:
        value = codec.loads(payload)
    except (ValueError, RecursionError) as error:
        raise Stop(f"--payload takes JSON: {error}.") from None
    return go(_signal(where, name, key, value))


async def _signal(where: Anywhere, name: str, key: str | None, payload: Any) -> int:
    async with keeping(where.settings()) as station:
        await station.waits.signal(name, key, payload)
    say(f"✓ signal {name}{f' with key {key}' if key else ''} is sent.")
    return 0
