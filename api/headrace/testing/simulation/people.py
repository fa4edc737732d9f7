"""Those whom a simulated world's tasks wait for: they look now and then at what is asked and sought, and answer some of it.

What they said and nobody acknowledged may have been done or not: they look again, and say it again if it is still asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random

import msgspec

from headrace.engine.core.keys import pack, written
from headrace.engine.ports.store import DEFAULT_PROJECT, InboxRow, OutcomeUnknown, StoreUnavailable
from headrace.engine.ports.waits import APPROVAL, SIGNAL, NewSignal, Waiting
from headrace.testing.simulation.store import Database, SimulatedStore

LOOK_EVERY = 1.5
WORDS = ("ann", "bob", "cyd")


class People:
    """`nudge` tells whoever owns a part that something lies in its inbox."""

    def __init__(
        self, database: Database, store: SimulatedStore, random: Random, nudge: Callable[[int], None]
    ) -> None:
        self._database, self._store, self._random, self._nudge = database, store, random, nudge

    async def live(self) -> None:
        """Until their process ends."""
        while True:
            await asyncio.sleep(self._random.random() * LOOK_EVERY)
            with suppress(StoreUnavailable, OutcomeUnknown):
                await self._look()

    async def _look(self) -> None:
        random = self._random
        asked = await self._store.waits(DEFAULT_PROJECT, APPROVAL)
        sought = await self._store.waits(DEFAULT_PROJECT, SIGNAL)
        if asked and random.random() < 0.8:
            await self._decide(random.choice(asked))
        if sought and random.random() < 0.8:
            one = random.choice(sought).row
            key = one.key if random.random() < 0.9 else "k"
            await self._send(one.name, key)

    async def _decide(self, asked: Waiting) -> None:
        row, random = asked.row, self._random
        task = written(row.name, pack(tuple(msgspec.json.decode(row.body)["index"])))
        said = {"by": random.choice(WORDS), "task": task, "approved": random.random() < 0.85}
        body = msgspec.json.encode(said)
        await self._store.post(InboxRow(0, row.part, row.run, "approval", body, self._database.now()))
        self._nudge(row.part)

    async def _send(self, name: str, key: str | None) -> None:
        payload = self._random.choice((b"1", b"1", b"2", b"null"))
        sent = await self._store.send_signal(NewSignal(DEFAULT_PROJECT, name, key, payload, "ann"))
        for part in sent.parts:
            self._nudge(part)
