"""`headrace pools list|set|delete`: slots that tasks share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from headrace.cli.here import go, keeping, looking
from headrace.cli.output import print_json, print_table, say
from headrace.cli.where import ANYWHERE, Anywhere

if TYPE_CHECKING:
    from headrace.cli.station import Pools
    from headrace.dsl.source import Planned
    from headrace.engine.core.problems import Problem

Json = Annotated[bool, Parameter(help="For programs.")]
Name = Annotated[str, Parameter(help="As tasks name it.")]


def list_(*, json: Json = False, where: Anywhere = ANYWHERE) -> int:
    """Slots that tasks share, and who uses them."""
    return go(_list(where, json))


async def _list(where: Anywhere, json: bool) -> int:
    async with looking(where.settings()) as station:
        found = await station.pools.list()
    if json:
        print_json({"items": [msgspec.to_builtins(one) for one in found], "next": None})
        return 0
    print_table(
        ("pool", "slots", "used", "waiting", "note"),
        ((one.name, str(one.slots), str(one.used), str(one.waiting), one.note or "") for one in found),
        empty="There are no pools. headrace pools set NAME SLOTS makes one.",
    )
    return 0


def set_(
    name: Name,
    slots: Annotated[int, Parameter(help="0 closes it: what runs goes on, and nothing more begins.")],
    /,
    *,
    note: Annotated[str | None, Parameter(help="What it is for.")] = None,
    where: Anywhere = ANYWHERE,
) -> int:
    """Give a pool its slots, while tasks run too.

    More slots are granted at once; with fewer than are used, nothing begins until enough have ended.
    """
    return go(_set(where, name, slots, note))


async def _set(where: Anywhere, name: str, slots: int, note: str | None) -> int:
    async with keeping(where.settings()) as station:
        kept = await station.pools.set(name, slots, note)
    many = "1 slot" if kept.slots == 1 else f"{kept.slots} slots"
    say(f"✓ pool {kept.name} has {many}." if kept.slots else f"✓ pool {kept.name} is closed.")
    return 0


def delete(name: Name, /, *, where: Anywhere = ANYWHERE) -> int:
    """Delete a pool that nothing names any more."""
    return go(_delete(where, name))


async def _delete(where: Anywhere, name: str) -> int:
    async with keeping(where.settings()) as station:
        await station.pools.delete(name)
    say(f"✓ pool {name} is deleted.")
    return 0


async def unknown(planned: Iterable[Planned], pools: Pools) -> list[Problem]:
    """The warnings about tasks whose pool has no slots there; none where a server looks itself."""
    warned = [(one, warning) for one in planned for warning in one.warnings if warning.code == "unknown_pool"]
    known = await pools.known() if warned else None  # most workflows name none
    if known is None:
        return []
    from headrace.dsl.unsupported import unknown_pools

    lacking = {id(one): {each.path for each in unknown_pools(one.plan.workflow, known)} for one, _ in warned}
    return [warning for one, warning in warned if warning.path in lacking[id(one)]]
