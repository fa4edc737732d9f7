"""Who may see values: parameters, inputs and outputs are for operators and above, and no answer holds a secret. No Litestar
here.

A viewer gets null in their place, and `redacted: true` beside it, so that nothing is mistaken for a value that is null.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from headrace.engine.ports.access import Role
from headrace.runners.redaction import Redactor


class Veil:
    """What one asker sees of values.

    Args:
        role: the asker's, in the project of the values.
        secrets: values that no answer may hold, whoever asks.
    """

    def __init__(self, role: Role, secrets: tuple[str, ...] = ()) -> None:
        self.redacted = role < Role.OPERATOR
        self._redactor = _redactor(secrets)

    def value(self, data: bytes | None) -> Any:
        """The value of a JSON text; None where it is not to be seen."""
        return None if data is None or self.redacted else msgspec.json.decode(self.text(data))

    def text(self, data: bytes) -> bytes:
        """A JSON text that the asker may see, without secrets. What is not JSON comes from nobody but us."""
        return self._redactor.output(data)


@lru_cache(maxsize=4)
def _redactor(secrets: tuple[str, ...]) -> Redactor:
    return Redactor(secrets)


OPEN = Veil(Role.ADMIN)
"""Whoever reads the database sees everything."""
