"""The audit's line for what somebody does at this machine, in the words of the API's own lines."""

from __future__ import annotations

import json as codec
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.cli.here import me
from headrace.engine.ports.acts import Act

if TYPE_CHECKING:
    from headrace.cli.settings import Settings


def act(settings: Settings, action: str, object: str, detail: Mapping[str, Any] | None = None) -> Act:
    """`detail`: what was asked for, without values of parameters, inputs, outputs or secrets."""
    text = codec.dumps(dict(detail or {}), sort_keys=True).encode()
    return Act(settings.project, time.time(), f"local:{me()}", None, action, object, text)
