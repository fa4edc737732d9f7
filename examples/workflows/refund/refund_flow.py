"""Refunds in Python: the same plan, hash for hash, as refund.yaml."""

from typing import Annotated, Any

import till
from pydantic import Field

from headrace.dsl import Param, approval, expr, switch, task, workflow

look_up = task(till.look_up)
pay = task(till.pay)


@workflow(tags=["people"])
def refund(
    order: str = "A-1007",
    cents: Annotated[int, Field(ge=1)] = 1850,
    limit: Annotated[int, Param("Above it somebody has to agree.")] = 5000,
    out: str = "refunds",
) -> Any:
    """Pay small refunds at once; ask somebody about large ones."""
    known = look_up(order, cents)
    with switch(id="size", depends_on=[known]) as size, size.case(cents > limit):
        asked = approval(
            f"Refund {cents} cents for {order}?",
            id="ask",
            form={"reason": str},
            approvers=2,
            expires="4h",
            on_reject="skip",
            on_expiry="skip",
        )
    agreed = expr("tasks.ask.state == 'succeeded' || params.cents <= params.limit")
    by = expr("get(tasks.ask.output, 'by', 'nobody needed')")
    return pay.options(depends_on=[known, asked], trigger_rule="none_failed", when=agreed)(
        order, cents, by, out
    )
