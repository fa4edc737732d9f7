"""The circuit in front of Redis, without a server."""

from __future__ import annotations

import asyncio

from headrace.engine.cache.redis.link import Link


async def test_one_probe_at_a_time_however_often_the_server_comes_and_goes() -> None:
    """Each that were forgotten would go on for ever, beyond `close`."""
    link = Link("redis://127.0.0.1:1/0", probe_key="p", call_seconds=0.05, probe_seconds=0.01)
    before = asyncio.all_tasks()
    for _ in range(5):
        link.fail("gone")
        await asyncio.sleep(0)
        link._mend()  # as a call of `probe` from elsewhere does
    link.fail("gone")
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks() - before) == 1
    await link.close()
    assert asyncio.all_tasks() == before
