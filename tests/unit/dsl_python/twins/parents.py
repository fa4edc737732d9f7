# mypy: disable-error-code="empty-body"
from datetime import date
from typing import Any, Literal

from headrace.dsl.python import noop, outcome, task, workflow


@task
def tell(run: str, region: str) -> None: ...


@workflow
def one_day(day: date, full: bool = False) -> Any:
    noop()


@workflow
def parents(days: list[date], region: Literal["eu", "us"] = "eu") -> None:
    first = one_day.options(id="one")(days[0])
    later = one_day.options(wait=False, on_cancel="abandon", version=3)(first.next, full=True)
    one_day.options(id="all", max_parallel=2).partial(full=False).map(days)
    one_day.options(id="grid").product(day=days, full=[True, False])
    tell.options(id="told", priority="low", tags=["x"])(outcome(later).run, region)
