"""What everyone who asks for runs of a database does alike, whether engines decide in the same process or elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from headrace.engine.core.plan import Plan
from headrace.engine.core.workflow import Json
from headrace.engine.ports.acts import Act
from headrace.engine.ports.store import Created, InboxRow, NewRun, RunRow, Store, StoreUnavailable
from headrace.engine.shell.plans import build
from headrace.engine.shell.submission import new_row

ANSWER_WITHIN = 30.0
"""Seconds in which whoever decides, and lives, must have taken a command from the inbox."""

LOOK_EVERY = 0.02
"""Seconds between two looks at whether a command was taken."""


def about(act: Act | None, new: NewRun) -> Act | None:
    """The act as one about that run."""
    return None if act is None else act._replace(object=f"run {new.id}")


def command_row(part: int, run: int, kind: str, body: dict[str, Json], at: float) -> InboxRow:
    """A command as the inbox keeps it."""
    return InboxRow(0, part, run, kind, msgspec.json.encode(body), at)


async def row_of(store: Store, new: NewRun, created: Created) -> RunRow:
    """The run that came of asking: the new one, or the live one that had its key."""
    if not created.existed:
        return new_row(new, created.no)
    stored = await store.run(created.no)
    assert stored is not None
    return stored


async def until_taken(store: Store, part: int, posted: int) -> AsyncIterator[None]:
    """Goes round as long as the command lies in the inbox: the answer may come from another process."""
    while (rows := await store.inbox(part, posted - 1, 1)) and rows[0].id == posted:
        yield


async def stored_plan(store: Store, plan_hash: str) -> Plan:
    """The stored plan of that hash. Raises StoreUnavailable when there is none."""
    document = await store.plan(plan_hash)
    if document is None:
        raise StoreUnavailable(f"The store has no plan {plan_hash}; was the database restored in part?")
    return build(document)
