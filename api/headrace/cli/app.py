"""The command tree for cyclopts, built from the table; each command's module is imported when it is called."""

from __future__ import annotations

import sys
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from headrace.cli.commands import COMMANDS, GROUPS
from headrace.cli.failure import Status


class CommandLine:
    """Parses words and calls the command; usage errors are told on stderr and give status 2."""

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, words: list[str]) -> Any:
        try:
            return self.app(words, exit_on_error=False, print_error=False, result_action="return_value")
        except CycloptsError as error:
            print(f"headrace: {_plain(error)}", file=sys.stderr)
            print(f"  headrace {self._command(words)}--help tells what it takes.", file=sys.stderr)
            return Status.USAGE

    @staticmethod
    def _command(words: list[str]) -> str:
        """The longest beginning of `words` that names a command, with a blank behind it."""
        known = {c.words for c in COMMANDS} | set(GROUPS) | {a for c in COMMANDS for a in c.alias}
        for end in (2, 1):
            if (name := " ".join(words[:end])) in known:
                return name + " "
        return ""


def build() -> CommandLine:
    """The whole tree. Costs one import of cyclopts and none of the commands."""
    app = App(
        name="headrace",
        version_flags=(),
        help_format="plaintext",
        default_parameter=Parameter(negative=(), show_env_var=False),
    )
    groups = {name: App(name=name, help=text, version_flags=()) for name, text in GROUPS.items()}
    for command in COMMANDS:
        first, _, second = command.words.partition(" ")
        parent = groups[first] if second else app
        parent.command(
            f"headrace.cli.{command.target}", name=second or first, alias=command.alias, help=command.help
        )
    for group in groups.values():
        app.command(group)
    return CommandLine(app)


def _plain(error: CycloptsError) -> str:
    """The parser's message in one line."""
    return " ".join(str(error).split())
