"""The cluster's cache as an engine uses it, and the words for one that cannot be used."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from headrace.cli.output import printable
from headrace.cli.references import short

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from headrace.api.shapes.runs import DegradedCache
    from headrace.cli.settings import Settings
    from headrace.engine.ports.cache import Degraded
    from headrace.engine.shell.engine import Engine

_logger = logging.getLogger(__name__)


async def attach(made: Engine, settings: Settings, closing: AsyncExitStack) -> None:
    """Have Redis told of what the engine commits, where one is named. That it cannot be used never stops an engine.

    Raises CacheMisconfigured.
    """
    if settings.redis_url is None:
        return
    from headrace.engine.cache import open_cache
    from headrace.engine.shell.telling import Teller

    cache = open_cache(settings.redis_url, prefix=settings.redis_prefix, told=_log)
    closing.push_async_callback(cache.close)
    teller = Teller(cache)
    closing.push_async_callback(teller.close)
    made.attach(teller)
    await cache.probe()


def _log(degraded: Degraded | None) -> None:
    if degraded is None:
        _logger.info("Redis answers again")
    else:
        _logger.warning(
            "Redis cannot be used: %s. Runs go on; whoever asks how they stand is answered by the database.",
            degraded.why,
        )


def aside(run: str, why: str) -> str:
    """One line for people about a run with which no engine goes on."""
    return f"run {short(run)} is set aside, until another engine tries it: {printable(why)}"


def told(degraded: DegradedCache) -> str:
    """One line for people."""
    return f"Redis cannot be used since {degraded.since}: {degraded.why}. This is the database's answer."
