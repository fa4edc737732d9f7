"""Which dead letters are of one kind: a hash of the workflow, the task, the kind of error and its message without what varies.

The same fault of a thousand items has a thousand messages that differ by a number, an id or a path. What varies in
them is replaced before hashing, so that one group holds them all. A change of these rules starts new groups and breaks nothing.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import Any

SIZE = 8  # bytes: 16 hexadecimal digits to read and to type
LONGEST = 2000  # of a message, characters

_VARIES = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
    (re.compile(r"\s+"), " "),
)


def normalised(message: str) -> str:
    """The message with ids, times, hexadecimal and other numbers replaced."""
    text = message[:LONGEST]
    for pattern, replaced in _VARIES:
        text = pattern.sub(replaced, text)
    return text.strip()


def fingerprint(workflow: str, task: str, error: bytes) -> str:
    """The fingerprint of an error, a JSON object with `kind` and `message`. An error that cannot be read has one of its own."""
    try:
        found: Any = json.loads(error)
        kind, message = str(found.get("kind")), str(found.get("message"))
    except (ValueError, AttributeError):
        kind, message = "", error.decode(errors="replace")
    digest = blake2b(digest_size=SIZE)
    for part in (workflow, task, kind, normalised(message)):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
