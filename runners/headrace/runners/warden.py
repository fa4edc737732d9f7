"""A small process that starts the processes of tasks for its worker, and outlives it just long enough to kill what it left.

Run by file name, with the standard library alone. Standard input is a socket held open by the worker alone. A record 0
comes with four descriptors: standard input, output and error of a process to start, and a socket to talk about it. A
record with a number says that the group led by that process is over. Back go records of a process and its exit status.
When the socket ends, for whatever reason (kill -9 included), the groups that are left are killed. PR_SET_PDEATHSIG would
reach the direct child only, and only while the thread that started it lives.

A started process is a gate first: it says its number and waits to be told, by the worker, what to become. The worker
tells it when the number is noted. A gate whose worker dies before hears the end of its socket and ends without having
known any program, so that no program ever runs that nobody would find again. To fork this process costs a tenth of what
starting an interpreter as the gate would, and unlike the worker it has no threads, so that it may fork.
"""

from __future__ import annotations

import gc
import marshal
import os
import select
import signal
import socket
import struct
from contextlib import suppress
from typing import NoReturn

RECORD = struct.Struct("=q")
"""Worker to warden: START with descriptors, or the number of a process whose group is over."""
START = 0
ENDED = struct.Struct("=qq")
"""Warden to worker: the number of a process and its exit status (negative: the signal that killed it)."""
ANSWER = struct.Struct("=q")
"""Gate to worker: first its number, or -errno where it could not be forked; then errno where it could not be executed.
The end of the socket instead of that: it was."""
LENGTH = struct.Struct("=Q")
"""Worker to gate: so many bytes follow, a marshalled Program."""

Program = tuple[list[bytes], list[bytes], dict[bytes, bytes], bytes]
"""Files to try in order, arguments, environment, working folder."""

_NEVER_RAN = 127
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PYTHONS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)


def started_at(pid: int) -> str | None:
    """When the process was started, in clock ticks since boot; None: there is no such process (or no /proc)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # the command's name, in parentheses, may hold anything
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return None


def kill_group(pid: int, start: str | None) -> None:
    """Kill the group led by this process, unless its number means another process by now.

    Where the leader is gone its number cannot have been given away while others of its group live.
    """
    if started_at(pid) in (start, None):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


class Warden:
    """Serves one worker. `disposed`: what the processes of tasks do on the signals that a warden ignores."""

    def __init__(self, worker: socket.socket, disposed: dict[signal.Signals, signal.Handlers]) -> None:
        self._worker = worker
        self._disposed = disposed
        self._running: dict[int, str | None] = {}

    def serve(self) -> None:
        """Until the worker is gone; then end what it left."""
        ears, bell = os.pipe()
        os.set_blocking(ears, False)
        os.set_blocking(bell, False)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        events = select.poll()
        events.register(self._worker, select.POLLIN)
        events.register(ears, select.POLLIN)
        with suppress(ConnectionError):
            while True:
                for source, _ in events.poll():
                    if source == ears:
                        os.read(ears, 4096)
                        self._bury()
                    elif not self._obey():
                        raise ConnectionResetError
        for pid, start in self._running.items():
            kill_group(pid, start)

    def _obey(self) -> bool:
        """Do what the next record says; False: there is none and never will be."""
        data, places, _, _ = socket.recv_fds(self._worker, RECORD.size, 4)
        if not data:
            return False
        (pid,) = RECORD.unpack(data)
        try:
            if pid != START:
                self._running.pop(pid, None)
            elif len(places) == 4:
                self._start(*places)
        finally:
            for place in places:
                os.close(place)
        return True

    def _start(self, stdin: int, stdout: int, stderr: int, talk: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            with suppress(OSError):
                os.write(talk, ANSWER.pack(-(error.errno or 1)))
            return
        if pid == 0:
            self._be_a_gate((stdin, stdout, stderr), talk)
        self._running[pid] = started_at(pid)

    def _be_a_gate(self, streams: tuple[int, int, int], talk: int) -> NoReturn:
        try:
            os.setsid()
            self._worker.close()
            for number, action in self._disposed.items():
                signal.signal(number, action)
            for place, stream in enumerate(streams):
                os.dup2(stream, place)
                os.close(stream)
            os.set_inheritable(talk, False)
            os.write(talk, ANSWER.pack(os.getpid()))
            program = _told(talk)
            if program is not None:
                os.write(talk, ANSWER.pack(_become(program)))
        finally:
            os._exit(_NEVER_RAN)

    def _bury(self) -> None:
        """Say what has ended. What is left of a group stays known until the worker has seen to that."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid = found[0]
                self._worker.sendall(ENDED.pack(pid, os.waitstatus_to_exitcode(found[1])))
                with suppress(PermissionError):
                    try:
                        os.killpg(pid, 0)
                    except ProcessLookupError:
                        self._running.pop(pid, None)


def _told(talk: int) -> Program | None:
    """What to become; None: the worker is gone, or has changed its mind."""
    size = _read(talk, LENGTH.size)
    if size is None:
        return None
    program = _read(talk, LENGTH.unpack(size)[0])
    return None if program is None else marshal.loads(program)


def _read(source: int, size: int) -> bytes | None:
    pieces = []
    while size:
        piece = os.read(source, size)
        if not piece:
            return None
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _become(program: Program) -> int:
    """Execute it; returns only when that fails: errno, chosen as the system's own search of the path chooses it."""
    files, argv, env, folder = program
    try:
        os.chdir(folder)
    except OSError as error:
        return error.errno or 1
    for number in _PYTHONS_OWN:
        signal.signal(number, signal.SIG_DFL)
    last = first = 0
    for file in files:
        try:
            os.execve(file, argv, env)
        except OSError as error:
            last = error.errno or 1
            if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                first = first or last
    return first or last


def main() -> None:
    gc.disable()  # a collection would touch, and so copy, every page after a fork
    disposed = {
        number: signal.SIG_IGN if signal.getsignal(number) == signal.SIG_IGN else signal.SIG_DFL
        for number in _IGNORED
    }
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    Warden(socket.socket(fileno=os.dup(0)), disposed).serve()


if __name__ == "__main__":
    main()
