"""Processes behind their gate: nothing runs that nobody could find again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace.runners.launching import Lost
from headrace.runners.processes import NotNoted, Processes, reap
from tests.support.waiting import appears, gone_meanwhile

CUT = """
import asyncio, os, signal, sys
from pathlib import Path
from headrace.runners.processes import Processes

class Cut(Processes):
    def _note(self, pid, start):
        when, warden = sys.argv[2], self._launcher._warden.pid
        if when == "noted":
            super()._note(pid, start)
        Path("pids").write_text(f"{pid} {warden}")
        if sys.argv[3] == "both":
            os.kill(warden, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    await Cut(Path(sys.argv[1])).run(
        ["touch", "ran"], env=dict(os.environ), cwd=os.getcwd(), feed=None, heard=print, grace=lambda: 1.0
    )
asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["unknown", "noted"])
@pytest.mark.parametrize("who", ["worker", "both"])
async def test_a_worker_killed_before_it_gave_the_word_has_run_nothing(
    when: str, who: str, tmp_path: Path
) -> None:
    """faults 53: also when its warden is killed with it, and whether or not the process was noted."""
    state = tmp_path / "state"
    argv = [sys.executable, "-c", CUT, str(state), when, who]
    ended = await asyncio.to_thread(subprocess.run, argv, cwd=tmp_path, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert await gone_meanwhile(*pids)
    assert not (tmp_path / "ran").exists()
    reap(state)  # its note, that is
    assert not list((state / "processes").glob("*"))


class Started:
    """What one call of `run` has heard."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.text = b""

    async def run(self, *argv: str, feed: bytes | None = None, env: Mapping[str, str] | None = None) -> int:
        def heard(stream: str, data: bytes) -> None:
            self.text += data

        return await self.processes.run(
            argv,
            env={"PATH": os.environ["PATH"], **(env or {})},
            cwd="/",
            feed=feed,
            heard=heard,
            grace=lambda: 0.1,
        )


@asynccontextmanager
async def processes(state: Path | None = None) -> AsyncIterator[Started]:
    made = Processes(state)
    try:
        yield Started(made)
    finally:
        await asyncio.to_thread(made.close)


def warden_of(started: Started) -> int:
    warden: Any = started.processes._launcher._warden
    pid: int = warden.pid
    return pid


async def test_a_process_begins_as_any_other(tmp_path: Path) -> None:
    """Its group and session are its own, it ignores what its starter ignores and no more, nothing but the three streams
    is open, and the environment holds what was given."""
    program = (
        "import os, signal, json\n"
        "ignored = [s.name for s in signal.valid_signals() if isinstance(s, signal.Signals)"
        " and signal.getsignal(s) == signal.SIG_IGN]\n"
        "print(json.dumps([os.getsid(0) == os.getpgrp() == os.getpid(), ignored,"
        " sorted(map(int, os.listdir('/proc/self/fd')))[:-1], dict(os.environ)], sort_keys=True))\n"
    )
    async with processes() as started:
        assert (
            await started.run(sys.executable, "-c", program, env={"odd-name": "\udcff", "LC_ALL": "C.UTF-8"})
            == 0
        )
        path = os.environ["PATH"]
        ignored = json.dumps(
            [name.name for name in signal.Signals if signal.getsignal(name) == signal.SIG_IGN]
        )
        expected = (
            f'[true, {ignored}, [0, 1, 2], {{"LC_ALL": "C.UTF-8", "PATH": "{path}", "odd-name": "\\udcff"}}]'
        )
        assert started.text.decode().strip() == expected


async def test_what_it_reads_and_writes_may_be_large(tmp_path: Path) -> None:
    async with processes() as started:
        given = os.urandom(3_000_000)
        assert await started.run("cat", feed=given) == 0
        assert started.text == given
        assert await started.run("true", feed=given) == 0, "it need not listen"


async def test_a_killed_warden_costs_the_attempts_it_watched_over_and_no_more(tmp_path: Path) -> None:
    async with processes(tmp_path) as started:
        running = asyncio.ensure_future(
            started.run(
                "bash",
                "-c",
                'echo $$ > "$F".part; mv "$F".part "$F"; sleep 300',
                env={"F": str(tmp_path / "pid")},
            )
        )
        await asyncio.to_thread(appears, tmp_path / "pid")
        os.kill(warden_of(started), signal.SIGKILL)
        with pytest.raises(Lost):
            await running
        assert await gone_meanwhile(int((tmp_path / "pid").read_text()))
        assert await started.run("true") == 0, "another one is started"


async def test_what_cannot_be_noted_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    async with processes(tmp_path / "state") as started:
        with pytest.raises(NotNoted):
            await started.run("touch", str(tmp_path / "ran"))
    assert not (tmp_path / "ran").exists()


async def test_a_call_cancelled_before_there_is_a_process_leaves_none(tmp_path: Path) -> None:
    async with processes(tmp_path) as started:
        assert await started.run("true") == 0
        running = asyncio.ensure_future(started.run("touch", str(tmp_path / "ran")))
        await asyncio.sleep(0)  # it asks for a gate
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await started.run("true") == 0
    assert not (tmp_path / "ran").exists()
    assert not list((tmp_path / "processes").glob("*"))
