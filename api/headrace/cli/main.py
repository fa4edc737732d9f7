"""The `headrace` command: overview and version at once, everything else through the table of commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (see `headrace.cli.failure.Status`)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 gets "?", never a traceback
    try:
        if not words or words in (["--help"], ["-h"], ["help"]):
            from headrace.cli.commands import overview

            print(overview(bold=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
            return 0
        if words == ["--version"]:
            words = ["version"]
        return _dispatch(words)
    except BrokenPipeError:
        # The reader went away (`headrace logs last | head`). Nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:
        from headrace.cli.failure import report

        return report(error, words)
    except KeyboardInterrupt:
        return 130


def _dispatch(words: list[str]) -> int:
    from headrace.cli.app import build

    status = build()(words)
    sys.stdout.flush()
    return int(status or 0)


if __name__ == "__main__":
    sys.exit(main())
