"""A TCP proxy that treats connections badly: drops them, refuses them, holds them in silence, makes them slow.

It turns on a thread of its own, so that tests of any kind can use it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")
HOST = "127.0.0.1"
_CHUNK = 65_536


class Proxy:
    """Listens on `port` of this machine, and hands everything on to `target` there. To be closed by its maker.

    `target` may be set when its port is known; until then everybody is refused.
    """

    def __init__(self, target: int | None = None) -> None:
        self.target = target
        self.port = 0
        self._refuses = False
        self._delay = 0.0
        self._pairs: dict[int, tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self._numbers = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._do(self._open())

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._pairs)

    def drop(self, share: float = 1.0, random: Random | None = None) -> int:
        """Reset that share of the open connections, drawn; answers with how many. New ones are welcome."""
        return self._do(self._drop(share, random or Random(0)))

    def refuse(self) -> None:
        """Reset every connection, and each new one at once, until `heal`."""
        self._refuses = True
        self.drop()

    def hold(self) -> None:
        """Connections stay and are accepted, and not one byte passes until `heal`."""
        self._do(self._hold(True))

    def slow(self, seconds: float) -> None:
        """Each piece of what passes waits so long, both ways, until `heal`."""
        self._delay = seconds

    def heal(self) -> None:
        """Hand everything on again. What was held comes now."""
        self._refuses, self._delay = False, 0.0
        self._do(self._hold(False))

    def close(self) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    async def _open(self) -> None:
        self._flows = asyncio.Event()
        self._flows.set()
        self._server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        self._flows.set()
        await self._drop(1.0, Random(0))
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _hold(self, held: bool) -> None:
        self._flows.clear() if held else self._flows.set()

    async def _drop(self, share: float, random: Random) -> int:
        chosen = [number for number in sorted(self._pairs) if random.random() < share]
        for number in chosen:
            for side in self._pairs.pop(number):
                side.transport.abort()
        return len(chosen)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._flows.wait()
            if self._refuses or self.target is None:
                raise ConnectionRefusedError
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        self._numbers += 1
        number = self._numbers
        self._pairs[number] = writer, far_writer
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass(reader, far_writer))
                ways.create_task(self._pass(far_reader, writer))
        except* OSError:
            pass
        finally:
            self._pairs.pop(number, None)
            for side in (writer, far_writer):
                side.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if self._delay:
                await asyncio.sleep(self._delay)
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()
