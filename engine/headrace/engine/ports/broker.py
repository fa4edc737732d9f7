"""The broker: carries messages with Kafka's promises (order per partition, at least once), in process or over Kafka."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from headrace.engine.ports.messages import Beat, Lines, ToEngine, ToWorker


class BrokerUnavailable(Exception):
    """The broker cannot be used: what, why and what to do, in one message (exit status 3)."""


class NameLost(Exception):
    """Another process has started under this worker's name: the name, and all that comes for it, are the other's now."""


class Undecodable(NamedTuple):
    """A message that nobody can read: it ends as a dead letter, its offset moves on, its neighbours are not lost."""

    topic: str
    partition: int
    offset: int
    reason: str
    body: bytes  # at most 64 KiB of it
    item: int = -1  # which item of its envelope, from 0; -1: the whole message


class Arrived(NamedTuple):
    """One message of job-status with its offset. Items of an envelope that cannot be read come as `Undecodable` of their
    own, with the envelope's offset, before it."""

    part: int
    offset: int
    message: ToEngine | Undecodable


class Told(NamedTuple):
    """One message to a worker, and the queue whose topic brought it: the barrier is per topic."""

    queue: str
    message: ToWorker


class Refused(NamedTuple):
    """A message that the broker will never take (too large, not allowed): sending it again is no use."""

    queue: str
    inbox: int
    message: ToWorker
    why: str


class Gap(NamedTuple):
    """The log of a part does not reach to the wanted offset (cut, expired, made anew): reading went on at `found`."""

    part: int
    wanted: int
    found: int


class EngineSide(Protocol):
    """What an engine does with the broker. All methods are called on the engine's event loop."""

    async def start(self) -> None:
        """Raises BrokerUnavailable."""

    async def stop(self) -> None: ...

    def seek(self, part: int, offset: int) -> None:
        """Read job-status of this part from this offset on."""

    def leave(self, part: int) -> None:
        """Read this part no longer; what has arrived of it is dropped."""

    async def receive(self, timeout: float | None) -> list[Arrived]:
        """What has arrived, at once; waits at most `timeout` seconds for the first. Offsets ascend within a part.
        Bounded: what is not received stays with the broker."""

    def wake(self) -> None:
        """Make a waiting `receive` return. Safe from any thread."""

    def caught_up(self, part: int) -> bool:
        """Whether job-status of the part was read to its end a moment ago: only then may silence end a lease."""

    def workers_caught_up(self) -> bool:
        """The same for job-workers: only then may missing beats count."""

    def gaps(self) -> Sequence[Gap]:
        """Gaps that were met since the last call."""

    def send(self, queue: str, inbox: int, message: ToWorker) -> None:
        """Publish; tracked until acknowledged, repeated when it is not. Order per (queue, inbox) is kept."""

    async def flush(self) -> None:
        """Wait until everything sent is acknowledged."""

    def refused(self) -> Sequence[Refused]:
        """What was refused since the last call."""

    @property
    def unacknowledged(self) -> int:
        """Attempts sent and not acknowledged; above a limit the engine gathers no more."""

    def heard(self) -> Sequence[Beat | Lines]:
        """What workers and other engines said on job-workers since the last call, oldest first."""

    def nudge(self, part: int) -> None:
        """Tell whoever owns the part to look at its inbox now. Best effort: it looks each second anyway."""

    def announce(self, lines: Lines) -> None:
        """Tell the other engines for which queues this one has work."""


class WorkerSide(Protocol):
    """What a worker does with the broker."""

    async def start(self) -> None:
        """Listen at the end of the inboxes; when this returns, whatever is sent will be received (W1).
        Raises BrokerUnavailable."""

    async def stop(self) -> None: ...

    @property
    def inbox(self) -> int:
        """The inbox partition it listens on, of every queue; known after `start`."""

    async def receive(self, timeout: float | None) -> list[Told]:
        """What has come since the last call; waits at most `timeout` seconds for the first. Raises NameLost, from then on."""

    def hand_over(self, take: Callable[[Sequence[Told]], None]) -> bool:
        """Have whatever comes from now on, and what has come already, handed to `take` at once, on this event loop, in place of
        `receive`. `take` must not raise. False: nothing was done, and `receive` is the way."""

    def wake(self) -> None: ...

    async def report(self, part: int, message: ToEngine) -> None:
        """Publish to the run's part; returns when acknowledged."""

    def report_at_once(self, part: int, message: ToEngine) -> bool:
        """The same where there is nothing to wait for. False: nothing was done, and `report` is the way."""

    async def beat(self, beat: Beat) -> None: ...
