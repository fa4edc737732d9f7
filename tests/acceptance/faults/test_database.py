"""The SQLite file: locked, taken away, on a network, flushed, damaged."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from headrace.engine.store.files import file_system, refuse_network
from headrace.engine.store.lane import PRAGMAS, Lane
from tests.acceptance.faults.documents import flow
from tests.acceptance.terminal import Terminal, appears, refused

WAITS = flow("  a: {shell: 'touch started; until test -e go; do sleep 0.02; done'}\n"
             "  b: {noop: {}, depends_on: a}\n")  # fmt: skip
SIMPLE = flow(
    "  a: {python: 'bodies:big'}\n  b: {noop: {}, depends_on: a}\noutput: '${{ tasks.a.output }}'\n"
)
BODIES = "def big():\n    return 'needle' + 'x' * 1000\n"


def test_a_second_engine_on_the_same_home_is_refused(headrace: Terminal) -> None:
    """faults 43: one writer decides; the message names the process and the ways out. Looking stays possible."""
    headrace.write("w.yaml", WAITS)
    with headrace.watching("w.yaml") as live:
        appears(headrace.folder / "started", live)
        second = headrace("run", "w.yaml")
        refused(
            second,
            f"in use by another engine (process {live.process.pid})",
            "HEADRACE_HOME",
            "PostgreSQL",
            status=3,
        )
        assert [run["state"] for run in headrace.runs()] == ["running"], "nothing of the second is stored"
        (headrace.folder / "go").touch()
        assert live.status == 0
    assert headrace("run", "w.yaml").status == 0, "the lock ends with its process"


def test_a_file_locked_by_another_program(headrace: Terminal) -> None:
    """faults 43: a transaction that somebody left open."""
    headrace.write("w.yaml", flow("  a: {noop: {}}\n"))
    assert headrace("run", "w.yaml").status == 0
    with closing(sqlite3.connect(headrace.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert headrace("runs", "show", "last").status == 0, "readers are not held up"
        refused(headrace("run", "w.yaml"), "is locked by another process", "End it", status=3)
    assert headrace("run", "w.yaml").status == 0
    assert len(headrace.runs()) == 2


@pytest.mark.parametrize("name", ["headrace.db", "headrace.db-wal"])
def test_a_file_deleted_below_a_run_stops_it(name: str, headrace: Terminal) -> None:
    """faults 43: no silent fallback to a file that is not there any longer."""
    headrace.write("w.yaml", WAITS)
    with headrace.watching("w.yaml") as live:
        appears(headrace.folder / "started", live)
        (headrace.home / name).unlink()
        (headrace.folder / "go").touch()
        assert live.status == 3, live.err
        assert f"{name} was deleted or replaced while it was in use" in live.err
        assert "restore a copy" in live.err
        assert "Traceback" not in live.err


def test_a_deleted_log_of_a_killed_run_loses_no_more_than_it_held(headrace: Terminal) -> None:
    """faults 43: the write-ahead log of a killed process is read; without it the file is what was last folded in, sound."""
    headrace.write("w.yaml", flow("  a: {noop: {}}\n"))
    assert headrace("run", "w.yaml").status == 0
    headrace.write("slow.yaml", WAITS)
    with headrace.watching("slow.yaml") as live:
        appears(headrace.folder / "started", live)
        live.kill()
    for suffix in ("-wal", "-shm"):
        Path(f"{headrace.database}{suffix}").unlink()
    assert [run["workflow"] for run in headrace.runs()] == ["w"]
    assert headrace("replay", "last").status == 0
    assert headrace("run", "w.yaml").status == 0


MOUNTS = """\
/dev/vda1 / ext4 rw,relatime 0 0
tmpfs /tmp tmpfs rw 0 0
nas:/export/home /home nfs4 rw,vers=4.2,hard 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
/dev/vdb /home/ann/local xfs rw 0 0
me@host:/srv /mnt/remote fuse.sshfs rw,nosuid 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind", "network"),
    [
        ("/srv/flows", "ext4", False),
        ("/home/ann/flows", "nfs4", True),
        ("/home/ann/local/flows", "xfs", False),
        ("/mnt/my share/flows", "cifs", True),
        ("/mnt/remote", "fuse.sshfs", True),
        ("/homestead", "ext4", False),
        ("/tmp/x", "tmpfs", False),
    ],
)
def test_a_network_file_system_is_told_by_the_mount_table(
    folder: str, kind: str, network: bool, tmp_path: Path
) -> None:
    """faults 43: locks that do not hold between machines are not relied on. On samples: none is mounted here."""
    from headrace.engine.ports.store import StoreUnavailable

    assert file_system(MOUNTS, folder) == kind
    table = tmp_path / "mounts"
    table.write_text(MOUNTS)
    if network:
        with pytest.raises(StoreUnavailable, match=rf"network file system \({kind}\).*HEADRACE_HOME"):
            refuse_network(Path(folder, "headrace.db"), table)
    else:
        refuse_network(Path(folder, "headrace.db"), table)


