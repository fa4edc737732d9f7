"""Tells job-dlq what failed for good: from the table, after the commit, and again until the topic has it (at least once)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from headrace.engine.broker.streams.messages import encode_letter, encode_unreadable
from headrace.engine.ports.broker import BrokerUnavailable
from headrace.engine.ports.letters import LetterBox, Outgoing
from headrace.engine.ports.store import OutcomeUnknown, StoreUnavailable

LOOK_EVERY = 2.0
"""Seconds between looks at the table; `look` does not wait for the next."""

HELD = 20.0
"""Seconds for which one engine has the letters that it took. Whatever it has not published by then another takes."""

AT_ONCE = 100

_logger = logging.getLogger(__name__)


class DeadLetters:
    """Publishes for one engine; any number of engines share the table without repeating each other.

    Args:
        box: where the letters are kept.
        publish: (body, key) to job-dlq; returns when the topic has it. Raises BrokerUnavailable.
        now: seconds since the epoch.
    """

    def __init__(
        self, box: LetterBox, publish: Callable[[bytes, bytes], Awaitable[None]], now: Callable[[], float]
    ) -> None:
        self._box = box
        self._publish = publish
        self._now = now
        self._wanted = asyncio.Event()

    def look(self) -> None:
        """There may be a new letter."""
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                while await self.sweep():
                    pass
            except (StoreUnavailable, OutcomeUnknown) as problem:
                _logger.info("dead letters wait for the store: %s", problem)
            except BrokerUnavailable as problem:
                _logger.warning("dead letters wait for Kafka: %s", problem)
            except Exception:  # a fault of ours: later letters may have none
                _logger.exception("dead letters could not be published; they are tried again")
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._wanted.wait()
            except TimeoutError:
                continue
            self._wanted.clear()

    async def sweep(self) -> bool:
        """Publish what is due. Whether there may be more. Raises BrokerUnavailable when the topic has not taken all of it,
        StoreUnavailable."""
        at = self._now()
        outgoing = await self._box.take_unpublished(AT_ONCE, at, at + HELD)
        letters, poison = await self._sent(outgoing)
        await self._box.published(letters, poison)
        if len(letters) < len(outgoing.letters) or len(poison) < len(outgoing.poison):
            raise BrokerUnavailable(
                f"job-dlq has not taken all letters; they are sent again within {HELD:.0f} s."
            )
        return AT_ONCE in (len(letters), len(poison))

    async def _sent(self, outgoing: Outgoing) -> tuple[list[int], list[int]]:
        """The ids of the letters, and of the messages that nobody could read, that the topic has."""
        letters = [
            self._one(one.letter.id, encode_letter(one), one.letter.run_id) for one in outgoing.letters
        ]
        poison = [self._one(one.id, encode_unreadable(one), one.topic) for one in outgoing.poison]
        done = await asyncio.gather(*letters, *poison)
        return [n for n in done[: len(letters)] if n is not None], [
            n for n in done[len(letters) :] if n is not None
        ]

    async def _one(self, id: int, body: bytes, key: str) -> int | None:
        try:
            await self._publish(body, key.encode())
        except BrokerUnavailable as problem:
            _logger.info("dead letter %d is not published: %s", id, problem)
            return None
        return id
