"""Every test of the API runs on real parts."""

from __future__ import annotations

from tests.support.api import api, live_api
from tests.support.servers import breakable_lab, lab

__all__ = ["api", "breakable_lab", "lab", "live_api"]
