"""Starts one server and goes away, so that the server is nobody's child and outlives whoever asked for it.

Run as a script of its own: reads what to start as JSON on stdin, prints the new process's id.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys


def main() -> None:
    """Start and print the id. A program that cannot be started is told on stderr, with status 1."""
    wanted = json.load(sys.stdin)
    with open(wanted["log"], "ab") as log:
        try:
            process = subprocess.Popen(
                wanted["command"],
                cwd=wanted["folder"],
                env=wanted["environment"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **wanted["account"],
            )
        except OSError as error:
            sys.exit(f"{wanted['command'][0]}: {error.strerror or error}")
    print(process.pid, flush=True)
    os._exit(0)  # not sys.exit: that would wait for nothing but would warn about the child that goes on


if __name__ == "__main__":
    main()
