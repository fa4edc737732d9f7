"""The installed command, as a user has it: see `tests.acceptance.terminal`."""

from tests.acceptance.terminal import Done, Terminal

__all__ = ["Done", "Terminal"]
