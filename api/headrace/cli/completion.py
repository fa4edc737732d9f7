"""`headrace completion`: commands and options completed in bash, zsh and fish."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from headrace.cli.failure import Stop
from headrace.cli.output import say

Shell = Literal["bash", "zsh", "fish"]


def completion(
    shell: Shell | None = None,
    *,
    install: Annotated[bool, Parameter(help="Put it where your shell looks.")] = False,
) -> int:
    """Complete commands in your shell.

    Parameters
    ----------
    shell
        bash, zsh or fish; the one in $SHELL when left out.
    """
    from headrace.cli.app import build

    chosen = shell or _current()
    app = build().app
    if install:
        path = app.install_completion(shell=chosen)
        say(f"Wrote {path}. Open a new shell to use it.")
    else:
        print(app.generate_completion(shell=chosen))
    return 0


def _current() -> Shell:
    known: dict[str, Shell] = {"bash": "bash", "zsh": "zsh", "fish": "fish"}
    name = Path(os.environ.get("SHELL", "")).name
    if name not in known:
        raise Stop("which shell?", hint="headrace completion bash (or zsh, fish)")
    return known[name]
