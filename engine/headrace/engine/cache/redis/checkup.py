"""What a Redis or Valkey server is like when it is looked at once, for `headrace doctor`. Nothing is changed but a probe that
lasts a second."""

from __future__ import annotations

import time

from headrace.engine.cache.redis.link import Link, Unreachable
from headrace.engine.ports.cache import Degraded
from headrace.engine.ports.checkup import CacheFacts

CALL_SECONDS = 2.0


async def redis(url: str, prefix: str) -> CacheFacts | Degraded:
    """The server, or why it cannot be used. Raises CacheMisconfigured."""
    link = Link(url, probe_key=f"{prefix}probe", call_seconds=CALL_SECONDS)
    try:
        if (degraded := await link.probe()) is not None:
            return degraded
        server = _fields(await link.call("INFO", "server"))
        memory = _fields(await link.call("INFO", "memory"))
    except Unreachable as error:
        return link.degraded or Degraded(str(error), time.time())
    finally:
        await link.close()
    name = "Valkey" if "valkey_version" in server else "Redis"
    version = server.get("valkey_version") or server.get("redis_version", "")
    return CacheFacts(
        f"{name} {version}".strip(),
        int(memory.get("used_memory", 0)),
        int(memory.get("maxmemory", 0)),
        memory.get("maxmemory_policy"),
    )


def _fields(info: object) -> dict[str, str]:
    """What an answer to INFO holds, which the driver has taken apart already."""
    return {str(name): str(value) for name, value in info.items()} if isinstance(info, dict) else {}
