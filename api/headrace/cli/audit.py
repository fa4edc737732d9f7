"""`headrace audit`: who did what, and whether the lines are still those that were written."""

from __future__ import annotations

import json as codec
import re
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.here import go
from headrace.cli.output import print_json, print_table, printable, say
from headrace.cli.people import people
from headrace.cli.users import Json
from headrace.cli.where import ANYWHERE, Anywhere
from headrace.engine.ports.acts import ChainHead

MOST = 500


def list_(
    *,
    actor: Annotated[str | None, Parameter(help="user:ada, token:ci, local:root")] = None,
    action: Annotated[str | None, Parameter(help="run.cancel, or a beginning of one: run.")] = None,
    object: Annotated[str | None, Parameter(help="workflow daily, token 5f0c…")] = None,
    before: Annotated[
        int | None, Parameter(help="Only below this id: the `next` of the page before.")
    ] = None,
    limit: Annotated[int, Parameter(help="How many (at most 500).")] = 50,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Who did what to what, when and from where."""
    if not 1 <= limit <= MOST:
        raise Stop(f"--limit is 1 to {MOST}.")
    wanted = {"actor": actor, "action": action, "object": object, "before": before}
    return go(_list(where, limit, json, wanted))


async def _list(where: Anywhere, limit: int, json: bool, wanted: dict[str, Any]) -> int:
    async with people(where.settings(), only_look=True) as known:
        lines = await known.audit(limit=limit, **wanted)
    if json:
        items = [msgspec.to_builtins(line) for line in lines]
        print_json({"items": items, "next": lines[-1].id if len(lines) == limit else None})
        return 0
    print_table(
        ("at", "who", "from", "did", "to", "detail"),
        (
            (line.at, line.actor, line.address, line.action, line.object, codec.dumps(line.detail))
            for line in lines
        ),
        empty="Nobody did anything yet.",
    )
    return 0


def verify(
    *,
    expect: Annotated[
        str | None,
        Parameter(help="LINE:HASH of one project, as noted earlier: the chain must still hold it."),
    ] = None,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Whether anything in the audit was changed or taken away.

    Of the project that is named, else of every one. Exit status 1 says that a chain does not hold, and the first place
    where it does not is told. Keep what it prints somewhere else and give it back with --expect: whoever can write
    the database can make a whole chain anew, but not one with the same hashes.
    """
    return go(_verify(where, _head(expect), json))


async def _verify(where: Anywhere, expected: ChainHead | None, json: bool) -> int:
    async with people(where.settings(), only_look=True) as known:
        verdicts = await known.verify(expected)
    if json:
        entries = [{"holds": one.problem is None, **one._asdict()} for one in verdicts]
        print_json({"schema": 1, "holds": all(entry["holds"] for entry in entries), "projects": entries})
    elif not verdicts:
        say("Nobody did anything yet.")
    else:
        for one in verdicts:
            project = printable(one.project)
            if one.problem is None:
                print(f"✓ {project}: {one.lines} lines hold, {one.lines}:{one.hash}")
            else:
                print(f"✗ {project}: {printable(one.problem)}")
    return Status.OK if all(one.problem is None for one in verdicts) else Status.RUN_FAILED


def _head(text: str | None) -> ChainHead | None:
    """Raises Stop."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text)
    if found is None:
        raise Stop("--expect is LINE:HASH, as headrace audit verify prints it.")
    return ChainHead(int(found[1]), found[2])
