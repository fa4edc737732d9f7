"""Artifacts and logs in folders (faults 60, 71, 73)."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.artifacts import FileArtifacts, FileLogs
from headrace.engine.core.evaluation import Artifact
from headrace.engine.ports.artifacts import ArtifactMissing
from headrace.engine.ports.messages import Log


def line(text: str, run: str = "r", task: str = "t", at: float = 0.0, **more: Any) -> Log:
    return Log(
        run, task, more.get("map", 0), more.get("generation", 0), more.get("attempt", 1), at, "stdout", text
    )


@pytest.mark.parametrize("size", [0, 1, 300_000, 20_000_000])
async def test_artifacts_come_back_as_they_were(tmp_path: Path, size: int) -> None:
    artifacts = FileArtifacts(tmp_path / "a")
    data = os.urandom(size)
    first, second = await artifacts.put(data), await artifacts.put(data)
    assert first == second
    assert first.size == size
    assert await artifacts.get(first) == data
    assert len([path for path in (tmp_path / "a").rglob("*") if path.is_file()]) == 1, (
        "stored once, nothing left over"
    )


async def test_the_same_bytes_put_by_many_at_once(tmp_path: Path) -> None:
    stores = [FileArtifacts(tmp_path) for _ in range(4)]
    data = b"x" * 100_000
    made = await asyncio.gather(*(store.put(data) for store in stores for _ in range(5)))
    assert len(set(made)) == 1
    assert await stores[0].get(made[0]) == data


async def test_a_damaged_or_missing_artifact_is_told(tmp_path: Path) -> None:
    artifacts = FileArtifacts(tmp_path)
    stored = await artifacts.put(b"some bytes")
    file = tmp_path / stored.uri
    file.write_bytes(b"same bytes")
    with pytest.raises(ArtifactMissing, match="damaged"):
        await artifacts.get(stored)
    file.unlink()
    with pytest.raises(ArtifactMissing, match="no artifact"):
        await artifacts.get(stored)
    await artifacts.put(b"some bytes")
    assert await artifacts.get(stored) == b"some bytes"


@pytest.mark.parametrize("digest", ["../../etc/passwd", "A" * 64, "a" * 63, "", "/etc/passwd"])
async def test_an_artifacts_name_is_never_taken_from_outside(tmp_path: Path, digest: str) -> None:
    with pytest.raises(ArtifactMissing, match="no SHA-256"):
        await FileArtifacts(tmp_path).get(Artifact("../../etc/passwd", digest, 1))


SYNCED = """
import asyncio, sys
from headrace.engine.artifacts import FileArtifacts
async def main():
    await FileArtifacts(sys.argv[1]).put(b"x" * 1000)
    sys.stdout.write("REPORTED"); sys.stdout.flush()
asyncio.run(main())
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_an_artifact_is_on_the_disk_before_it_counts(tmp_path: Path) -> None:
    """faults 44: the file and the folders that name it are synced before `put` returns."""
    trace = tmp_path / "trace"
    traced = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,write,rename", "-o", str(trace)]
    argv = [*traced, sys.executable, "-c", SYNCED, str(tmp_path / "a")]
    if subprocess.run(argv, capture_output=True, timeout=100).returncode:
        pytest.skip("processes cannot be traced here")
    lines = trace.read_text().splitlines()
    reported = next(index for index, text in enumerate(lines) if "REPORTED" in text)
    synced = [text for text in lines[:reported] if "fsync(" in text]
    for part in ("/a>", "/a/sha256>", "/a/sha256/"):
        assert any(part in text for text in synced), f"{part} is not synced"
    assert sum("/a/sha256/" in text for text in synced) >= 2, "the file and its folder"


async def test_lines_are_kept_in_order_whatever_they_hold(tmp_path: Path) -> None:
    logs = FileLogs(tmp_path)
    texts = ["plain", "", "a\nb\r\nc", "\x1b[31mred", "\u2028é𝄞\0", '["forged"]', "\ud800 alone"]
    for text in texts:
        logs.write([line(text)])
    got = [each.text for each in await logs.read("r", "t", 0, 0, 1)]
    assert got == [*texts[:-1], "\\ud800 alone"]
    assert [each.text for each in await logs.read("r", "t", 0, 0, 1, after=5)] == got[5:]
    assert (await logs.read("r", "t", 0, 0, 1))[0] == line("plain")
    logs.close()
    logs.write([line("after closing")])
    assert (await logs.read("r", "t", 0, 0, 1))[-1].text == "after closing"
    logs.close()


