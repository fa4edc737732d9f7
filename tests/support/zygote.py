"""A process that has imported Headrace and forks: each fork is one `python -m MODULE`, started warm. A program of its own.

    python zygote.py DESCRIPTOR PARENT

It is single-threaded, runs no loop, opens no file and imports no module of a user. `warm.py` is its other side, and says what
comes over the socket DESCRIPTOR. It ends with that socket.

A fork is made a child of PARENT, its starter, so that PARENT waits for it and kills it as if it had started it. From there on it does what
a fresh interpreter does: the streams, the path and `__main__` are made anew, and it ends as an interpreter ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import importlib
import io
import json
import os
import pkgutil
import platform
import runpy
import signal
import socket
import struct
import sys
import time
import types
from typing import IO, Any

PARTS = ("headrace.dsl", "headrace.engine", "headrace.runners", "headrace.api", "headrace.cli")
LAZY = (
    "networkx",
    "cyclopts.help",
    "docstring_parser",
    "rich.console",
    "rich.live",
    "rich.table",
    "encodings.idna",
)
"""What is imported in the middle of something else."""

SIZE = struct.Struct("!I")
ANSWER = struct.Struct("!i")
"""The new process's id, or an error's number below zero."""

CLONES = {"x86_64": (56, False), "aarch64": (220, True)}
"""By machine: the number of clone(2), and whether the TLS is its argument before the child's thread id."""
CLONE_PARENT = 0x00008000
CLONE_CHILD_CLEARTID = 0x00200000
CLONE_CHILD_SETTID = 0x01000000
PR_GET_TID_ADDRESS = 40


def load() -> None:
    """Import whatever a command may need."""
    for part in PARTS:
        package = importlib.import_module(part)
        for found in pkgutil.walk_packages(package.__path__, f"{part}.", onerror=lambda _: None):
            # What cannot be imported here is met again, and told, by the command that needs it.
            with contextlib.suppress(Exception):
                importlib.import_module(found.name)
    for name in LAZY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else the first collection of every fork would copy all of it


def fork() -> int:
    """As os.fork, but the new process is a sibling.

    Raises OSError where the system does not allow that.
    """
    if platform.machine() not in CLONES:
        raise OSError(errno.ENOSYS, "No clone is known for this machine")
    number, tls_first = CLONES[platform.machine()]
    libc, python = ctypes.PyDLL(None, use_errno=True), ctypes.pythonapi
    libc.syscall.restype = ctypes.c_long
    flags = CLONE_PARENT | signal.SIGCHLD
    # The C library keeps the thread's id where only it, and the kernel, knows; it must be the new one's.
    place = ctypes.c_void_p()
    if libc.prctl(PR_GET_TID_ADDRESS, ctypes.byref(place)) == 0 and place.value:
        flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID
    last = (None, place) if tls_first else (place, None)
    python.PyOS_BeforeFork()
    pid: int = libc.syscall(ctypes.c_long(number), ctypes.c_ulong(flags), None, None, *last)
    if pid == 0:
        python.PyOS_AfterFork_Child()
        return 0
    python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone")
    return pid


def serve(channel: socket.socket, parent: int) -> tuple[dict[str, Any], list[int]] | None:
    """Fork for each request. Returns in every new process with what it is to be, and in the first one with None, at the end."""
    while True:
        head, descriptors, _, _ = socket.recv_fds(channel, SIZE.size, 4, socket.MSG_WAITALL)
        if len(head) < SIZE.size or os.getppid() != parent:
            return None
        (size,) = SIZE.unpack(head)
        request = json.loads(channel.recv(size, socket.MSG_WAITALL))
        try:
            pid = fork()
        except OSError as error:
            pid = -(error.errno or errno.ENOSYS)
        if pid == 0:
            return request, descriptors
        for descriptor in descriptors:
            os.close(descriptor)
        channel.sendall(ANSWER.pack(pid))


def stream(descriptor: int, name: str, old: Any) -> IO[str]:
    """One of the three, made as the interpreter makes it when it starts; `old` is what it made of its own."""
    writes, plain = descriptor > 0, bool(old.write_through)
    made: Any = open(descriptor, "wb" if writes else "rb", 0 if writes and plain else -1, closefd=False)  # noqa: SIM115
    getattr(made, "raw", made).name = name
    at_once = not plain and (made.isatty() or descriptor == 2)
    text = io.TextIOWrapper(made, old.encoding, old.errors, "\n", at_once, plain)
    text.mode = "w" if writes else "r"  # type: ignore[misc]
    return text


def become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Be a fresh interpreter with these arguments, environment, folder and streams. Raises whatever ends the program."""
    if request["session"]:
        os.setsid()
    if request["group"] >= 0:
        os.setpgid(0, request["group"])
    *streams, folder = descriptors
    os.fchdir(folder)
    for number, each in enumerate(streams):  # which came as higher numbers: 0, 1 and 2 were never closed here
        os.dup2(each, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    # Whoever is started behind a shell's back ignores it, and tests may change that for themselves at any time.
    signal.signal(signal.SIGINT, signal.default_int_handler if request["interruptible"] else signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.orig_argv[:] = request["command"]
    module, words = request["command"][2], request["command"][3:]
    sys.argv[:] = ["-m", *words]
    sys.path[0] = os.getcwd()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        made = stream(number, f"<{name}>", getattr(sys, name))
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__annotations__ = {}
    sys.modules.pop(module, None)
    runpy._run_module_as_main(module)  # type: ignore[attr-defined]


if __name__ == "__main__":
    _channel = socket.socket(fileno=int(sys.argv[1]))
    load()
    try:
        _made = serve(_channel, int(sys.argv[2]))
    except KeyboardInterrupt:  # typed for the tests, in whose group of processes this one is
        _made = None
    if _made is not None:
        _channel.detach()
        become(*_made)
