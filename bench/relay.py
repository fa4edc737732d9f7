"""A relay in front of PostgreSQL that counts: each time a client speaks after the server did is a round trip."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

PIECE = 1 << 18


class Relay:
    """`async with Relay(url) as relay`: `relay.url` leads to the same database."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._server: asyncio.Server | None = None
        self.trips = 0
        self.url = ""

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user = f"{self._to.username}@" if self._to.username else ""
        self.url = self._to._replace(netloc=f"{user}127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(self, *raised: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(self._to.hostname, self._to.port or 5432)
        answered = True  # the server spoke last

        async def ask() -> None:
            nonlocal answered
            while piece := await client.read(PIECE):
                self.trips += answered
                answered = False
                to_server.write(piece)
                await to_server.drain()

        async def answer() -> None:
            nonlocal answered
            while piece := await server.read(PIECE):
                answered = True
                to_client.write(piece)
                await to_client.drain()

        directions = [asyncio.create_task(ask()), asyncio.create_task(answer())]
        with suppress(OSError):
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)
        to_client.close()
        to_server.close()
