"""`headrace dlq list`: attempts that failed for good."""

from __future__ import annotations

import json as codec
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.failure import Stop
from headrace.cli.here import go, plan_of, reading
from headrace.cli.output import instant, print_json, print_table
from headrace.cli.references import short
from headrace.cli.where import HERE, Where
from headrace.engine.core.keys import written


def list_(
    *,
    limit: Annotated[int, Parameter(help="How many, newest first (at most 500).")] = 50,
    json: Annotated[bool, Parameter(help="For programs.")] = False,
    where: Where = HERE,
) -> int:
    """The newest dead letters."""
    if not 1 <= limit <= 500:
        raise Stop("--limit is from 1 to 500.")
    return go(_list(where, limit, json))


async def _list(where: Where, limit: int, json: bool) -> int:
    settings = where.settings()
    entries = []
    async with reading(settings) as store:
        ids: dict[int, tuple[str, str, tuple[str, ...]]] = {}
        for letter in await store.dead_letters(settings.project, limit):
            if letter.run not in ids:
                row = await store.run(letter.run)
                if row is None:
                    continue
                ids[letter.run] = (row.id, row.workflow, (await plan_of(store, row.plan)).ids)
            run, workflow, tasks = ids[letter.run]
            entries.append(
                {
                    "run": run,
                    "workflow": workflow,
                    "task": written(tasks[letter.task], letter.map),
                    "generation": letter.generation,
                    "attempt": letter.attempt,
                    "at": instant(letter.at),
                    "error": codec.loads(letter.error),
                }
            )
    if json:
        print_json({"items": entries, "next": None})
        return 0
    print_table(
        ("at", "run", "workflow", "task", "attempt", "error"),
        (
            (
                entry["at"],
                short(entry["run"]),
                entry["workflow"],
                entry["task"],
                entry["attempt"],
                f"{entry['error'].get('kind')}: {entry['error'].get('message')}",
            )
            for entry in entries
        ),
        empty="No dead letter.",
    )
    return 0
