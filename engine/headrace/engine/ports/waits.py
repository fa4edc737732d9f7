"""Waits that others end: what people are asked, which signals are waited for, and the signals themselves.

A wait is written in the batch that begins it and leaves in the batch that ends it. A signal is sent in two steps, so that it
and a wait that begins at the same time cannot miss each other: first it is stored, then whoever is found waiting is told
through the inbox. Whoever begins to wait looks, after its batch has been committed, at what was stored before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from headrace.engine.ports.acts import Act

APPROVAL, SIGNAL = "approval", "signal"
SIGNAL_KEPT_SECONDS = 7 * 86_400.0
"""How long a signal can still be found by a wait with a look-back."""
LARGEST_PAYLOAD = 32 * 1024
"""Bytes of a signal's payload as JSON, at most: it travels through the inbox."""


class WaitKey(NamedTuple):
    """All that one task run waits for."""

    run: int
    generation: int
    task: int
    map: int


class WaitRow(NamedTuple):
    """One thing that a task run waits for. `place` counts the signals of one task from 0."""

    run: int
    generation: int
    task: int
    map: int
    place: int
    part: int
    project: str
    kind: str  # approval | signal
    name: str  # of the signal; of the task that asks
    key: str | None  # of the signal: None takes any
    after: float  # what was sent before is too old
    since: float
    expires_at: float | None
    body: bytes  # JSON object: of an approval, what is asked and who has agreed


class Waiting(NamedTuple):
    """A wait as people see it. `no`: its number, by which it is named."""

    no: int
    row: WaitRow
    run_id: str
    workflow: str
    trigger: bytes  # of the run, JSON


class NewSignal(NamedTuple):
    project: str
    name: str
    key: str | None
    payload: bytes  # JSON
    by: str


class SignalRow(NamedTuple):
    """A signal as stored. `at`: when it was sent, by the database's clock where it has one."""

    id: int
    project: str
    name: str
    key: str | None
    payload: bytes
    by: str
    at: float


class Sent(NamedTuple):
    """A signal that was stored. `parts`: of those who were told in the same transaction."""

    id: int
    parts: tuple[int, ...]


class Waits(Protocol):
    """Part of the store."""

    async def waits(
        self, project: str, kind: str, *, after: int = 0, run: int | None = None, limit: int = 50
    ) -> list[Waiting]:
        """Those of the project, or of one run of it, in the order in which they began: with numbers above `after`."""

    async def wait(self, project: str, no: int) -> Waiting | None: ...

    async def send_signal(self, signal: NewSignal, *, act: Act | None = None) -> Sent:
        """Store it, to be delivered afterwards; where there is one writer alone that is done at once. Raises OutcomeUnknown, and
        Repeated as every change with an act does."""

    async def deliver(self, signal: int) -> list[int]:
        """Tell every wait that it is for, through the inboxes of their parts, which are answered. Doing it again does no harm: a
        signal that has come already changes nothing."""

    async def undelivered(self, before: float, limit: int) -> list[int]:
        """Signals sent before `before` whose sender did not come to deliver them."""

    async def signals(
        self, project: str, names: Sequence[str], since: float, *, after: int = 0, limit: int = 1000
    ) -> list[SignalRow]:
        """Those of these names sent at `since` or later, with ids above `after`, in the order of their ids."""
