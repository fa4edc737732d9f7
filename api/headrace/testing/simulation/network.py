"""The way between senders and the broker's logs: order per sender and partition holds, what was acknowledged is never lost.

All the rest that Kafka and its producers may do happens here: messages are late, come twice, are sent again because the
acknowledgement was lost; of what a process had not handed over when it died, a part never arrives.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from headrace.testing.simulation.faults import Weather
from headrace.testing.simulation.timeline import ProcessLoop, Timeline

_Message = tuple[Callable[[], None], "asyncio.Future[None]"]


class Network:
    """Implements `headrace.engine.broker.faults.Links`."""

    def __init__(self, timeline: Timeline, weather: Weather, ground: ProcessLoop) -> None:
        self.weather = weather
        self.dark_until = 0.0
        """Nothing is delivered before this time."""
        self._timeline = timeline
        self._draw = timeline.random.random
        self._ground = ground  # what is on its way does not depend on any process
        self._held: dict[tuple[ProcessLoop, Any], deque[_Message]] = {}
        self._frozen: dict[tuple[ProcessLoop, Any], deque[_Message]] = {}  # not handed over by who is stopped
        self._open: dict[ProcessLoop, int] = {}
        self._drained: dict[ProcessLoop, list[asyncio.Future[None]]] = {}
        self._done: asyncio.Future[None] = ground.create_future()
        self._done.set_result(None)

    # what a broker asks -----------------------------------------------------------------------------------------

    def send(self, partition: Any, append: Callable[[], None]) -> asyncio.Future[None]:
        sender = asyncio.get_running_loop()
        assert isinstance(sender, ProcessLoop)
        way = sender, partition
        weather = self.weather
        held = self._held.get(way)
        dark = self.dark_until > self._timeline.now
        if held is None and not dark and (not weather.late or self._draw() >= weather.late):
            if not (weather.doubled or weather.repeated):
                append()
                return self._done
            acknowledged: asyncio.Future[None] = sender.create_future()
            self._opened(sender)
            self._deliver(sender, append, acknowledged)
            return acknowledged
        acknowledged = sender.create_future()
        self._opened(sender)
        if held is not None:
            held.append((append, acknowledged))
        else:
            self._held[way] = deque([(append, acknowledged)])
            self._ground.call_later(self._draw() * weather.lateness, self._arrive, way)
        return acknowledged

    async def drained(self) -> None:
        sender = asyncio.get_running_loop()
        assert isinstance(sender, ProcessLoop)
        if self._open.get(sender):
            waiter: asyncio.Future[None] = sender.create_future()
            self._drained.setdefault(sender, []).append(waiter)
            await waiter

    # what happens to senders ------------------------------------------------------------------------------------

    def died(self, sender: ProcessLoop) -> None:
        """What it had not handed over is gone: of each partition the end of what was on its way."""
        for way in [way for way in self._held if way[0] is sender]:
            self._cut(self._held[way])
        for way in [way for way in self._frozen if way[0] is sender]:
            del self._frozen[way]

    def stopped(self, sender: ProcessLoop) -> None:
        """What it had not handed over waits with it."""
        for way in [way for way in self._held if way[0] is sender]:
            self._frozen[way] = self._cut(self._held[way])

    def went_on(self, sender: ProcessLoop) -> None:
        for way in [way for way in self._frozen if way[0] is sender]:
            waiting = self._frozen.pop(way)
            if not waiting:
                continue
            held = self._held.get(way)
            if held is not None:
                held.extend(waiting)
            else:
                self._held[way] = waiting
                self._ground.call_later(self._draw() * self.weather.lateness, self._arrive, way)

    # on its way -------------------------------------------------------------------------------------------------

    def _cut(self, held: deque[_Message]) -> deque[_Message]:
        """Take the end away, from a place that is drawn."""
        kept = int(self._draw() * (len(held) + 1))
        end: deque[_Message] = deque()
        while len(held) > kept:
            end.appendleft(held.pop())
        return end

    def _arrive(self, way: tuple[ProcessLoop, Any]) -> None:
        if self.dark_until > self._timeline.now:
            self._ground.call_at(self.dark_until, self._arrive, way)
            return
        for append, acknowledged in self._held.pop(way):
            self._deliver(way[0], append, acknowledged)

    def _deliver(
        self, sender: ProcessLoop, append: Callable[[], None], acknowledged: asyncio.Future[None]
    ) -> None:
        weather = self.weather
        append()
        if weather.doubled and self._draw() < weather.doubled:
            for _ in range(weather.copies):
                append()
        if weather.repeated and self._draw() < weather.repeated:

            def again() -> None:
                append()
                self._acknowledge(sender, acknowledged)

            self._ground.call_later(self._draw() * weather.lateness, again)
        else:
            self._acknowledge(sender, acknowledged)

    def _opened(self, sender: ProcessLoop) -> None:
        self._open[sender] = self._open.get(sender, 0) + 1

    def _acknowledge(self, sender: ProcessLoop, acknowledged: asyncio.Future[None]) -> None:
        left = self._open[sender] = self._open[sender] - 1
        if not acknowledged.done():
            acknowledged.set_result(None)
        if not left:
            for waiter in self._drained.pop(sender, ()):
                if not waiter.done():
                    waiter.set_result(None)
