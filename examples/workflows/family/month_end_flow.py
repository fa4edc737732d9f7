"""Parent and children in Python. A workflow called inside another is a child; its parameters are checked as arguments.

Each has the plan, hash for hash, of the YAML file of its name: `headrace run month_end_flow.py:month_end`.
"""

from typing import Annotated, Any

import ledger

from headrace.dsl import Param, shell, task, workflow

add_up, lock, consolidate = task(ledger.add_up), task(ledger.lock), task(ledger.consolidate)

Month = Annotated[str, Param(pattern="^[0-9]{4}-[0-9]{2}$")]

PACK = """\
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$MONTH.tar.part" -C "$MONTH" .
mv "$MONTH.tar.part" "$MONTH.tar"
"""


@workflow
def close_branch(branch: str, month: Month = "2026-02", out: str = "results") -> ledger.Balance:
    """Add up a branch's entries and lock them."""
    balance = add_up(branch, month)
    lock(balance, month, out)
    return balance


@workflow
def archive(month: Month = "2026-02", out: str = "results") -> None:
    """Pack a month's statements."""
    shell(PACK, id="pack", env={"MONTH": f"{out}/{month}"})


@workflow(tags=["books"])
def month_end(
    month: Month = "2026-02",
    branches: list[str] = ["basel", "graz", "turin"],  # noqa: B006 - written into the plan, never changed
    out: Annotated[str, Param("Where the statements go; counted from this folder.")] = "results",
) -> Any:
    """Close every branch's month and consolidate."""
    one = close_branch.options(id="close", as_="branch", label="${{ branch }}")
    balances = one.partial(month=month, out=out).map(branches)
    total = consolidate(balances, month, out)
    archive.options(wait=False, on_cancel="abandon", depends_on=total)(month, out)
    return {"cents": total.cents, "statement": total.statement}
