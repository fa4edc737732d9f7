"""Dead letters and messages that nobody could read: kept until somebody handles them, and on their way to job-dlq.

A table first, then the topic, at least once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from headrace.engine.ports.acts import Act

if TYPE_CHECKING:
    from headrace.engine.ports.store import InboxRow


class DeadLetterRow(NamedTuple):
    """An attempt that failed for good, as a batch writes it. Identity: (run, generation, task, map, attempt)."""

    run: int
    generation: int
    task: int
    map: int
    attempt: int
    at: float
    error: bytes
    workflow: str = ""
    task_id: str = ""


class DeadLetter(NamedTuple):
    """A dead letter as kept. `fingerprint` is the same for letters of one workflow, task, kind of error and message, numbers
    and ids in it apart. `state`: open, requeued, discarded; `by` and `note` say who handled it and why."""

    id: int
    run: int
    run_id: str
    generation: int
    task: int
    map: int
    attempt: int
    at: float
    project: str
    workflow: str
    task_id: str
    error: bytes
    fingerprint: str
    state: str
    handled_at: float | None
    by: str | None
    note: str | None


class LetterGroup(NamedTuple):
    """Dead letters of one fingerprint: how many, and the newest of them."""

    fingerprint: str
    workflow: str
    task_id: str
    letters: int
    open: int
    first_at: float
    newest_at: float
    newest: int  # its id
    error: bytes  # of the newest


class Requeue(NamedTuple):
    """Letters of one run and the command that begins them again: posted when one of them is open."""

    letters: tuple[int, ...]
    command: InboxRow


class Requeued(NamedTuple):
    """What became of a Requeue: the letters that were open, and the id of the command in the inbox."""

    letters: tuple[int, ...]
    posted: InboxRow


class PoisonRow(NamedTuple):
    """A message that nobody could read. Identity: (topic, partition, offset, item); seen twice, kept once."""

    topic: str
    partition: int
    offset: int
    item: int  # within its envelope; -1: the whole message
    at: float
    reason: str
    body: bytes


class PoisonLetter(NamedTuple):
    """A message that nobody could read, as kept. `state`: open, discarded."""

    id: int
    topic: str
    partition: int
    offset: int
    item: int
    at: float
    reason: str
    body: bytes
    state: str
    handled_at: float | None
    by: str | None
    note: str | None


class DeadLetters(Protocol):
    """Listed, grouped and handled. Acts: as in `ports.store`; with one, dead letters of other projects than the act's are left as
    they are."""

    async def dead_letters(
        self,
        project: str,
        limit: int = 50,
        *,
        workflow: str | None = None,
        task: str | None = None,
        fingerprint: str | None = None,
        state: str | None = None,
        before: int | None = None,
    ) -> list[DeadLetter]:
        """Newest first; `before` is an id (keyset paging), `fingerprint` a beginning of one."""

    async def dead_letter_groups(
        self,
        project: str,
        limit: int = 50,
        *,
        workflow: str | None = None,
        task: str | None = None,
        state: str | None = None,
    ) -> list[LetterGroup]:
        """By fingerprint, the one with the newest letter first."""

    async def count_letters(self, project: str) -> int:
        """How many are open."""

    async def dead_letter(self, project: str, letter: int) -> DeadLetter | None: ...

    async def these_letters(self, project: str, ids: Sequence[int]) -> list[DeadLetter]:
        """Those of the ids that there are, oldest first."""

    async def requeue(
        self, wanted: Sequence[Requeue], by: str, at: float, *, act: Act | None = None
    ) -> list[Requeued]:
        """Open letters become requeued and their commands are posted, in one transaction. Returns those that had any open
        letter; whatever was not open any more is left as it is. Raises OutcomeUnknown."""

    async def discard(
        self, letters: Sequence[int], by: str, note: str, at: float, *, act: Act | None = None
    ) -> list[int]:
        """Open letters become discarded. Returns their ids."""

    async def reopen(self, letters: Sequence[int], at: float, *, act: Act | None = None) -> list[int]:
        """Handled letters become open again: a requeue that the engine refused. Returns their ids."""

    async def poison(
        self, limit: int = 50, *, state: str | None = None, before: int | None = None
    ) -> list[PoisonLetter]:
        """Messages that nobody could read, newest first; `before` is an id."""

    async def discard_poison(
        self, letters: Sequence[int], by: str, note: str, at: float, *, act: Act | None = None
    ) -> list[int]: ...


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
