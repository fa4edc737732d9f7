"""Keeps the audit chained: lines are written without waiting for each other, and linked here, moments later. Any number of
processes may do so at once. No Litestar here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.engine.ports.acts import AuditStore
from headrace.engine.ports.store import OutcomeUnknown, StoreUnavailable

_logger = logging.getLogger(__name__)

LIMIT = 1000
"""Lines linked in one transaction."""
EVERY_SECONDS = 2.0
"""How long a line waits to be linked, at most, while the database answers."""


@asynccontextmanager
async def chaining(store: AuditStore, every: float = EVERY_SECONDS) -> AsyncIterator[None]:
    """For as long as it is open, and once more at the end."""
    task = asyncio.create_task(_keep(store, every), name="headrace-audit")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await _link(store)


async def _keep(store: AuditStore, every: float) -> None:
    while True:
        await _link(store)
        await asyncio.sleep(every)


async def _link(store: AuditStore) -> None:
    """All there are. Whatever goes wrong is tried again by whoever comes next: nothing else depends on it."""
    try:
        while await store.chain(LIMIT) == LIMIT:
            pass
    except (StoreUnavailable, OutcomeUnknown) as problem:
        _logger.warning("the audit was not chained: %s", problem)
    except Exception:
        _logger.exception("the audit was not chained")
