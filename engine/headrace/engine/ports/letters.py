"""Dead letters on their way to job-dlq, and messages that nobody could read: a table first, then the topic, at least once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from headrace.engine.ports.store import DeadLetter, PoisonLetter, PoisonRow


class OutgoingLetter(NamedTuple):
    """A dead letter and what its task run was given (JSON; None: nothing is kept)."""

    letter: DeadLetter
    inputs: bytes | None


class Outgoing(NamedTuple):
    """What job-dlq has not been told."""

    letters: list[OutgoingLetter]
    poison: list[PoisonLetter]


@runtime_checkable
class LetterBox(Protocol):
    """Whoever takes letters has them alone until `until`; what was not said to be published by then is taken again, so that
    an engine that dies in between costs a repetition and never a letter."""

    async def park(self, poison: Sequence[PoisonRow]) -> None:
        """Keep messages that nobody could read; one that is kept already is left as it is. Raises StoreUnavailable."""

    async def take_unpublished(self, limit: int, at: float, until: float) -> Outgoing:
        """At most `limit` of each that are due at `at`, oldest first. Raises StoreUnavailable."""

    async def published(self, letters: Sequence[int], poison: Sequence[int]) -> None:
        """By id: the topic has them. Raises StoreUnavailable."""
