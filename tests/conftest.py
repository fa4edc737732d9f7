"""What holds for every test: a slow moment of the machine is no fault of the code, so no example has a deadline in seconds."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("headrace", deadline=None)
settings.load_profile("headrace")
