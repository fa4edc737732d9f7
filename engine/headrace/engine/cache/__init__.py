"""The cache's adapters: in process, and Redis (or Valkey). `open_cache` is the way in; redis is imported only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.engine.ports.cache import Cache, Degraded

__all__ = ["open_cache"]

PREFIX = "headrace:"
CALL_SECONDS = 0.25
"""How long a call to Redis may take: who asks can always look at the store instead."""


def open_cache(
    url: str | None,
    *,
    prefix: str = PREFIX,
    told: Callable[[Degraded | None], None] | None = None,
    call_seconds: float = CALL_SECONDS,
) -> Cache:
    """The cache at `redis://…`, `rediss://…` or `unix://…`; None: one in this process. Connects when it is first used.

    `prefix` keeps apart what shares a server. `told` hears whenever it becomes degraded, and None when it no longer is.
    What is not answered within `call_seconds` is missed. Raises CacheMisconfigured.
    """
    if url is None:
        from headrace.engine.cache.memory import MemoryCache

        return MemoryCache()
    from headrace.engine.cache.redis.cache import RedisCache

    return RedisCache(url, prefix=prefix, told=told, call_seconds=call_seconds)
