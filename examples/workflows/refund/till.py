"""The till: what was bought, and what is paid back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict


class Refund(TypedDict):
    order: str
    cents: int
    approved_by: str


def look_up(order: str, cents: int) -> int:
    """How many cents the order may have back. Raises ValueError for more than that."""
    bought = 20_000
    if cents > bought:
        raise ValueError(f"{order} cost {bought} cents, and {cents} are asked for.")
    return bought


def pay(order: str, cents: int, approved_by: str, out: str) -> Refund:
    """Pay it back, once however often this is called."""
    refund = Refund(order=order, cents=cents, approved_by=approved_by)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{order}.json").write_text(json.dumps(refund), encoding="utf-8")
    return refund
