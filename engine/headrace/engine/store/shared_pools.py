"""What every store does alike for pools: `SharedStore`'s part of `ports.pools`."""

from __future__ import annotations

from collections.abc import Collection

from headrace.engine.ports.acts import Act
from headrace.engine.ports.pools import PoolRow, TaskUse
from headrace.engine.ports.store import InboxRow
from headrace.engine.store import pooling
from headrace.engine.store.transacting import Transacting


class SharedPools(Transacting):
    """Sizes of pools, and who uses them."""

    async def pools(self, project: str | None, *, after: str = "", limit: int | None = None) -> list[PoolRow]:
        return await self._read(pooling.listed, project, after, limit)

    async def pool(self, project: str, name: str) -> PoolRow | None:
        return await self._read(pooling.one, project, name)

    async def put_pool(self, row: PoolRow, told: InboxRow, *, act: Act | None = None) -> PoolRow:
        return await self._change(act, pooling.put, row, told)

    async def delete_pool(
        self, project: str, name: str, told: InboxRow, *, act: Act | None = None
    ) -> PoolRow | None:
        return await self._change(act, pooling.drop, project, name, told, repeatable=False)

    async def live_plans(self, project: str) -> list[str]:
        return await self._read(pooling.live_plans, project)

    async def newest_plans(self, project: str) -> list[tuple[str, str]]:
        return await self._read(pooling.newest_plans, project)

    async def tasks_in_use(self, project: str, plans: Collection[str]) -> list[TaskUse]:
        return await self._read(pooling.in_use, project, plans) if plans else []
