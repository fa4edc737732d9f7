"""job-events as an engine tells it, where that was asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from headrace.cli.settings import Settings
    from headrace.engine.ports.store import Store
    from headrace.engine.shell.engine import Engine


async def announce(made: Engine, settings: Settings, store: Store, closing: AsyncExitStack) -> None:
    """Have job-events told of what the engine commits, from now on. Raises BrokerUnavailable."""
    from headrace.engine.broker.streams.events import KafkaOutlet
    from headrace.engine.ports.team import TeamStore
    from headrace.engine.shell.announcing import Announcer

    assert isinstance(store, TeamStore)
    outlet = KafkaOutlet(settings.kafka_settings, made.id)
    closing.push_async_callback(outlet.stop)
    await outlet.start()
    announcer = Announcer(outlet, store, made.plans, made)
    made.show(announcer)
    running = asyncio.create_task(announcer.run(), name="headrace-announcing")

    async def end() -> None:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    closing.push_async_callback(end)