HOSTILE = ["../../../etc/passwd", "..", ".", "", "/", "a/b", "a\\b", "\0", "nul\0", "~", "%2e%2e", "é", "é\u0301", "x" * 3000, "x" * 2999, "CON", ".hidden", "-rf", "a\nb", "\u202eabc"]  # fmt: skip


async def test_every_name_has_a_file_of_its_own_below_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    logs = FileLogs(folder)
    logs.write([line("lost", task="\ud800"), line("lost", run="\ud800")])
    for number, name in enumerate(HOSTILE):
        logs.write([line(f"task {number}", task=name)])
        logs.write([line(f"run {number}", run=name)])
    for number, name in enumerate(HOSTILE):
        assert [each.text for each in await logs.read("r", name, 0, 0, 1)] == [f"task {number}"]
        assert [each.text for each in await logs.read(name, "t", 0, 0, 1)] == [f"run {number}"]
    logs.close()
    assert set(os.listdir(tmp_path)) == {"logs"}
    assert all(path.stat().st_size for path in folder.glob("*/*/*.jsonl"))


async def test_links_and_folders_read_as_nothing(tmp_path: Path) -> None:
    logs = FileLogs(tmp_path / "logs")
    logs.write([line("x")])
    logs.flush()
    secret = tmp_path / "secret.jsonl"
    secret.write_text('["r","t",0,0,1]\n[0.0,"stdout","leaked"]\n')
    place = tmp_path / "logs" / "r"
    (place / "t" / "0.0.2.jsonl").symlink_to(secret)
    (place / "t" / "0.0.3.jsonl").mkdir()
    os.mkfifo(place / "t" / "0.0.4.jsonl")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "t").mkdir(parents=True)
    shutil.copy(secret, elsewhere / "t" / "0.0.1.jsonl")
    (place / "linked").symlink_to(elsewhere / "t")
    (tmp_path / "logs" / "linked").symlink_to(elsewhere)
    for attempt in (2, 3, 4):
        assert await logs.read("r", "t", 0, 0, attempt) == []
    assert await logs.read("r", "linked", 0, 0, 1) == []
    assert await logs.read("linked", "t", 0, 0, 1) == []
    assert await logs.read("nobody", "t", 0, 0, 1) == []
    logs.close()


async def test_a_log_is_cut_when_it_becomes_too_long(tmp_path: Path) -> None:
    logs = FileLogs(tmp_path, largest_log=10_000)
    for number in range(50):
        logs.write([line(f"{number} " + "x" * 1000)])
    logs.write([line("other", task="other")])
    kept = await logs.read("r", "t", 0, 0, 1)
    assert 5 < len(kept) < 12
    assert kept[-1].text == "The log is cut here: it has become too long."
    assert (await logs.read("r", "other", 0, 0, 1))[0].text == "other"
    logs.close()


async def test_following_gives_what_is_there_and_then_what_comes(tmp_path: Path) -> None:
    logs, elsewhere = FileLogs(tmp_path), FileLogs(tmp_path)
    logs.write([line("first", at=1.0), line("third", at=3.0)])
    logs.write([line("second", task="u", at=2.0)])
    logs.write([line("not mine", run="other")])
    logs.flush()
    heard: asyncio.Queue[Log] = asyncio.Queue()

    async def follow() -> None:
        async for each in logs.follow("r"):
            heard.put_nowait(each)

    following = asyncio.ensure_future(follow())
    async with asyncio.timeout(20):
        assert [(await heard.get()).text for _ in range(3)] == ["first", "second", "third"]
        logs.write([line("here", attempt=2)])
        assert await heard.get() == line("here", attempt=2)
        elsewhere.write([line("by another process", task="v")])
        assert (await heard.get()).text == "by another process"
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert heard.empty()
    logs.close()
    elsewhere.close()


async def test_more_attempts_than_open_files(tmp_path: Path) -> None:
    logs = FileLogs(tmp_path)
    for turn in range(2):
        for number in range(300):
            logs.write([line(f"{turn}", task=f"t{number}")])
    for number in (0, 150, 299):
        assert [each.text for each in await logs.read("r", f"t{number}", 0, 0, 1)] == ["0", "1"]
    logs.close()
    logs.remove("r")
    assert os.listdir(tmp_path) == []


async def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.write_text("a file where the folder should be")
    logs = FileLogs(folder)
    logs.write([line("lost")])
    logs.flush()
    folder.unlink()
    logs.write([line("kept")])
    assert [each.text for each in await logs.read("r", "t", 0, 0, 1)] == ["kept"]
    logs.close()
