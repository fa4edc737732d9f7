"""`headrace workflows list|show|diff|pause|resume`: what is registered."""

from __future__ import annotations

import json as codec
import sys
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.documents import version_document
from headrace.cli.here import go, keeping, looking
from headrace.cli.output import State, coloured, print_json, print_table, say
from headrace.cli.parameters import type_of
from headrace.cli.references import short
from headrace.cli.where import ANYWHERE, Anywhere

Json = Annotated[bool, Parameter(help="For programs.")]


def list_(*, json: Json = False, where: Anywhere = ANYWHERE) -> int:
    """Registered workflows."""
    return go(_list(where, json))


async def _list(where: Anywhere, json: bool) -> int:
    async with looking(where.settings()) as station:
        found = await station.workflows.list()
    if json:
        items = [{**version_document(one), "paused": one.paused} for one in found]
        print_json({"items": items, "next": None})
        return 0
    print_table(
        ("workflow", "version", "registered", "paused", "tags", "description"),
        (
            (
                one.name,
                one.version,
                one.created_at,
                "paused" if one.paused else None,
                one.tags,
                one.description,
            )
            for one in found
        ),
        empty="No workflow is registered. headrace register FILE does it.",
    )
    return 0


def show(name: str, /, *, json: Json = False, where: Anywhere = ANYWHERE) -> int:
    """One workflow: versions, parameters, last runs.

    Parameters
    ----------
    name
        The workflow's name.
    """
    return go(_show(where, name, json))


async def _show(where: Anywhere, name: str, json: bool) -> int:
    async with looking(where.settings()) as station:
        versions = await station.workflows.versions(name)
        newest = await station.workflows.version(name, versions[0].version)
        runs = await station.runs(workflow=name, state=None, limit=5)
    document = newest.document
    if json:
        listed = [version_document(version) for version in versions]
        print_json({**version_document(newest), "versions": listed, "document": document})
        return 0
    print(f"{newest.name}  version {newest.version}  {newest.plan[:19]}")
    if newest.description:
        print(newest.description)
    print()
    params = document.get("params") or {}
    print_table(
        ("parameter", "type", "default", "meaning"),
        (
            (
                key,
                type_of(schema),
                codec.dumps(schema["default"], ensure_ascii=False) if "default" in schema else "(required)",
                schema.get("description"),
            )
            for key, schema in params.items()
        ),
        empty="It takes no parameters.",
    )
    print()
    print_table(
        ("version", "plan", "registered"),
        ((one.version, one.plan[:19], one.created_at) for one in versions),
        empty="",
    )
    print()
    print_table(
        ("run", "version", "state", "created"),
        ((short(run.run), run.version, State(run.state, run.reason), run.created_at) for run in runs),
        empty=f"No run of it yet. headrace trigger {name} starts one.",
    )
    return 0


def diff(
    name: str,
    from_: Annotated[int | None, Parameter(help="A version; the one before TO when left out.")] = None,
    to: Annotated[int | None, Parameter(help="A version; the newest when left out.")] = None,
    /,
    *,
    json: Json = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """What changed between two versions.

    Parameters
    ----------
    name
        The workflow's name.
    """
    return go(_diff(where, name, from_, to, json))


async def _diff(where: Anywhere, name: str, from_: int | None, to: int | None, json: bool) -> int:
    async with looking(where.settings()) as station:
        found = await station.workflows.diff(name, from_, to)
    if json:
        print_json({"schema": 1, "workflow": name, "from": found.from_, "to": found.to, "diff": found.diff})
        return 0
    colours = {"+": "32", "-": "31", "@": "36"} if coloured(sys.stdout) else {}
    for line in found.diff:
        code = colours.get(line[:1])
        print(f"\033[{code}m{line}\033[0m" if code else line)
    if not found.diff:
        say("no difference.")
    return 0


def pause(name: str, /, *, where: Anywhere = ANYWHERE) -> int:
    """Nothing starts it until it is resumed.

    Runs that have begun go on.

    Parameters
    ----------
    name
        The workflow's name.
    """
    return go(_set_paused(where, name, True))


def resume(name: str, /, *, where: Anywhere = ANYWHERE) -> int:
    """Let a paused workflow start again.

    Parameters
    ----------
    name
        The workflow's name.
    """
    return go(_set_paused(where, name, False))


async def _set_paused(where: Anywhere, name: str, paused: bool) -> int:
    async with keeping(where.settings()) as station:
        found = await station.workflows.set_paused(name, paused)
    say(f"✓ {found.name} is paused: nothing starts it." if found.paused else f"✓ {found.name} may start.")
    return 0
