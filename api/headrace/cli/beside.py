"""What an engine does beside the hot path: it answers job-requests, keeps job-logs, and tells job-dlq of what failed."""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.cli.settings import Settings
    from headrace.engine.ports.store import Store
    from headrace.engine.shell.children import CheckParams
    from headrace.engine.shell.clock import Clock
    from headrace.engine.shell.plans import Plans

AGAIN_AFTER = 5.0
"""Seconds after which it begins again when something of it has failed: the engine goes on without it."""

_logger = logging.getLogger(__name__)


async def serve(
    settings: Settings,
    name: str,
    store: Store,
    plans: Plans,
    check: CheckParams,
    nudge: Callable[[int], None],
    clock: Clock,
) -> None:
    """Until cancelled. `name`: the engine's."""
    # FastStream takes most of a second to import: not on the loop that decides
    await asyncio.to_thread(importlib.import_module, "headrace.engine.broker.streams.serving")
    from headrace.engine.broker.streams.serving import EngineStreams
    from headrace.engine.ports.team import TeamStore
    from headrace.engine.shell.intake import Intake

    assert isinstance(store, TeamStore)
    intake = Intake(store, plans, check, nudge, clock, project=settings.project)
    while True:
        try:
            await EngineStreams(settings.kafka_settings, name, intake.take, store, clock.now).run()
        except Exception:
            _logger.exception("requests, logs and dead letters wait; it begins again in %g s", AGAIN_AFTER)
        await asyncio.sleep(AGAIN_AFTER)
