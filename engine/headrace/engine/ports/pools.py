"""Pools as stored: names of a project, each with a number of slots that its tasks share.

Whoever grants learns of a change through the inbox of the part that grants for the project: a row `pools`, written with the
change, says that it is to read the sizes again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from headrace.engine.ports.acts import Act

if TYPE_CHECKING:
    from headrace.engine.ports.store import InboxRow

POOLS = "pools"
"""The kind of an inbox row that tells of a change."""
MOST_SLOTS = 1_000_000

PoolName: TypeAlias = tuple[str, str]
"""The project, and the name within it."""


class PoolRow(NamedTuple):
    """A pool. `slots` 0: it is closed, and grants nothing."""

    project: str
    name: str
    slots: int
    note: str | None
    changed_by: str
    changed_at: float


class TaskUse(NamedTuple):
    """How many task runs of one task, in live runs of one plan, are in that state."""

    plan: str
    task: int
    state: int
    times: int


class PoolBook(Protocol):
    """Part of the store."""

    async def pools(self, project: str | None, *, after: str = "", limit: int | None = None) -> list[PoolRow]:
        """By name, those behind `after`. Project None: of all projects, for whoever grants."""

    async def pool(self, project: str, name: str) -> PoolRow | None: ...

    async def put_pool(self, row: PoolRow, told: InboxRow, *, act: Act | None = None) -> PoolRow:
        """Make it, or change it, and tell whoever grants."""

    async def delete_pool(
        self, project: str, name: str, told: InboxRow, *, act: Act | None = None
    ) -> PoolRow | None:
        """It as it was; None: there is none. From then on nothing limits what names it."""

    async def live_plans(self, project: str) -> list[str]:
        """Hashes of the plans of runs that have not ended, as far as they name pools."""

    async def newest_plans(self, project: str) -> list[tuple[str, str]]:
        """Each workflow and the plan of its newest version, as far as that names pools."""

    async def tasks_in_use(self, project: str, plans: Collection[str]) -> list[TaskUse]:
        """Of runs of these plans that have not ended: task runs that wait for slots, are dispatched, or run."""
