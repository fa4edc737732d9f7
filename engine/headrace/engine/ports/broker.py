"""The broker: carries messages with Kafka's promises (order per partition, at least once), in process or over Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from headrace.engine.ports.messages import Beat, ToEngine, ToWorker


class Arrived(NamedTuple):
    """One message of job-status with its offset."""

    part: int
    offset: int
    message: ToEngine


class EngineSide(Protocol):
    """What an engine does with the broker. All methods are called on the engine's event loop."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def seek(self, part: int, offset: int) -> None:
        """Read job-status of this part from this offset on."""

    async def receive(self, timeout: float | None) -> list[Arrived]:
        """What has arrived, at once; waits at most `timeout` seconds for the first. Offsets ascend within a part."""

    def wake(self) -> None:
        """Make a waiting `receive` return. Safe from any thread."""

    def send(self, queue: str, inbox: int, message: ToWorker) -> None:
        """Publish; tracked until acknowledged, repeated when it is not. Order per (queue, inbox) is kept."""

    async def flush(self) -> None:
        """Wait until everything sent is acknowledged."""

    def beats(self) -> Sequence[Beat]:
        """Beats that arrived since the last call, oldest first."""


class WorkerSide(Protocol):
    """What a worker does with the broker."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def receive(self, timeout: float | None) -> list[ToWorker]: ...

    def wake(self) -> None: ...

    async def report(self, part: int, message: ToEngine) -> None:
        """Publish to the run's part; returns when acknowledged."""

    async def beat(self, beat: Beat) -> None: ...
