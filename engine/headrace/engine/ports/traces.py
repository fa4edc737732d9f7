"""The trace in which something is asked for: W3C Trace Context, as it stands in a request's headers or a message's."""

from __future__ import annotations

import re
from collections.abc import Sequence

HEADER = "traceparent"
_WELL_FORMED = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent(found: Sequence[bytes | None]) -> str | None:
    """What all headers of that name say together; None where there is not exactly one that holds."""
    if len(found) != 1 or found[0] is None:
        return None
    text = found[0].decode("latin-1")
    return text if _WELL_FORMED.fullmatch(text) else None
