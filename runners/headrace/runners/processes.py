"""Processes of tasks: each leads a session of its own, is read while it writes, and is ended with all its descendants."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import cast

from headrace.runners import warden
from headrace.runners.warden import kill_group, started_at

LINGER = 0.2
"""Seconds in which what a process left in the background may finish writing; then it is killed."""

REAPED_WITHIN = 1.0


class Processes:
    """Starts and ends processes for one worker. Used on one event loop; `close` from anywhere.

    Args:
        state_folder: where a note of each running process is kept for `reap`; None: none.
    """

    def __init__(self, state_folder: Path | None) -> None:
        self._notes = None if state_folder is None else state_folder / "processes"
        self._warden = _Warden()

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        feed: bytes | None,
        heard: Callable[[str, bytes], None],
        grace: Callable[[], float],
    ) -> int:
        """Run to its end and return the exit status (negative: killed by that signal).

        Args:
            feed: what it reads on standard input; None: nothing.
            heard: called with "stdout" or "stderr" and what was written.
            grace: seconds between SIGTERM and SIGKILL when this call is cancelled.

        Raises:
            OSError, ValueError: it cannot be started.
        """
        loop = asyncio.get_running_loop()
        transport, talk = await loop.subprocess_exec(
            lambda: _Conversation(heard),
            *argv,
            env=env,
            cwd=cwd,
            stdin=DEVNULL if feed is None else PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
        pid = transport.get_pid()
        note = self._note(pid)
        try:
            if feed is not None:
                talk.say(transport, feed)
            try:
                await asyncio.shield(talk.exited)
            except asyncio.CancelledError:
                await asyncio.shield(_end(pid, talk, grace()))
                raise
            finally:
                # its descendants hold the pipes: what they still have to say, then their end
                await talk.silence(LINGER)
                _signal(pid, signal.SIGKILL)
                await talk.silence(LINGER)
            return transport.get_returncode() or 0
        finally:
            self._forget(pid, note)
            # what has left the session may hold the pipes for ever: our ends are closed
            transport.close()

    def close(self) -> None:
        self._warden.close()

    def _note(self, pid: int) -> Path | None:
        start = started_at(pid)
        if start is None:
            return None
        self._warden.tell(f"+{pid} {start}\n")
        if self._notes is None:
            return None
        note = self._notes / f"{pid}-{start}"
        with suppress(OSError):
            self._notes.mkdir(parents=True, exist_ok=True)
            note.write_text(f"{_boot()} {os.getpid()} {started_at(os.getpid())} {pid} {start}\n")
        return note

    def _forget(self, pid: int, note: Path | None) -> None:
        self._warden.tell(f"-{pid}\n")
        if note is not None:
            note.unlink(missing_ok=True)


class _Warden:
    """This worker's end of the pipe to its warden, which is started with the first process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._running: dict[str, str] = {}
        self._lock = Lock()
        self._closed = False

    def tell(self, line: str) -> None:
        with self._lock:
            if self._closed:
                return
            if line.startswith("+"):
                self._running[line[1:].split()[0]] = line
            else:
                self._running.pop(line[1:].strip(), None)
            if self._process is None or self._process.poll() is not None or not self._write(line):
                self._start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._end()

    def _start(self) -> None:
        """Start it, or another when somebody killed it, and tell it all that runs."""
        self._end()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", warden.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={},
            cwd="/",
        )
        self._write("".join(self._running.values()))

    def _write(self, text: str) -> bool:
        process = self._process
        if process is None or process.stdin is None:
            return False
        try:
            process.stdin.write(text.encode())
            process.stdin.flush()
        except OSError:
            return False
        return True

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=REAPED_WITHIN)


def reap(state_folder: Path) -> int:
    """Kill what a worker that died left running, by its notes; returns how many groups were still there.

    The processes of a worker that is alive are left alone, whoever asks.
    """
    killed: list[int] = []
    notes = state_folder / "processes"
    with suppress(OSError):
        for note in sorted(notes.iterdir()):
            try:
                boot, owner, owner_start, pid, start = note.read_text().split()
            except (OSError, ValueError):
                continue
            if boot == _boot():
                if started_at(int(owner)) == owner_start:
                    continue
                if _group_exists(int(pid)):
                    kill_group(int(pid), start)
                    killed.append(int(pid))
            note.unlink(missing_ok=True)
    until = time.monotonic() + REAPED_WITHIN
    while any(map(_group_exists, killed)) and time.monotonic() < until:
        time.sleep(0.01)
    return len(killed)


class _Conversation(asyncio.SubprocessProtocol):
    """Hears a process. Its end and the end of its pipes are told apart: a descendant may hold these for long."""

    def __init__(self, heard: Callable[[str, bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self._silent: asyncio.Future[None] = loop.create_future()
        self._heard = heard
        self._open = {1: "stdout", 2: "stderr"}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._heard(self._open[fd], data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.pop(fd, None)
        if not self._open and not self._silent.done():
            self._silent.set_result(None)

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)

    def say(self, transport: asyncio.SubprocessTransport, data: bytes) -> None:
        """Standard input, and its end."""
        pipe = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
        pipe.write(data)
        pipe.write_eof()

    async def silence(self, within: float) -> None:
        """Until both pipes have ended, for at most that many seconds."""
        await asyncio.wait([self._silent], timeout=within)


async def _end(group: int, talk: _Conversation, grace: float) -> None:
    """SIGTERM to the whole group, SIGKILL after `grace` seconds."""
    _signal(group, signal.SIGTERM)
    await asyncio.wait([talk.exited], timeout=grace)
    _signal(group, signal.SIGKILL)
    await talk.exited


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _boot() -> str:
    """Names this start of the machine: process numbers and start times mean nothing beyond it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"
