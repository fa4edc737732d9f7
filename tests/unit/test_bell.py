"""A wait for messages ends by a ring or by its time, on the loop of the standard library and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from headrace.engine.broker.bell import Bell

Run = Callable[[Coroutine[Any, Any, None]], None]
LONG = 30.0


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop

    def go(work: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(work, LONG))

    return go


def test_a_moment_that_is_past_ends_the_wait(run: Run) -> None:
    async def waits() -> None:
        bell = Bell()
        for _ in range(3):
            await bell.wait(-1.0)
            await bell.wait(0.0)

    run(waits())


def test_a_later_time_is_waited_for_though_an_earlier_timer_stands(run: Run) -> None:
    async def waits() -> None:
        bell, loop = Bell(), asyncio.get_running_loop()
        early = asyncio.create_task(bell.wait(0.01))
        await asyncio.sleep(0)
        bell.ring()
        await early
        bell.clear()
        began = loop.time()
        await bell.wait(0.1)
        assert loop.time() - began >= 0.09

    run(waits())


def test_an_earlier_time_is_not_missed_for_a_later_timer(run: Run) -> None:
    async def waits() -> None:
        bell = Bell()
        late = asyncio.create_task(bell.wait(10 * LONG))
        await asyncio.sleep(0)
        bell.ring()
        await late
        bell.clear()
        await bell.wait(0.01)

    run(waits())


def test_a_ring_before_the_wait_is_not_lost(run: Run) -> None:
    async def waits() -> None:
        bell = Bell()
        bell.ring()
        await bell.wait(None)

    run(waits())
