"""Names of workers: stable, and never two alive with one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.runners.identity import NameTaken, claim


def test_a_name_is_the_same_after_a_restart(tmp_path: Path) -> None:
    first = claim(tmp_path)
    name, folder = first.id, first.folder
    assert folder == tmp_path / "worker" / name
    first.release()
    again = claim(tmp_path)
    assert (again.id, again.folder) == (name, folder)
    again.release()


def test_a_second_worker_of_a_home_has_a_second_name_and_homes_differ(tmp_path: Path) -> None:
    first, second, other = claim(tmp_path), claim(tmp_path), claim(tmp_path / "elsewhere")
    assert second.id == f"{first.id}.2"
    assert other.id not in (first.id, second.id)
    first.release()
    third = claim(tmp_path)
    assert third.id == first.id, "the first name is free again"
    for each in (second, other, third):
        each.release()


def test_a_name_that_is_alive_cannot_be_taken(tmp_path: Path) -> None:
    first = claim(tmp_path, "gpu-1")
    with pytest.raises(NameTaken, match=f"gpu-1 lives in {tmp_path}"):
        claim(tmp_path, "gpu-1")
    first.release()
    claim(tmp_path, "gpu-1").release()


def test_a_name_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    code = f"from headrace.runners.identity import claim; from pathlib import Path; x = claim(Path({str(tmp_path)!r}), 'w'); import os; os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    claim(tmp_path, "w").release()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "ü", "x" * 101])
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        claim(tmp_path, name)
