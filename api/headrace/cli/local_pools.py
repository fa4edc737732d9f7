"""Pools in this machine's database."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from headrace.cli.refusals import said

if TYPE_CHECKING:
    from headrace.api.shapes.pools import PoolEntry
    from headrace.cli.settings import Settings
    from headrace.engine.ports.store import Store


class LocalPools:
    """Those of one project."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store, self._project = settings, store, settings.project

    @property
    def given(self) -> Mapping[str, int]:
        """Sizes that are settings act where one process does everything."""
        return self._settings.pools if self._settings.database.startswith("sqlite") else {}

    async def list(self) -> Sequence[PoolEntry]:
        from headrace.api.asking import pools
        from headrace.engine.shell.plans import Plans

        return await pools.listed(self._store, Plans(self._store), self._project, self.given, "", None)

    async def known(self) -> frozenset[str] | None:
        from headrace.api.asking import pools

        return frozenset(await pools.sizes(self._store, self._project, self.given))

    async def set(self, name: str, slots: int, note: str | None) -> PoolEntry:
        from headrace.api.asking import pools
        from headrace.api.problems import Problem
        from headrace.api.shapes.pools import PoolEntry
        from headrace.cli.acts import act
        from headrace.cli.failure import Stop
        from headrace.cli.here import me
        from headrace.engine.ports.pools import MOST_SLOTS

        if not 0 <= slots <= MOST_SLOTS:
            raise Stop(f"A pool has 0 to {MOST_SLOTS:,} slots.")
        line = act(self._settings, "pool.put", f"pool {name}", {"slots": slots, "note": note})
        at, parts, by = time.time(), await self._store.parts(), f"local:{me()}"
        try:
            await pools.put(self._store, self._project, name, slots, note, by, at, parts, line)
        except Problem as problem:
            raise said(problem) from None
        return PoolEntry(name=name, slots=slots, used=0, waiting=0, note=note, changed_by=by, changed_at=None)

    async def delete(self, name: str) -> None:
        from headrace.api.asking import pools
        from headrace.api.problems import Problem
        from headrace.cli.acts import act
        from headrace.engine.shell.plans import Plans

        line = act(self._settings, "pool.delete", f"pool {name}")
        plans, parts = Plans(self._store), await self._store.parts()
        try:
            await pools.drop(self._store, plans, self._project, name, time.time(), parts, line)
        except Problem as problem:
            raise said(problem) from None
