"""A process that was started warm is what it would be had it been started cold."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import warm
from tests.support.waiting import PATIENCE

LOOK = """\
import json, os, random, signal, subprocess, sys, threading, time, uuid

def of(stream):
    return [stream.name, stream.buffer.name, stream.mode, stream.encoding, stream.errors, stream.newlines, stream.line_buffering,
            stream.write_through, type(stream.buffer).__name__, stream.isatty()]

def kept(signals):
    return sorted(int(each) for each in signals)

if __name__ == "__main__":
    main = sys.modules["__main__"]
    open_now = sorted(int(each) for each in os.listdir("/proc/self/fd"))
    print(json.dumps({
        "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "flags": list(sys.flags), "executable": sys.executable,
        "cwd": os.getcwd(), "environment": dict(os.environ), "parent": os.getppid(), "zone": time.tzname,
        "own session": os.getsid(0) == os.getpid(), "own group": os.getpgrp() == os.getpid(),
        "group": os.getpgrp() if os.getpgrp() != os.getpid() else None,
        "descriptors": [each for each in open_now if os.path.exists(f"/proc/self/fd/{each}")],
        "blocked": kept(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "signals": {int(each): str(signal.getsignal(each)) for each in signal.valid_signals()},
        "names": sorted(vars(main)), "name": main.__name__, "file": main.__file__, "spec": main.__spec__.name,
        "here": main is sys.modules[__name__] and "look" not in sys.modules,
        "streams": [of(sys.stdin), of(sys.stdout), of(sys.stderr)],
        "the same": [sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
        "threads": [[each.name, each is threading.main_thread(), each.ident == threading.get_ident()]
                    for each in threading.enumerate()],
        "tid": threading.get_native_id() == os.getpid(),
        "read": sys.stdin.read(),
        "child": json.loads(subprocess.run(
            [sys.executable, "-c", "import json, os, sys; print(json.dumps([os.environ['MARK'], os.getcwd(), sys.path[1:]]))"],
            capture_output=True, check=True).stdout),
    }))
    print("on stderr", file=sys.stderr)
    print([uuid.uuid4().hex, random.random(), os.urandom(8).hex()], file=open("luck", "a"))
"""
"""Tells what a program may ask of the process it is in."""

ENDS = """\
import atexit, os, signal, sys, threading, time
atexit.register(lambda: print("the last word"))
print("a word", end=" ")
how = sys.argv[1]
if how == "thread":
    threading.Thread(target=lambda: (time.sleep(0.05), print("of a thread", end=" "))).start()
elif how == "raise":
    raise ValueError("broken")
elif how == "typed":
    os.kill(os.getpid(), signal.SIGINT)
elif how == "abort":
    os.abort()
elif how == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
elif how == "raised signal":
    signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
elif how.isdigit():
    sys.exit(int(how))
else:
    sys.exit(how)
"""

MARKED: Mapping[str, str] = {"PATH": os.environ["PATH"], "MARK": "\udcff odd = \n", "TZ": "Asia/Tokyo"}
SETTINGS = {name: value for name, value in os.environ.items() if name.startswith(warm.AT_START)}


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A folder with both programs, and the processes that were started warm."""
    (tmp_path / "look.py").write_text(LOOK)
    (tmp_path / "ends.py").write_text(ENDS)
    (tmp_path / "headrace.py").write_text("raise RuntimeError('one of the folder')\n")
    pids: list[int] = []
    start = warm.zygote.start

    def told(*given: Any) -> int | None:
        pid = start(*given)
        pids.append(pid or 0)
        return pid

    monkeypatch.setattr(warm.zygote, "start", told)
    return pids


def both(
    folder: Path, command: Sequence[str], started: list[int], **more: Any
) -> tuple[tuple[int, bytes, bytes], ...]:
    """The status and the words of a command that was started cold, and of one that was started warm."""
    ended = []
    for run in (subprocess.run, warm.run):
        done = run(
            [sys.executable, "-m", *command], cwd=folder, capture_output=True, timeout=PATIENCE, **more
        )
        ended.append((done.returncode, done.stdout, done.stderr))
    assert len(started) == 1
    return tuple(ended)


ALIKE: Mapping[str, dict[str, Any]] = {
    "plain": {"input": b"read"},
    "session": {"stdin": subprocess.DEVNULL, "start_new_session": True},
    "group": {"stdin": subprocess.DEVNULL, "process_group": 0},
    "environment": {"env": {**MARKED, **SETTINGS}, "input": b"\xff"},
}


@pytest.mark.parametrize("more", ALIKE.values(), ids=ALIKE)
def test_it_sees_what_a_cold_one_sees(
    more: dict[str, Any], tmp_path: Path, started: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARK", "of the tests")
    monkeypatch.setenv("CHANGED_AFTER_ITS_START", "1")
    given = {"env": dict(os.environ), **more}  # else it inherits what C libraries have put there as well
    cold, warmed = both(tmp_path, ["look", "--word", "", "two words"], started, **given)
    assert cold[0] == 0, cold[2]
    seen, expected = json.loads(warmed[1]), json.loads(cold[1])
    for what in expected:
        assert seen[what] == expected[what], what
    assert warmed == cold
    assert seen["parent"] == os.getpid()
    assert seen["here"]
    assert seen["tid"]


def test_no_two_have_the_same_luck(tmp_path: Path, started: list[int]) -> None:
    for _ in range(3):
        warm.run(
            [sys.executable, "-m", "look"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "MARK": ""},
        )
    rows = [json.loads(line.replace("'", '"')) for line in (tmp_path / "luck").read_text().splitlines()]
    assert [len(set(column)) for column in zip(*rows, strict=True)] == [3, 3, 3]
    assert len(set(started)) == 3


@pytest.mark.parametrize(
    "how", ["0", "2", "3", "300", "words", "thread", "typed", "abort", "kill", "raised signal"]
)
def test_it_ends_as_a_cold_one_ends(how: str, tmp_path: Path, started: list[int]) -> None:
    cold, warmed = both(tmp_path, ["ends", how], started)
    assert warmed[:2] == cold[:2]
    if how != "typed":  # whose traceback tells of the frames of the other side too
        assert warmed[2] == cold[2]


def test_an_exception_is_told(tmp_path: Path, started: list[int]) -> None:
    cold, warmed = both(tmp_path, ["ends", "raise"], started)
    assert warmed[:2] == cold[:2] == (1, b"a word the last word\n")
    assert warmed[2].splitlines()[-4:] == cold[2].splitlines()[-4:]


def test_its_streams_are_those_it_was_given(tmp_path: Path, started: list[int]) -> None:
    """One file for two of them, and one at the place of another."""
    log = tmp_path / "log"
    with log.open("wb") as file:
        fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 50)
        process = warm.Popen[bytes](
            [sys.executable, "-m", "look"],
            cwd=tmp_path,
            env={**os.environ, "MARK": "x"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    assert process.wait(PATIENCE) == 0
    told, last = log.read_text().splitlines()
    assert json.loads(told)["descriptors"] == [0, 1, 2]
    assert last == "on stderr"
    assert started == [process.pid]


def test_it_is_ended_as_one_s_own_child(tmp_path: Path, started: list[int]) -> None:
    (tmp_path / "sleeps.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    for number in (signal.SIGTERM, signal.SIGKILL):
        with warm.Popen[str](
            [sys.executable, "-m", "sleeps"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            assert process.poll() is None
            process.send_signal(signal.SIGSTOP)
            pid, status = os.waitpid(process.pid, os.WUNTRACED)
            assert (pid, os.WSTOPSIG(status)) == (process.pid, signal.SIGSTOP)
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
            assert process.wait(PATIENCE) == -number
    assert len(started) == 2


def test_a_command_that_takes_too_long_is_killed(tmp_path: Path, started: list[int]) -> None:
    (tmp_path / "sleeps.py").write_text("import time\ntime.sleep(600)\n")
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run([sys.executable, "-m", "sleeps"], cwd=tmp_path, timeout=0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


@pytest.mark.parametrize("folder", ["nowhere", "look.py"])
def test_a_folder_that_is_none_is_told_alike(folder: str, tmp_path: Path, started: list[int]) -> None:
    told = []
    for start in (subprocess.Popen[bytes], warm.Popen[bytes]):
        with pytest.raises(OSError, match=folder) as raised:
            start([sys.executable, "-m", "look"], cwd=tmp_path / folder)
        told.append((type(raised.value), raised.value.errno, str(raised.value.filename)))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("command", "more"),
    [
        (["/bin/echo", "a"], {}),
        ([sys.executable, "-c", "pass"], {}),
        ([sys.executable, "-m", "look"], {"env": {**os.environ, "MARK": "", "PYTHONHASHSEED": "1"}}),
        ([sys.executable, "-m", "look"], {"env": {**os.environ, "MARK": "", "LC_ALL": "C"}}),
        ([sys.executable, "-m", "look"], {"env": {**os.environ, "MARK": ""}, "close_fds": False}),
    ],
    ids=["program", "option", "seed", "language", "descriptors"],
)
def test_what_cannot_be_imitated_starts_cold(
    command: list[str], more: dict[str, Any], tmp_path: Path, started: list[int]
) -> None:
    done = warm.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **more)
    assert done.returncode == 0
    assert started == []
