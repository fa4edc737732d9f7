"""The order saga in Python: the same plan, hash for hash, as order_saga.yaml."""

from typing import Annotated, Any, Literal

import store
from pydantic import Field

from headrace.dsl import Defaults, Param, Retry, Rule, error, on_failure, run, task, workflow

reserve = task(store.reserve)
# A card that is declined is no accident: the rule spares the other three tries.
charge = task(retry=Retry(rules=[Rule(on=error.kind == "Declined", then="fail")]))(store.charge)
ship = task(store.ship)
release = task(retry=Retry(10))(store.release)  # of all steps the one that must not be given up


@workflow(
    tags=["orders"],
    deadline="10m",
    defaults=Defaults(retry=Retry(4, delay="100ms", factor=2, max_delay="1s")),
)
def order_saga(
    order: str = "A-1001",
    items: dict[str, Annotated[int, Field(ge=1)]] = {"KET-17": 1, "FLT-100": 3},  # noqa: B006
    card: Literal["valid", "declined"] = "valid",
    carrier_down: Annotated[int, Param("How often the carrier does not answer at first.")] = 2,
    out: Annotated[str, Param("Where the shop's database is; counted from this folder.")] = "shop",
) -> Any:
    """Reserve, charge, ship; release what was reserved when one of them fails."""
    reserved = reserve(order, items, out)
    payment = charge(order, reserved.cents, card, out).payment
    tracking = ship(order, payment, carrier_down, out)
    with on_failure():
        release(order, run.failed, out)
    return {"order": order, "cents": reserved.cents, "tracking": tracking}
