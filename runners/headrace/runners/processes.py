"""Processes of tasks: each leads a session of its own, is read while it writes, and is ended with all its descendants."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from headrace.runners.conversation import Conversation
from headrace.runners.launching import Gate, Launcher, Lost, program
from headrace.runners.warden import Program, kill_group, started_at

LINGER = 0.2
"""Seconds in which what a process left in the background may finish writing; then it is killed."""

REAPED_WITHIN = 1.0


class NotNoted(Exception):
    """A process that the next start could not find again is not started."""


class Processes:
    """Starts and ends processes for one worker. Used on one event loop; `close` from anywhere.

    Args:
        state_folder: where a note of each running process is kept for `reap`; None: none.
    """

    def __init__(self, state_folder: Path | None) -> None:
        self._notes = None if state_folder is None else state_folder / "processes"
        self._owner = f"{os.getpid()} {started_at(os.getpid())}"
        self._launcher = Launcher()

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
            grace: seconds between SIGTERM and SIGKILL when this call is cancelled; cancelled again, they begin anew,
                but end no later.

        Raises:
            OSError, ValueError: it cannot be started.
            NotNoted: nothing can be written to the state folder.
            Lost: nobody knows how it ended. Nothing of it runs on.
        """
        become = program(argv, env, cwd)
        talk = Conversation(feed, heard)
        try:
            gate = await self._launcher.launch(*talk.theirs)
            start = started_at(gate.pid)
            note: Path | None = None
            try:
                note = self._note(gate.pid, start)
                talk.begin()
                return await _through(gate, become, start, talk, grace)
            finally:
                gate.close()
                self._launcher.forget(gate.pid)
                if note is not None:
                    note.unlink(missing_ok=True)
        finally:
            # what has left the session may hold the pipes for ever: our ends are closed
            talk.close()

    def close(self) -> None:
        self._launcher.close()

    def _note(self, pid: int, start: str | None) -> Path | None:
        """Written before the process knows what it is to run."""
        if start is None or self._notes is None:
            return None
        note = self._notes / f"{pid}-{start}"
        text = f"{_boot()} {self._owner} {pid} {start}\n"
        try:
            try:
                note.write_text(text)
            except FileNotFoundError:
                self._notes.mkdir(parents=True, exist_ok=True)
                note.write_text(text)
        except OSError as error:
            with suppress(OSError):
                note.unlink()
            raise NotNoted(f"its note in {self._notes} cannot be written: {error.strerror}.") from error
        return note


async def _through(
    gate: Gate, become: Program, start: str | None, talk: Conversation, grace: Callable[[], float]
) -> int:
    """Open the gate and see the process through to its end; then nothing of its group is left."""
    try:
        await gate.open(become)
        status = await asyncio.shield(gate.ended)
    except asyncio.CancelledError:
        await _end(gate, grace)
        raise
    finally:
        # its descendants hold the pipes: what they still have to say, then their end
        await talk.silence(LINGER)
        kill_group(gate.pid, start)
        await talk.silence(LINGER)
    if status is None:
        raise Lost("The process that watches over the processes of tasks was killed, and this one was ended.")
    return status


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


async def _end(gate: Gate, grace: Callable[[], float]) -> None:
    """SIGTERM to the whole group, SIGKILL after the grace; asked again meanwhile, after what the grace is by then."""
    _signal(gate.pid, signal.SIGTERM)
    until = time.monotonic() + grace()
    while not gate.ended.done() and (left := until - time.monotonic()) > 0:
        try:
            await asyncio.wait([gate.ended], timeout=left)
        except asyncio.CancelledError:
            until = min(until, time.monotonic() + grace())
    _signal(gate.pid, signal.SIGKILL)
    await asyncio.shield(gate.ended)


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


@cache
def _boot() -> str:
    """Names this start of the machine: process numbers and start times mean nothing beyond it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"
