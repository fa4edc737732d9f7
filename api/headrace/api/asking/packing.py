"""Plans that are their own ids: what would be done, packed into a text that whoever confirms it gives back. It is kept nowhere, so
any process can apply it, and what is applied is what was shown. It lends no rights. No Litestar here."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib

GOOD_FOR = 300.0
"""Seconds in which a plan can be confirmed."""
MOST_TEXT = 200_000
"""Characters of a packed plan."""
_UNPACKED = 4 * 1024 * 1024
_CHECK = 8


def pack(plan: bytes) -> str:
    """The id of a plan."""
    data = zlib.compress(plan, 9)
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()[:_CHECK] + data).decode().rstrip("=")


def unpack(text: str) -> bytes:
    """The plan of an id. Raises ValueError for what `pack` has not made."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        reader = zlib.decompressobj()
        plain = reader.decompress(data[_CHECK:], _UNPACKED)
    except (binascii.Error, zlib.error) as wrong:
        raise ValueError(str(wrong)) from None
    if hashlib.sha256(data[_CHECK:]).digest()[:_CHECK] != data[:_CHECK] or not reader.eof:
        raise ValueError("the text is damaged")
    return plain
