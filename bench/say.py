"""How measures are written: one JSON object a line."""

from __future__ import annotations

import json


def say(**fields: object) -> None:
    """One line on stdout; numbers to three digits after the point."""
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in fields.items()}
    print(json.dumps(rounded), flush=True)
