# mypy: disable-error-code="empty-body"
from typing import Any

from headrace.dsl.python import expr, finally_, on_failure, outcome, run, shell, task, workflow


@task
def work(n: int) -> int: ...
@task
def rest(outputs: list[int], first: str) -> Any: ...
@task
def tell(failed: Any, why: str | None = None) -> None: ...


@workflow(deadline="1d")
def cleanup() -> str:
    up = shell("up", id="up")
    works = work.options(depends_on=up, tolerate=1).map([1, 2, 3])
    first = expr("x + 1 == 2 ? 'a' : 'b'", x=up.x)
    end = rest.options(trigger_rule="all_done")(works, first)
    shell("down", id="down", teardown_of=[up], depends_on=[end], fails_run=True)
    with on_failure():
        tell(run.failed, outcome(end).reason)
    with finally_():
        log = tell.options(id="log", retry=2)([run.state, outcome(works).counts.failed])
        shell("stop", id="stop", depends_on=log)
    return f"{outcome(end).state} after {outcome(works).counts.total}"
