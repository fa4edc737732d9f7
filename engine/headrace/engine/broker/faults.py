"""What an in-process broker does wrong on purpose, for tests: duplicates, lost acknowledgements, delays, shuffled parts."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Faults:
    """What the broker does wrong, drawn from `seed`; shares are in 0..1. Order per partition always holds.

    `duplicate`: a message arrives twice, side by side. `lose_ack`: its acknowledgement is lost, so it is sent again
    later, behind others. `delay`: it and all behind it in its partition wait for up to `max_delay` seconds, which also
    reorders partitions against each other. `shuffle`: a receive takes only some of what is there, parts in any order.
    """

    seed: int = 0
    duplicate: float = 0.0
    lose_ack: float = 0.0
    delay: float = 0.0
    max_delay: float = 0.01
    shuffle: bool = False


class Links(Protocol):
    """What lies between those who send and the logs. Order per partition holds; whatever else it does is its affair."""

    def send(self, partition: Any, append: Callable[[], None]) -> asyncio.Future[None]:
        """Call `append` in the partition's turn. Done when that is acknowledged to the sender, on whose loop this is called."""

    async def drained(self) -> None:
        """Return when all that this process has sent is acknowledged."""


class FaultyLinks:
    """Carries messages with drawn faults, keeping the order of each partition. Used on one event loop."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._random = random.Random(faults.seed)
        self._held: dict[Any, deque[tuple[Callable[[], None], asyncio.Future[None]]]] = {}
        self._open: set[asyncio.Future[None]] = set()

    def send(self, partition: Any, append: Callable[[], None]) -> asyncio.Future[None]:
        acknowledged = asyncio.get_running_loop().create_future()
        self._open.add(acknowledged)
        acknowledged.add_done_callback(self._open.discard)
        waiting = self._held.get(partition)
        if waiting is not None:
            waiting.append((append, acknowledged))
        elif self._random.random() < self._faults.delay:
            self._held[partition] = deque([(append, acknowledged)])
            self._later(lambda: self._let_go(partition))
        else:
            self._deliver(append, acknowledged)
        return acknowledged

    async def drained(self) -> None:
        while self._open:
            await asyncio.wait(set(self._open))

    def _later(self, what: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(self._random.random() * self._faults.max_delay, what)

    def _let_go(self, partition: Any) -> None:
        for append, acknowledged in self._held.pop(partition):
            self._deliver(append, acknowledged)

    def _deliver(self, append: Callable[[], None], acknowledged: asyncio.Future[None]) -> None:
        append()
        if self._random.random() < self._faults.duplicate:
            append()
        if self._random.random() < self._faults.lose_ack:

            def again() -> None:
                append()
                self._acknowledge(acknowledged)

            self._later(again)
        else:
            self._acknowledge(acknowledged)

    @staticmethod
    def _acknowledge(acknowledged: asyncio.Future[None]) -> None:
        if not acknowledged.done():
            acknowledged.set_result(None)
