# mypy: disable-error-code="empty-body"
from typing import Any

from headrace.dsl.python import (
    Loop,
    Retry,
    Signal,
    container,
    event,
    group,
    loop,
    noop,
    on_failure,
    outcome,
    run,
    signal,
    task,
    workflow,
)


@task
def undo(what: Any) -> Any: ...


@task(compensate=undo.options(retry=Retry(attempts=9)))
def reserve(order: dict[str, Any]) -> Any: ...


@task
def look(round: int) -> Any: ...


@group
def again() -> None:
    look(loop.index)


@workflow
def orders() -> None:
    held = reserve({"id": 7, "lines": [{"sku": "a-1", "count": 2}]})
    paid = signal(
        "paid",
        key=held.id,
        match=event.amount >= held["total-sum"],
        expires="3d",
        on_expiry="skip",
        id="paid",
    )
    either = signal(any=[Signal("a"), Signal("b", lookback="1h")], id="either", depends_on=held)
    ship = container(
        "shipper", argv=["--to", paid.address], cpu="2", memory="1GiB", depends_on=[either], id="ship"
    )
    again.options(loop=Loop(until="tasks.look.output.done", max=10, delay="1m"), depends_on=ship)()
    mine = noop(id="my-task")
    dotted = noop(id="dotted.task", depends_on=mine)
    undo.options(id="reader")([outcome(mine).state, dotted])
    with on_failure():
        told = undo.options(id="tell")(run.failed)
        noop(id="after", depends_on=told)
