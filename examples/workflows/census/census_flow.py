"""The census in Python: the same plan, hash for hash, as census.yaml."""

from typing import Annotated

import office

from headrace.dsl import Param, Poll, Timeouts, output, task, workflow

order, sum_up = task(office.order), task(office.sum_up)
look = task(poll=Poll(every="500ms", until=output.ready), timeouts=Timeouts(total="1h"))(office.look)


@workflow(tags=["waiting"])
def census(
    year: int = 2020,
    takes: Annotated[float, Param("Seconds that the office needs.", minimum=0)] = 2,
    out: Annotated[str, Param("Where the figures go; counted from this folder.")] = "figures",
) -> office.Sum:
    """Order figures, wait for them without a worker, sum them up."""
    answer = look(order(year, takes, out), out)
    return sum_up(answer.file)
