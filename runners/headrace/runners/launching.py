"""This worker's end of its warden: processes are started behind a gate that opens when they are known (see warden.py)."""

from __future__ import annotations

import asyncio
import marshal
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Lock

from headrace.runners import warden
from headrace.runners.warden import ANSWER, ENDED, LENGTH, RECORD, START, Program

BURIED_WITHIN = 1.0
"""Seconds in which a warden that was dismissed must have ended."""


class Lost(Exception):
    """Nobody knows any more how the process ends: its warden was killed."""


def program(argv: Sequence[str], env: Mapping[str, str], folder: str) -> Program:
    """What a gate becomes. The file is looked for on the path of `env`. Raises ValueError for what no process can have."""
    arguments = [os.fsencode(argument) for argument in argv]
    variables = {os.fsencode(name): os.fsencode(text) for name, text in env.items()}
    place = os.fsencode(folder)
    if any(b"\0" in text for text in (*arguments, *variables, *variables.values(), place)):
        raise ValueError("embedded null byte")
    if any(b"=" in name or not name for name in variables):
        raise ValueError("illegal environment variable name")
    file = arguments[0]
    if os.path.dirname(file):
        files = [file]
    else:
        files = [os.path.join(os.fsencode(folder), file) for folder in os.get_exec_path(env)]
    return files, arguments, variables, place


class Gate:
    """A started process that does not know yet what it will be.

    Attributes:
        pid: its number; it leads a group and a session of that number.
        ended: its exit status (negative: killed by that signal); None: see Lost.
    """

    def __init__(self, pid: int, talk: socket.socket, ended: asyncio.Future[int | None]) -> None:
        self.pid = pid
        self.ended = ended
        self._talk = talk

    async def open(self, become: Program) -> None:
        """Have it execute the program, and return when it does. Raises OSError when it cannot."""
        loop = asyncio.get_running_loop()
        told = marshal.dumps(become)
        try:
            await loop.sock_sendall(self._talk, LENGTH.pack(len(told)) + told)
            answer = await loop.sock_recv(self._talk, ANSWER.size)
        except ConnectionError:  # it was killed meanwhile: its exit status tells
            return
        if answer:
            (number,) = ANSWER.unpack(answer)
            raise OSError(number, os.strerror(number))

    def close(self) -> None:
        """A gate that was not opened ends with this."""
        self._talk.close()


class Launcher:
    """Starts gates by a warden, which is started with the first one, and again when somebody killed it.

    Used on one event loop; `close` from anywhere.
    """

    def __init__(self) -> None:
        self._warden: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends: dict[int, asyncio.Future[int | None]] = {}
        self._unread = b""
        self._lock = Lock()
        self._closed = False

    async def launch(self, stdin: int, stdout: int, stderr: int) -> Gate:
        """A new process with these descriptors, waiting. Raises OSError when there can be none; Lost."""
        loop = asyncio.get_running_loop()
        talk, theirs = socket.socketpair()
        try:
            talk.setblocking(False)
            with theirs:
                await self._ask(RECORD.pack(START), [stdin, stdout, stderr, theirs.fileno()])
            answer = await loop.sock_recv(talk, ANSWER.size)
            if not answer:
                raise Lost("The process was killed before it was one.")
        except BaseException:
            talk.close()
            raise
        (number,) = ANSWER.unpack(answer)
        if number < 0:
            talk.close()
            raise OSError(-number, os.strerror(-number))
        ended: asyncio.Future[int | None] = loop.create_future()
        self._ends[number] = ended
        if self._socket is None:  # the warden went meanwhile
            self._end(number, None)
        return Gate(number, talk, ended)

    def forget(self, pid: int) -> None:
        """Nothing of the group led by this process is left, or ought to be spared."""
        self._ends.pop(pid, None)
        if self._socket is not None:
            with suppress(OSError):  # it is gone, or so far behind that it will find the group gone by itself
                self._socket.send(RECORD.pack(pid))

    def close(self) -> None:
        """Dismiss the warden: what runs is killed."""
        with self._lock:
            self._closed = True
            channel, loop = self._socket, self._loop
            if channel is None or loop is None:
                return
            with suppress(OSError):
                channel.shutdown(socket.SHUT_WR)
            if self._warden is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._warden.wait(BURIED_WITHIN)
            try:
                loop.call_soon_threadsafe(self._part)
            except RuntimeError:  # the loop is closed
                self._socket = None
                channel.close()

    async def _ask(self, record: bytes, places: list[int]) -> None:
        for again in (True, False):
            channel = self._socket or self._start()
            try:
                while True:
                    try:
                        socket.send_fds(channel, [record], places)
                        return
                    except BlockingIOError:
                        await _writable(channel)
            except ConnectionError:
                self._part()
                if not again:
                    raise

    def _start(self) -> socket.socket:
        with self._lock:
            if self._closed:
                raise Lost("This worker ends.")
            self._loop = asyncio.get_running_loop()
            channel, theirs = socket.socketpair()
            with theirs:
                self._warden = subprocess.Popen(
                    [sys.executable, "-I", "-S", warden.__file__],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    env={},
                    cwd="/",
                )
            channel.setblocking(False)
            self._unread = b""
            self._socket = channel
            self._loop.add_reader(channel, self._hear, channel)
            return channel

    def _hear(self, channel: socket.socket) -> None:
        try:
            data = channel.recv(ENDED.size * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._part()
            return
        data = self._unread + data
        whole = len(data) - len(data) % ENDED.size
        self._unread = data[whole:]
        for pid, status in ENDED.iter_unpack(data[:whole]):
            self._end(pid, status)

    def _part(self) -> None:
        """The warden is gone, and with it what it would have told."""
        channel, self._socket = self._socket, None
        if channel is None:
            return
        if self._loop is not None:
            self._loop.remove_reader(channel)
        channel.close()
        if self._warden is not None:
            with suppress(subprocess.TimeoutExpired):
                self._warden.wait(BURIED_WITHIN)
        for pid in tuple(self._ends):
            self._end(pid, None)

    def _end(self, pid: int, status: int | None) -> None:
        ended = self._ends.get(pid)
        if ended is not None and not ended.done():
            ended.set_result(status)


async def _writable(channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    room: asyncio.Future[None] = loop.create_future()
    # a descriptor of its own, for a loop keeps one writer for each
    with channel.dup() as watched:
        loop.add_writer(watched, lambda: None if room.done() else room.set_result(None))
        try:
            await room
        finally:
            loop.remove_writer(watched)
