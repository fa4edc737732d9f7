"""Where secrets are found, and that they leave the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.ports.messages import Dispatch, Hole, Job, Limits
from headrace.runners.attempt import Outcome
from headrace.runners.filling import fill
from headrace.runners.secrets import (
    EnvironmentSecrets,
    FolderSecrets,
    SecretNotFound,
    Secrets,
    task_environment,
)


async def test_the_environment_gives_and_loses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SECRET_TEST_ONE", "v1")
    secrets = Secrets([EnvironmentSecrets()])
    assert await secrets.get("test_one") == "v1"
    assert "HEADRACE_SECRET_TEST_ONE" not in os.environ
    assert await Secrets([EnvironmentSecrets()]).get("test_one") == "v1", (
        "a second worker of the process has it too"
    )


async def test_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"a\nb\r\n")
    (tmp_path / "folder").mkdir()
    (tmp_path.parent / "outside").write_text("no")
    source = FolderSecrets(tmp_path)
    assert await source.get("token") == "a\nb"
    for name in ("missing", "folder", "../outside", "", "a\0b", "token/x"):
        assert await source.get(name) is None


async def test_sources_are_asked_in_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("file")
    (tmp_path / "b").write_text("file")
    secrets = Secrets([EnvironmentSecrets({"HEADRACE_SECRET_A": "env"}), FolderSecrets(tmp_path)])
    assert [await secrets.get("a"), await secrets.get("b")] == ["env", "file"]
    with pytest.raises(SecretNotFound, match="HEADRACE_SECRET_C"):
        await secrets.get("c")


def test_a_tasks_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "canary")
    monkeypatch.setenv("Headrace_token", "canary")
    monkeypatch.setenv("PATH_LIKE", "kept")
    seen = task_environment()
    assert "canary" not in seen.values()
    assert seen["PATH_LIKE"] == "kept"


def dispatch(inputs: dict[str, Any], *holes: Hole) -> Dispatch:
    return Dispatch(1, "r", 0, 0, 0, 1, 1, 1, Job("w", "t", "python", {}, Limits()), inputs, list(holes))


async def test_holes_are_filled_in_a_copy() -> None:
    secrets = Secrets([EnvironmentSecrets({"HEADRACE_SECRET_S": "s3cret"})])
    shared = {"with": {"a": [{"b": None}, {"c": 1}], "d": None}, "env": {"E": None}}
    holes = [
        Hole(["with", "a", 0, "b"], [{"secret": "s"}]),
        Hole(["with", "d"], ["x ", {"secret": "s"}, " y"]),
        Hole(["env", "E"], [{"secret": "s"}]),
    ]
    filled = await fill(dispatch(shared, *holes), secrets, None)
    assert not isinstance(filled, Outcome)
    inputs, redactor = filled
    assert inputs == {"with": {"a": [{"b": "s3cret"}, {"c": 1}], "d": "x s3cret y"}, "env": {"E": "s3cret"}}
    assert shared == {"with": {"a": [{"b": None}, {"c": 1}], "d": None}, "env": {"E": None}}
    assert redactor is not None
    assert redactor.text("s3cret") == "***"


async def test_a_missing_secret_fails_for_good() -> None:
    outcome = await fill(
        dispatch({"with": {"a": None}}, Hole(["with", "a"], [{"secret": "s"}])), Secrets([]), None
    )
    assert isinstance(outcome, Outcome)
    assert outcome.error is not None
    assert (outcome.kind, outcome.error.reason, outcome.error.retryable) == (
        "failed",
        "secret_not_found",
        False,
    )


async def test_what_logins_are_signed_with_is_no_secret_of_a_task() -> None:
    ours = {f"HEADRACE_SECRET{name}": "key" for name in ("", "_FILE", "_PREVIOUS", "_PREVIOUS_FILE")}
    environ = {**ours, "HEADRACE_SECRET_MINE": "mine"}
    secrets = Secrets([EnvironmentSecrets(environ)])
    assert await secrets.values() == ("mine",)
    assert environ == ours
    for name in ("file", "previous", "previous_file"):
        with pytest.raises(SecretNotFound):
            await secrets.get(name)