def test_the_pragmas_are_what_is_promised(headrace: Terminal) -> None:
    """faults 44: read back from a connection as the store opens it, on the file that a run has made."""
    headrace.write("w.yaml", flow("  a: {noop: {}}\n"))
    assert headrace("run", "w.yaml").status == 0
    lane = Lane(str(headrace.database))
    try:
        assert (lane.pragma("journal_mode"), lane.pragma("synchronous")) == ("wal", 2)
        assert {name: lane.pragma(name) for name in PRAGMAS} == dict(PRAGMAS)
    finally:
        lane.close()


STRACE = shutil.which("strace")


@pytest.mark.skipif(STRACE is None and "CI" not in os.environ, reason="strace is not installed")
def test_a_state_is_flushed_before_it_is_told(headrace: Terminal) -> None:
    """faults 44: power loss. From outside: of a chain of shell tasks, between a task's end being told on stdout and the one
    before, the file was flushed at least once; so nothing that was told is lost."""
    assert STRACE is not None
    tasks = "".join(f"  t{i}: {{shell: 'true'{f', depends_on: t{i - 1}' if i else ''}}}\n" for i in range(5))
    headrace.write("w.yaml", flow(tasks))
    trace = headrace.folder / "trace"
    command = headrace.command("run", "w.yaml", "--json", "--watch")
    done = subprocess.run(
        [STRACE, "-f", "-y", "-s", "4096", "-e", "trace=fsync,fdatasync,write", "-o", str(trace), *command],
        cwd=headrace.folder,
        env=headrace.environment(),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    flushed, told = 0, []
    for line in trace.read_text(errors="replace").splitlines():
        if re.search(r"f(data)?sync\(\d+<[^>]*headrace\.db(-wal)?>", line):
            flushed += 1
        elif match := re.search(r'write\(1<.*\\"task\\":\\"(t\d)\\".*\\"after\\":\\"succeeded\\"', line):
            told.append((match.group(1), flushed))
    assert [task for task, _ in told] == ["t0", "t1", "t2", "t3", "t4"]
    counts = [count for _, count in told]
    assert counts[0] >= 1
    assert all(later > earlier for earlier, later in pairwise(counts)), counts


DAMAGES = {
    "task_runs": "output",
    "runs": "params",
    "history": "body",
}


@pytest.mark.parametrize("table", DAMAGES)
def test_a_flipped_byte_concerns_its_run_alone(table: str, headrace: Terminal) -> None:
    """faults 45: the damaged run is told by its id, the others are shown, replayed, rerun as if nothing were."""
    headrace.write("bodies.py", BODIES)
    headrace.write("w.yaml", SIMPLE)
    one = headrace("run", "w.yaml", "--json").document["run"]
    two = headrace("run", "w.yaml", "--json").document["run"]
    flip(headrace.database, table, DAMAGES[table], one)

    damaged = headrace("replay", one)
    assert damaged.status == 3, damaged.err
    assert "Traceback" not in damaged.err
    assert one[:13] in damaged.err or "run 1" in damaged.err
    assert "damaged" in damaged.err or "checksum" in damaged.err

    assert headrace("runs", "show", two, "--json").document["output"].startswith("needle")
    assert headrace("replay", two).status == 0
    assert headrace("runs", "rerun", two, "--from", "b", "--json").status == 0
    assert headrace("run", "w.yaml").status == 0


def test_a_live_damaged_run_stops_no_other(headrace: Terminal) -> None:
    """faults 45: of two runs that were cut off, the damaged one is told and the other one ends."""
    headrace.write("bodies.py", BODIES)
    headrace.write(
        "w.yaml",
        flow(
            "  a: {python: 'bodies:big'}\n"
            "  b: {shell: 'touch started; until test -e go; do sleep 0.02; done', depends_on: a}\n"
            "  c: {shell: 'test -n \"$X\"', env: {X: '${{ tasks.a.output }}'}, depends_on: b}\n"
        ),
    )
    cut_off = []
    for _ in range(2):
        with headrace.watching("w.yaml") as live:
            appears(headrace.folder / "started", live)
            live.kill()
        (headrace.folder / "started").unlink()
        cut_off.append(headrace.runs()[0]["run"])
    (headrace.folder / "go").touch()
    flip(headrace.database, "task_runs", "output", cut_off[0])
    done = headrace("run", "--resume", timeout=50)
    assert "Traceback" not in done.err, done.err
    assert done.status != 0
    assert "damaged" in done.err
    states = {run["run"]: run["state"] for run in headrace.runs()}
    assert states[cut_off[1]] == "succeeded"
    assert states[cut_off[0]] != "succeeded"


def flip(database: Path, table: str, column: str, run: str) -> None:
    """Change one byte of a stored payload behind the store's back."""
    key = "no" if table == "runs" else "run"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        known = connection.execute("SELECT no, id FROM runs").fetchall()
        (number,) = [
            no
            for no, id in known
            if run.replace("-", "") in (id if isinstance(id, str) else id.hex()).replace("-", "")
        ]
        rows = connection.execute(
            f"SELECT rowid, {column} FROM {table} WHERE {key} = ? AND {column} IS NOT NULL", (number,)
        ).fetchall()
        assert rows, "there is something to damage"
        place, payload = rows[0]
        middle = len(payload) // 2
        changed = payload[:middle] + bytes([payload[middle] ^ 1]) + payload[middle + 1 :]
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, place))
