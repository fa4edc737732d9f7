"""A session's tests share one lab, whatever process they run in, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.lab import Lab
from headrace.lab.processes import Process

ROOT = Path(__file__).parents[3]
SUITE = """\
import os
from pathlib import Path

from headrace.lab.processes import Process
from tests.support.servers import Servers, lab as lab

FOUND = Path(__file__).parent / "found"


def test_writes_down_what_it_was_given(lab: Servers) -> None:
    worker = os.environ["PYTEST_XDIST_WORKER"]
    pid = lab.pid("valkey")
    (FOUND / worker).write_text(f"{lab.redis_url} {pid} {Process.of(pid).born}")
    if (meeting := FOUND.parent / "meeting").exists():  # a pipe opens when both of its ends do
        with meeting.open("w" if worker == "gw0" else "r"):
            pass
"""


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files of this test's own, so that it sees no other session's labs."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-own-"))
    folder.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv("HEADRACE_TEST_LAB", raising=False)
    yield folder
    shutil.rmtree(folder)


def pytest_run(folder: Path, *words: str) -> None:
    """Another session, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", *words]
    done = subprocess.run(
        [*command, str(folder)],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def labs(temporary: Path) -> list[Path]:
    return list(temporary.glob("headrace-lab-*/"))


def test_all_workers_of_a_session_have_the_same_servers_which_end_with_it(
    tmp_path: Path, temporary: Path
) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "found").mkdir()
    os.mkfifo(tmp_path / "meeting")
    pytest_run(tmp_path, "-n", "2", "--dist", "each")
    one, other = [file.read_text() for file in (tmp_path / "found").iterdir()]
    assert one == other
    _, pid, born = one.split()
    assert not Process(int(pid), born).alive
    assert labs(temporary) == []


def test_what_a_killed_session_left_behind_is_ended_by_the_next(tmp_path: Path, temporary: Path) -> None:
    left = temporary / f"headrace-lab-{uuid.uuid4().hex}"
    left.mkdir()
    lab = Lab(left, durable=False)
    lab.up(["valkey"])
    forgotten = lab.process("valkey")
    assert forgotten is not None
    gone = subprocess.Popen(["sleep", "600"])
    user = Process.of(gone.pid)
    assert user is not None
    (left / f"user-{user.pid}-0").write_text(user.born)
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "found").mkdir()
    pytest_run(tmp_path, "-n", "1")
    assert forgotten.alive  # its session lives
    gone.kill()
    gone.wait()
    pytest_run(tmp_path, "-n", "1")
    assert not forgotten.alive
    assert labs(temporary) == []
