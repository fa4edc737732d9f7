"""The command tree for cyclopts, built from the table; each command's module is imported when it is called."""

from __future__ import annotations

import sys
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from headrace.cli.commands import COMMANDS, GROUPS
from headrace.cli.failure import Status, Stop
from headrace.cli.output import printable
from headrace.engine.core.problems import did_you_mean


class CommandLine:
    """Parses words and calls the command; usage errors are told on stderr and give status 2."""

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, words: list[str]) -> Any:
        _known(words)
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
        default_parameter=Parameter(negative=(), show_env_var=False, show_default=False),
    )
    groups = {
        name: App(name=name, help=text.rstrip(":") + ".", version_flags=()) for name, text in GROUPS.items()
    }
    for command in COMMANDS:
        first, _, second = command.words.partition(" ")
        parent = groups[first] if second else app
        parent.command(
            f"headrace.cli.{command.target}", name=second or first, alias=command.alias, help=command.help
        )
    for group in groups.values():
        app.command(group)
    return CommandLine(app)


def _known(words: list[str]) -> None:
    """Refuse a command that does not exist, with the nearest, before any module is imported. Raises Stop."""
    firsts = {c.words.partition(" ")[0] for c in COMMANDS} | {alias for c in COMMANDS for alias in c.alias}
    if not words or words[0].startswith("-"):
        return
    if words[0] not in firsts:
        raise Stop(
            f'there is no command "{printable(words[0])}".',
            hint=did_you_mean(words[0], firsts) or "headrace --help lists them.",
        )
    if words[0] in GROUPS and len(words) > 1 and not words[1].startswith("-"):
        seconds = [c.words.partition(" ")[2] for c in COMMANDS if c.words.startswith(words[0] + " ")]
        if words[1] not in seconds:
            raise Stop(
                f'there is no command "{words[0]} {printable(words[1])}".',
                hint=did_you_mean(words[1], seconds) or f"There are: {', '.join(seconds)}.",
            )


def _plain(error: CycloptsError) -> str:
    """The parser's message in one line."""
    return " ".join(str(error).split())
