"""A client of server-sent events that speaks to the application itself, and takes what it is sent when the test says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from litestar import Litestar

from tests.support.api import ROOT
from tests.support.waiting import PATIENCE


class Event(NamedTuple):
    """`id`: the last one that came, as a browser keeps it."""

    name: str
    id: str | None
    data: Any


class Listener:
    """One stream."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.comments: list[str] = []
        self.last_id: str | None = None
        self.over = False
        self.body = b""
        self.most = 0  # bytes in one piece
        self._taking = asyncio.Event()
        self._taking.set()
        self._gone = asyncio.Event()
        self._asked = False
        self._new = asyncio.Event()
        self._text = b""
        self._events: list[Event] = []

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self._taking.wait()
        if self._gone.is_set():
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message["body"]
            self.most = max(self.most, len(message["body"]))
            self._parse(message["body"])
            self.over = self.over or not message.get("more_body")
        self._new.set()

    def hold(self) -> None:
        """Take nothing more."""
        self._taking.clear()

    def take(self) -> None:
        self._taking.set()

    def leave(self) -> None:
        """The connection is gone; what was on its way is lost."""
        self._gone.set()
        self._taking.set()

    def ended(self) -> None:
        self.over = True
        self._new.set()

    async def next(self) -> Event | None:
        """The next event; None at the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            while not self._events:
                if self.over:
                    return None
                self._new.clear()
                await self._new.wait()
        event = self._events.pop(0)
        self.last_id = event.id if event.id is not None else self.last_id
        return event

    async def rest(self) -> list[Event]:
        """What comes until the stream ends."""
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found

    async def until(self, name: str) -> list[Event]:
        """What comes until an event of that name, with it."""
        found: list[Event] = []
        while not found or found[-1].name != name:
            event = await self.next()
            assert event is not None, f"no {name} in {found}"
            found.append(event)
        return found

    async def left(self) -> None:
        """Until the server has done with it, whatever was taken of it."""
        async with asyncio.timeout(PATIENCE):
            while not self.over:
                self._new.clear()
                await self._new.wait()

    async def pinged(self, times: int) -> None:
        """Until so many comments have come that nothing happens."""
        async with asyncio.timeout(PATIENCE):
            while self.comments.count(": ping") < times:
                assert not self.over, "the stream has ended"
                self._new.clear()
                await self._new.wait()

    def _parse(self, piece: bytes) -> None:
        self._text += piece
        *whole, self._text = self._text.split(b"\n\n")
        for part in whole:
            fields: dict[str, str] = {}
            for line in part.decode().split("\n"):
                name, _, value = line.partition(": ")
                if line.startswith(":"):
                    self.comments.append(line)
                else:
                    fields[name] = value
            if "data" in fields:
                self._events.append(
                    Event(fields.get("event", "message"), fields.get("id"), json.loads(fields["data"]))
                )


@asynccontextmanager
async def listening(
    app: Litestar, path: str, *, role: str = "admin", project: str = "default", id: str | None = None
) -> AsyncIterator[Listener]:
    """A stream from /api/v1 on, once it is answered; left at the end."""
    listener = Listener()
    said = {"x-role": role, "x-project": project, "host": "localhost"}
    if id is not None:
        said["last-event-id"] = id
    where, _, query = (ROOT + path).partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": where,
        "raw_path": where.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in said.items()],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }

    async def answered() -> None:
        await app(scope, listener.receive, listener.send)  # type: ignore[arg-type]
        listener.ended()

    task = asyncio.create_task(answered())
    try:
        async with asyncio.timeout(PATIENCE):
            while not listener.status and not task.done():
                listener._new.clear()
                await listener._new.wait()
        yield listener
    finally:
        listener.leave()
        async with asyncio.timeout(PATIENCE):
            await task
