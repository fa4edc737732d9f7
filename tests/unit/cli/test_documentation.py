"""docs/cli.md names what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.cli.commands import COMMANDS, Command
from headrace.cli.failure import Status
from headrace.cli.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_every_command_is_on_the_page(command: Command) -> None:
    assert f"`{command.words}" in PAGE


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE.partition("## Settings")[2]


@pytest.mark.parametrize("status", list(Status))
def test_every_exit_status_is_on_the_page(status: Status) -> None:
    assert f"| {status.value} |" in PAGE.partition("## Exit statuses")[2]
