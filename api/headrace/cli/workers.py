"""`headrace workers list|drain`: who executes tasks, as the engines have heard."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from headrace.cli.here import go, looking
from headrace.cli.output import print_json, print_table, printable
from headrace.cli.where import ANYWHERE, Anywhere


def list_(
    *,
    queue: Annotated[str | None, Parameter(help="Only those that listen to this queue.")] = None,
    all: Annotated[bool, Parameter(help="Also those that have not been heard of late.")] = False,
    json: Annotated[bool, Parameter(help="For programs.")] = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """The workers that engines hear.

    Each says every two seconds that it is there; engines note it in the database.
    """
    return go(_list(where, queue, all, json))


async def _list(where: Anywhere, queue: str | None, everyone: bool, json: bool) -> int:
    async with looking(where.settings()) as station:
        found = await station.workers(queue=queue, gone=everyone)
    if json:
        import msgspec

        print_json({"items": [msgspec.to_builtins(worker) for worker in found], "next": None})
        return 0
    print_table(
        ("worker", "state", "queues", "labels", "kinds", "slots", "held", "seen"),
        (
            (
                *(worker.id, worker.state, worker.queues),
                [f"{name}={value}" for name, value in sorted(worker.labels.items())],
                *(worker.kinds, worker.slots, worker.held, worker.seen_at),
            )
            for worker in found
        ),
        empty="No worker is heard. headrace worker starts one.",
    )
    return 0


def drain(
    worker: Annotated[str, Parameter(help="Its id, as workers list shows it.")],
    /,
    *,
    json: Annotated[bool, Parameter(help="For programs.")] = False,
    where: Anywhere = ANYWHERE,
) -> int:
    """Have a worker take nothing more, finish what it holds, and leave.

    However long its tasks take. What it has not started goes to others.
    """
    return go(_drain(where, worker, json))


async def _drain(where: Anywhere, worker: str, json: bool) -> int:
    async with looking(where.settings()) as station:
        entry = await station.drain_worker(worker)
    if json:
        import msgspec

        print_json(msgspec.to_builtins(entry))
        return 0
    print(
        f"worker {printable(entry.id)} is asked to leave; it holds {entry.held}. headrace workers list shows it draining."
    )
    return 0
