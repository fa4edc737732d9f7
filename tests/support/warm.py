"""Processes that start warm: `python -m MODULE` without the second of imports at its beginning.

Hundreds of tests type a command and wait for its end. `Popen` and `run` are drop-ins for those of `subprocess`: the new process is
forked from one that has imported Headrace already (`zygote.py`), and is in every other respect like one that was started cold: a child of this
process, with its own arguments, environment, folder, streams, session and end. What differs: `/proc/PID/environ` and
`/proc/PID/cmdline` tell of the zygote, all warm processes of a session of tests share one seed of hashes, and no import that is missing is
missed. Tests of such things, and tests that measure, start cold, by `subprocess` itself.

A start that the zygote cannot imitate goes the cold way by itself: other programs, options of the interpreter, other variables
that an interpreter or a library reads once when it starts, descriptors beyond the three, a system without clone(2).
"""

from __future__ import annotations

import atexit
import contextlib
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, AnyStr

from tests.support.zygote import ANSWER, CLONES, SIZE

AT_START = ("PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "GLIBC_", "OTEL_", "PROMETHEUS_", "PYDANTIC_")
"""How the names of variables begin that are read when an interpreter starts, or when a library is imported."""

USUAL: Mapping[str, Any] = {
    "preexec_fn": None,
    "close_fds": True,
    "pass_fds": (),
    "shell": False,
    "restore_signals": True,
    "gid": None,
    "gids": None,
    "uid": None,
    "umask": -1,
}
"""What a warm start can do without looking at it."""

_EXECUTE = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]


class Zygote:
    """The one of this process, started with its first request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._settings: dict[str, str] = {}
        self._able = sys.platform == "linux" and os.uname().machine in CLONES

    def takes(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether a process of it would be like one that is started cold."""
        if not self._able or len(command) < 3 or list(command[:2]) != [sys.executable, "-m"]:
            return False
        with self._lock:
            settings = self._settings if self._process is not None else _settings(os.environ)
            return _settings(environment) == settings

    def start(
        self,
        command: Sequence[str],
        folder: str | os.PathLike[str],
        environment: Mapping[str, str],
        streams: Sequence[int],
        session: bool,
        group: int,
    ) -> int | None:
        """The new process's id; None when this system cannot do it.

        Raises OSError about the folder, as `subprocess.Popen` does.
        """
        given = {
            "command": list(command),
            "environment": dict(environment),
            "session": session,
            "group": group,
        }
        interruptible = signal.getsignal(signal.SIGINT) != signal.SIG_IGN
        text = json.dumps({**given, "interruptible": interruptible}).encode()
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with self._lock:
                channel = self._channel or self._begin()
                socket.send_fds(channel, [SIZE.pack(len(text))], [*streams, at])
                channel.sendall(text)
                answer = channel.recv(ANSWER.size, socket.MSG_WAITALL)
        finally:
            os.close(at)
        if len(answer) < ANSWER.size:
            raise ChildProcessError("The process that warm ones are forked from has ended.")
        (pid,) = ANSWER.unpack(answer)
        if pid > 0:
            return int(pid)
        self._able = False
        return None

    def _begin(self) -> socket.socket:
        self._channel, theirs = socket.socketpair()
        self._settings = _settings(os.environ)
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    str(Path(__file__).with_name("zygote.py")),
                    str(theirs.fileno()),
                    str(os.getpid()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.close)
        return self._channel

    def close(self) -> None:
        """End it. What it has forked goes on."""
        if self._channel is not None and self._process is not None:
            self._channel.close()
            self._process.wait()


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if value and name.startswith(AT_START)}


zygote = Zygote()


class Popen(subprocess.Popen[AnyStr]):
    """As `subprocess.Popen`, but warm where that makes no difference."""

    def _execute_child(self, *args: Any, **more: Any) -> None:
        given = _EXECUTE.bind(self, *args, **more).arguments
        environment = os.environ if given["env"] is None else given["env"]
        command = given["args"]
        plain = (
            isinstance(command, (list, tuple))
            and given["executable"] is None
            and all(given[name] == value for name, value in USUAL.items())
        )
        if plain and zygote.takes(command, environment):
            streams = [
                own if there == -1 else there
                for own, there in enumerate((given["p2cread"], given["c2pwrite"], given["errwrite"]))
            ]
            session, group = bool(given["start_new_session"]), given["process_group"]
            pid = zygote.start(command, given["cwd"] or ".", environment, streams, session, group)
            if pid is not None:
                self.pid, self._child_created = pid, True
                ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
                self._close_pipe_fds(*(given[end] for end in ends))  # type: ignore[attr-defined]
                return
        super()._execute_child(*args, **more)  # type: ignore[misc]


def run(
    command: Sequence[str],
    *,
    input: Any = None,
    capture_output: bool = False,
    timeout: float | None = None,
    **more: Any,
) -> subprocess.CompletedProcess[Any]:
    """As `subprocess.run`, without its `check`."""
    if input is not None:
        more["stdin"] = subprocess.PIPE
    if capture_output:
        more |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen[Any](command, **more) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=1)  # read what there is, and let no pipe stay open
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
