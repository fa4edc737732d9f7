"""What a process that serves says while it runs, beside its first and last words: lines with a time, on stderr."""

from __future__ import annotations

import logging


def keep() -> None:
    """Show what Headrace logs, from INFO on; what other libraries and users' code log stays theirs."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    ours = logging.getLogger("headrace")
    ours.setLevel(logging.INFO)
    ours.addHandler(handler)
    ours.propagate = False
