"""Mocked tasks: a broker side that answers for them, so that neither the engine nor the worker knows of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from headrace.engine.core.keys import written
from headrace.engine.ports.broker import Told, WorkerSide
from headrace.engine.ports.messages import (
    Beat,
    Dispatch,
    Dispatches,
    ErrorInfo,
    Report,
    Reports,
    ToEngine,
)

Mock: TypeAlias = Any
"""What a mocked task gives: a value; a function called with the task's inputs as keywords; or `Raises`."""


@dataclass(frozen=True)
class Raises:
    """The task fails with this exception; `times`: only its first so many attempts, then it gives `then`."""

    exception: Exception
    times: int | None = None
    then: Any = None


class MockedSide:
    """Between broker and worker: answers dispatches of mocked tasks itself and passes the rest on."""

    def __init__(self, side: WorkerSide, mocks: Mapping[str, Mock]) -> None:
        self._side = side
        self._mocks = mocks
        self._worker, self._incarnation = "", ""

    async def start(self) -> None:
        await self._side.start()

    async def stop(self) -> None:
        await self._side.stop()

    def wake(self) -> None:
        self._side.wake()

    async def beat(self, beat: Beat) -> None:
        self._worker, self._incarnation = beat.worker, beat.incarnation
        await self._side.beat(beat)

    async def report(self, part: int, message: ToEngine) -> None:
        await self._side.report(part, message)

    def report_at_once(self, part: int, message: ToEngine) -> bool:
        return self._side.report_at_once(part, message)

    def hand_over(self, take: Callable[[Sequence[Told]], None]) -> bool:
        """Never: a mock's answer is waited for."""
        return False

    @property
    def inbox(self) -> int:
        return self._side.inbox

    async def receive(self, timeout: float | None) -> list[Told]:
        passed: list[Told] = []
        for told in await self._side.receive(timeout):
            message = told.message
            if not isinstance(message, Dispatches):
                passed.append(told)
                continue
            mine = [item for item in message.items if self._mock_of(item) is not None]
            if mine:
                reports = [self._answer(item) for item in mine]
                await self._side.report(message.part, Reports(self._worker, self._incarnation, reports))
            rest = [item for item in message.items if self._mock_of(item) is None]
            if rest:
                passed.append(Told(told.queue, msgspec.structs.replace(message, items=rest)))
        return passed

    def _mock_of(self, item: Dispatch) -> tuple[Mock] | None:
        """The mock of one item (`price[7]`), else of the task."""
        for name in (written(item.job.task_id, item.map), item.job.task_id):
            if name in self._mocks:
                return (self._mocks[name],)
        return None

    def _answer(self, item: Dispatch) -> Report:
        found = self._mock_of(item)
        assert found is not None
        now = time.time()
        try:
            output = _value(found[0], item)
        except Exception as error:
            kinds = [each.__name__ for each in type(error).__mro__ if each not in (object, BaseException)]
            told = ErrorInfo(type(error).__name__, str(error), kinds)
            return _report(item, "failed", now, error=told)
        return _report(item, "succeeded", now, output=msgspec.json.encode(output))


def _value(mock: Mock, item: Dispatch) -> Any:
    if isinstance(mock, Raises):
        if mock.times is None or item.attempt <= mock.times:
            raise mock.exception
        return mock.then
    if callable(mock):
        return mock(**item.inputs.get("with", {}))
    return mock


def _report(item: Dispatch, kind: str, at: float, **more: Any) -> Report:
    return Report(
        run=item.run,
        generation=item.generation,
        task=item.task,
        map=item.map,
        attempt=item.attempt,
        epoch=item.epoch,
        n=item.n,
        kind=kind,
        started_at=at,
        finished_at=at,
        **more,
    )
