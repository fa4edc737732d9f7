"""CRC-32 of what is stored, and the check of what is read.

A checksum finds a damaged disk or a careless hand, not an attacker. It covers payloads (JSON that users' tasks gave or got);
a damaged one concerns a single run and is reported as such.
"""

from __future__ import annotations

from zlib import crc32

from headrace.engine.ports.store import RowDamaged


def checksum(*payload: bytes | None) -> int | None:
    """The checksum of the parts of a payload one after the other; None when there is none at all."""
    value, found = 0, False
    for part in payload:
        if part is not None:
            value, found = crc32(part, value), True
    return value if found else None


def verify(run: int, what: str, stored: int | None, *payload: bytes | None) -> None:
    """Raise RowDamaged when `payload` is not what `stored` was made of."""
    if checksum(*payload) != stored:
        raise RowDamaged(run, what)
