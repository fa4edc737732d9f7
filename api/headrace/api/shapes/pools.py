"""Pools, as the API shows and takes them. No Litestar here."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.api.shapes.runs import Reason
from headrace.engine.ports.pools import MOST_SLOTS

POOL = r"^[a-z0-9][a-z0-9._-]*$"
Slots = Annotated[int, Meta(ge=0, le=MOST_SLOTS)]


class PoolEntry(msgspec.Struct, kw_only=True):
    """Slots that tasks share. `used`: of attempts that are dispatched or run; `waiting`: task runs that want slots and have not
    started. `changed_by` and `changed_at` are null for one whose size is a setting of this process."""

    name: str
    slots: int
    used: int
    waiting: int
    note: str | None
    changed_by: str | None
    changed_at: str | None


class PoolBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`slots` 0 closes it: what runs goes on, and nothing more begins. `note`: what it is for."""

    slots: Slots
    note: Reason | None = None
