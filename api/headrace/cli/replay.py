"""`headrace replay RUN`: feed a run's history to the core again and compare what it decides now with what it decided."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.here import go, reading
from headrace.cli.output import print_json, say
from headrace.cli.references import find_run, short
from headrace.cli.where import HERE, RunRef, Where


def replay(
    run: RunRef, /, *, json: Annotated[bool, Parameter(help="For programs.")] = False, where: Where = HERE
) -> int:
    """Decide a run's history again and compare.

    Nothing runs and nothing is written. The exit status is 1 when something differs.
    """
    return go(_replay(where, run, json))


async def _replay(where: Where, run: str, json: bool) -> int:
    from headrace.engine.artifacts import open_artifacts
    from headrace.engine.expressions import CelEvaluator
    from headrace.engine.shell.replay import replay as decide_again

    settings = where.settings()
    if settings.server is not None and where.home is None and where.database_url is None:
        raise Stop(
            "replay reads a run's whole history, which a server does not give out.",
            hint="Name its database: --database-url, or --home for a folder.",
        )
    artifacts = open_artifacts(settings.artifact_store)
    async with reading(settings) as store:
        row = await find_run(store, settings.project, run)
        differences = await decide_again(store, CelEvaluator(), row.no, artifacts=artifacts)
        batches = len(await store.history(row.no))
    if json:
        print_json({"schema": 1, "run": row.id, "batches": batches, "differences": differences})
    else:
        for line in differences:
            print(line)
        same = "no difference" if not differences else f"{len(differences)} differences"
        say(f"run {short(row.id)}: {batches} batches of history decided again, {same}.")
    return Status.RUN_FAILED if differences else Status.OK
