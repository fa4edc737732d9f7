"""What the lab raises for people to read."""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot do what was asked: what is wrong and, in `hint`, what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message, self.hint = message, hint
        super().__init__(message if hint is None else f"{message} {hint}")
