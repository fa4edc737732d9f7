"""What every store does alike for waits and signals: `SharedStore`'s part of `ports.waits`."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.engine.ports.acts import Act
from headrace.engine.ports.waits import NewSignal, Sent, SignalRow, Waiting
from headrace.engine.store import signalling
from headrace.engine.store.transacting import Transacting


class SharedWaits(Transacting):
    """Waits that others end, and signals."""

    async def waits(
        self, project: str, kind: str, *, after: int = 0, run: int | None = None, limit: int = 50
    ) -> list[Waiting]:
        return await self._read(signalling.listed, project, kind, after, run, limit)

    async def wait(self, project: str, no: int) -> Waiting | None:
        return await self._read(signalling.one, project, no)

    async def send_signal(self, signal: NewSignal, *, act: Act | None = None) -> Sent:
        return await self._change(act, signalling.send, signal, repeatable=False)

    async def deliver(self, signal: int) -> list[int]:
        parts: set[int] = set()
        after: int | None = 0
        while after is not None:
            told, after = await self._write(signalling.tell, signal, after)
            parts.update(told)
        return sorted(parts)

    async def undelivered(self, before: float, limit: int) -> list[int]:
        return await self._read(signalling.undelivered, before, limit)

    async def signals(
        self, project: str, names: Sequence[str], since: float, *, after: int = 0, limit: int = 1000
    ) -> list[SignalRow]:
        return await self._read(signalling.found, project, names, since, after, limit) if names else []
