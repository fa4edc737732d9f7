"""The three pipes between a worker and the process of a task, as the worker's loop reads and writes them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

MOST = 256 * 1024
"""Bytes read or written at once."""


class Conversation:
    """Made before the process, whose ends are `theirs` (standard input, output, error) until `begin`.

    The end of a process and the end of its pipes are two things: a descendant may hold these for long.

    Args:
        feed: what it reads on standard input; None: nothing.
        heard: called with "stdout" or "stderr" and what was written.

    Raises:
        OSError: this process may open no more.
    """

    def __init__(self, feed: bytes | None, heard: Callable[[str, bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._heard = heard
        self._feed = memoryview(feed or b"")
        self._mouth: int | None = None
        self._ears: dict[int, str] = {}
        self._silent: asyncio.Future[None] = self._loop.create_future()
        self.theirs: list[int] = []
        try:
            if feed is None:
                self.theirs.append(os.open(os.devnull, os.O_RDONLY))
            else:
                theirs, self._mouth = os.pipe()
                self.theirs.append(theirs)
            for stream in ("stdout", "stderr"):
                ear, theirs = os.pipe()
                self._ears[ear] = stream
                self.theirs.append(theirs)
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        """The process has its ends: speak, and listen."""
        self._let_go()
        for ear in self._ears:
            os.set_blocking(ear, False)
            self._loop.add_reader(ear, self._hear, ear)
        if self._mouth is not None:
            os.set_blocking(self._mouth, False)
            self._loop.add_writer(self._mouth, self._say)

    async def silence(self, within: float) -> None:
        """Until both its output pipes have ended, for at most that many seconds."""
        if not self._silent.done():
            await asyncio.wait([self._silent], timeout=within)

    def close(self) -> None:
        """Whoever still holds a pipe writes into nothing."""
        self._let_go()
        self._fall_silent()
        for ear in tuple(self._ears):
            self._end(ear)

    def _let_go(self) -> None:
        while self.theirs:
            os.close(self.theirs.pop())

    def _hear(self, ear: int) -> None:
        try:
            data = os.read(ear, MOST)
        except BlockingIOError:
            return
        if data:
            self._heard(self._ears[ear], data)
        else:
            self._end(ear)

    def _end(self, ear: int) -> None:
        self._loop.remove_reader(ear)
        del self._ears[ear]
        os.close(ear)
        if not self._ears and not self._silent.done():
            self._silent.set_result(None)

    def _say(self) -> None:
        assert self._mouth is not None
        try:
            self._feed = self._feed[os.write(self._mouth, self._feed[:MOST]) :]
        except BlockingIOError:
            return
        except OSError:  # it does not listen
            self._feed = self._feed[:0]
        if not self._feed:
            self._fall_silent()

    def _fall_silent(self) -> None:
        if self._mouth is not None:
            self._loop.remove_writer(self._mouth)
            os.close(self._mouth)
            self._mouth = None
