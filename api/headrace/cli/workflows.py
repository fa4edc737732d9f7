"""`headrace workflows list|show|diff`: what is registered."""

from __future__ import annotations

import json as codec
import sys
from typing import Annotated

from cyclopts import Parameter

from headrace.api.showing.documents import state_word
from headrace.cli.failure import Stop
from headrace.cli.here import go, reading
from headrace.cli.output import State, coloured, instant, print_json, print_table, say
from headrace.cli.parameters import type_of
from headrace.cli.references import short
from headrace.cli.where import HERE, Where
from headrace.engine.core.problems import did_you_mean
from headrace.engine.ports.store import Store, VersionRow

Json = Annotated[bool, Parameter(help="For programs.")]


def list_(*, json: Json = False, where: Where = HERE) -> int:
    """Registered workflows."""
    return go(_list(where, json))


async def _list(where: Where, json: bool) -> int:
    settings = where.settings()
    async with reading(settings) as store:
        newest: dict[str, VersionRow] = {}
        for row in await store.versions(settings.project):
            if row.name not in newest or row.version > newest[row.name].version:
                newest[row.name] = row
    rows = sorted(newest.values(), key=lambda row: row.name)
    if json:
        print_json({"items": [_entry(row) for row in rows], "next": None})
        return 0
    print_table(
        ("workflow", "version", "registered", "tags", "description"),
        ((row.name, row.version, instant(row.created_at), row.tags, row.description) for row in rows),
        empty="No workflow is registered. headrace register FILE does it.",
    )
    return 0


def show(name: str, /, *, json: Json = False, where: Where = HERE) -> int:
    """One workflow: versions, parameters, last runs.

    Parameters
    ----------
    name
        The workflow's name.
    """
    return go(_show(where, name, json))


async def _show(where: Where, name: str, json: bool) -> int:
    settings = where.settings()
    async with reading(settings) as store:
        versions = await find_versions(store, settings.project, name)
        runs = await store.list_runs(settings.project, workflow=name, limit=5)
    newest = versions[-1]
    document = codec.loads(newest.document)
    if json:
        print_json(
            {**_entry(newest), "versions": [_entry(row) for row in reversed(versions)], "document": document}
        )
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
        ((row.version, row.plan[:19], instant(row.created_at)) for row in reversed(versions)),
        empty="",
    )
    print()
    print_table(
        ("run", "version", "state", "created"),
        (
            (short(row.id), row.version, State(state_word(row), row.reason), instant(row.created_at))
            for row in runs
        ),
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
    where: Where = HERE,
) -> int:
    """What changed between two versions.

    Parameters
    ----------
    name
        The workflow's name.
    """
    return go(_diff(where, name, from_, to, json))


async def _diff(where: Where, name: str, from_: int | None, to: int | None, json: bool) -> int:
    from headrace.api.asking.comparing import NoSuchVersion, compare

    settings = where.settings()
    async with reading(settings) as store:
        versions = await find_versions(store, settings.project, name)
    try:
        first, last, lines = compare(versions, from_, to)
    except NoSuchVersion as unknown:
        raise Stop(str(unknown), hint=f"It has {', '.join(map(str, unknown.known))}.") from None
    if json:
        print_json({"schema": 1, "workflow": name, "from": first, "to": last, "diff": lines})
        return 0
    colours = {"+": "32", "-": "31", "@": "36"} if coloured(sys.stdout) else {}
    for line in lines:
        code = colours.get(line[:1])
        print(f"\033[{code}m{line}\033[0m" if code else line)
    if not lines:
        say("no difference.")
    return 0


async def find_versions(store: Store, project: str, name: str) -> list[VersionRow]:
    """All versions, oldest first. Raises Stop when there is no such workflow, with the nearest name."""
    versions = sorted(await store.versions(project, name), key=lambda row: row.version)
    if not versions:
        known = {row.name for row in await store.versions(project)}
        raise Stop(
            f'no workflow "{name}" is registered.',
            hint=did_you_mean(name, known)
            or "headrace register FILE does it; headrace workflows list shows them.",
        )
    return versions


def _entry(row: VersionRow) -> dict[str, object]:
    return {
        "name": row.name,
        "version": row.version,
        "plan": row.plan,
        "description": row.description,
        "tags": list(row.tags),
        "created_at": instant(row.created_at),
    }
