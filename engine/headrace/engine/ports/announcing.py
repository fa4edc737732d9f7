"""What others are told of runs on job-events: one CloudEvent for each move of a run and of a task run."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec


class Announced(msgspec.Struct, frozen=True):
    """What moved. `task`: as written, `price[7]`; null for the run itself. `seq`: the row of the run's history."""

    project: str
    run: str
    workflow: str
    version: int
    generation: int
    seq: int
    task: str | None
    before: str
    state: str
    reason: str | None
    attempt: int


class CloudEvent(msgspec.Struct, frozen=True):
    """One move of a run (`headrace.run.succeeded`) or of a task run (`headrace.task.failed`), in CloudEvents' structured mode. `id`
    is `run/seq/place`: the same move has the same id however often it is told, and later moves of a run have a higher (seq,
    place). `source` names the project, `subject` the run, or `run/task`."""

    id: str
    source: str
    type: str
    subject: str
    time: str
    data: Announced
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"


class Outlet(Protocol):
    """Where events go: one partition for each part, in the order given."""

    @property
    def held(self) -> int:
        """Bytes that are not yet acknowledged."""

    async def room(self, most: int) -> None:
        """Returns when no more than that is held."""

    def send(self, part: int, run: str, event: bytes) -> None:
        """Never blocks; sends again until it is acknowledged."""

    async def last(self, part: int) -> bytes | None:
        """The last event that the partition holds. Raises BrokerUnavailable."""
