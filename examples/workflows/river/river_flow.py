"""The river's days in Python: the same plan, hash for hash, as river.yaml."""

from datetime import date
from typing import Annotated

import gauge

from headrace.dsl import Cron, Param, run, task, workflow

read = task(gauge.read)
sum_up = task(gauge.sum_up)


@workflow(tags=["water"], triggers=[Cron("30 23 * * *", id="nightly", timezone="Europe/Berlin")])
def river(
    day: date = run.date,
    out: Annotated[str, Param("Where the days go; counted from this folder.")] = "days",
) -> gauge.Day:
    """Sum up a day's readings of a gauge."""
    levels = read(day)
    return sum_up(day, levels, out)
