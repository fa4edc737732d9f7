"""The table of commands agrees with the code, and costs nothing to show."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

from headrace.cli.commands import COMMANDS, GROUPS, Command, overview
from headrace.cli.main import main


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_each_command_exists_and_its_docstring_begins_with_its_help(command: Command) -> None:
    module, _, function = command.target.partition(":")
    found = getattr(importlib.import_module(f"headrace.cli.{module}"), function)
    first = (inspect.getdoc(found) or "").splitlines()[0]
    assert first == command.help


def test_every_group_has_commands_and_every_command_of_two_words_a_group() -> None:
    used = {command.words.partition(" ")[0] for command in COMMANDS if " " in command.words}
    assert used == set(GROUPS)


def test_the_overview_names_every_command() -> None:
    words = set(overview().replace(",", " ").split())
    for command in COMMANDS:
        assert set(command.words.split()) <= words


def test_the_overview_imports_nothing_heavy() -> None:
    program = (
        "import sys; from headrace.cli.main import main; main(['--help']); "
        "print([m for m in ('cyclopts', 'rich', 'pydantic', 'networkx', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vresion"], 'there is no command "vresion".\n  Did you mean "version"?'),
        (["runs", "lits"], 'there is no command "runs lits".\n  Did you mean "list"?'),
        (["graph"], "parameter FILE requires an argument"),
        (["config", "show", "--hme", "x"], "Did you mean --home?"),
        (["runs", "list", "--limit", "many"], "many"),
    ],
)
def test_usage_errors_are_said_in_one_message_with_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("headrace: ")
    assert message in said.err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_each_command_has_a_help_page(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.words.split(), "--help"]) == 0
    assert f"Usage: headrace {command.words}" in capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m headrace.cli.main schema | head -c 10 > /dev/null",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fault_of_ours_is_told_as_one_with_status_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(words: list[str]) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("headrace.cli.main._dispatch", broken)
    assert main(["version"]) == 70
    said = capsys.readouterr().err
    assert "a fault of Headrace, not of your workflow: ZeroDivisionError" in said
    assert "headrace version" in said
