"""A small process that outlives its worker just long enough to kill what the worker left running.

Run by file name, with the standard library alone. Its standard input is a pipe held open by the worker: lines
`+pid start` and `-pid` say which process groups run. When the pipe ends, for whatever reason (kill -9 included), it
kills the groups that are left. PR_SET_PDEATHSIG would reach the direct child only, and only while the thread that
started it lives.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


def started_at(pid: int) -> str | None:
    """When the process was started, in clock ticks since boot; None: there is no such process (or no /proc)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # the command's name, in parentheses, may hold anything
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return None


def kill_group(pid: int, start: str) -> None:
    """Kill the group led by this process, unless its number means another process by now.

    Where the leader is gone its number cannot have been given away while others of its group live.
    """
    if started_at(pid) in (start, None):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    running: dict[int, str] = {}
    for line in sys.stdin:
        word = line.split()
        if line.startswith("+") and len(word) == 2:
            running[int(word[0])] = word[1]
        elif line.startswith("-"):
            running.pop(-int(word[0]), None)
    for pid, start in running.items():
        kill_group(pid, start)


if __name__ == "__main__":
    main()
