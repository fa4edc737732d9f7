"""Waiting for a run to end, as long as somebody is willing to. No Litestar here."""

from __future__ import annotations

import asyncio
import re

from headrace.api.office import Office
from headrace.api.problems import Problem
from headrace.engine.core.states import RunState
from headrace.engine.ports.cache import Feed
from headrace.engine.ports.store import RunRow

LONGEST = 60.0
"""Seconds that a request waits at most."""
SOONEST, LATEST = 0.02, 0.5
"""Between looks at the store, which become rarer: a run mostly ends soon, or late."""
LATEST_TOLD = 2.0
"""Between looks while somebody tells what is committed: a word may be lost on its way."""

_WRITTEN = re.compile(r"(\d{1,4}(?:\.\d{1,3})?)(ms|s|m)?", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


def patience(text: str | None) -> float:
    """Seconds of `wait`, such as 30s or 500ms; more than a minute is a minute. Raises Problem (400)."""
    if text is None:
        return 0.0
    read = _WRITTEN.fullmatch(text)
    if read is None:
        raise Problem(
            400,
            "invalid",
            "wait is a duration such as 30s, 500ms or 1m.",
            problems=[{"field": "wait", "message": "no duration"}],
        )
    return min(float(read[1]) * _UNITS[read[2]], LONGEST)


async def until_final(office: Office, row: RunRow, seconds: float) -> RunRow:
    """The run once it is final, or as it is when the time is up. Told by the cache where it is live, else by looking."""
    if seconds <= 0 or RunState(row.state).final:
        return row
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    pause = SOONEST
    async with office.cache.follow(row.id) as feed:
        while True:
            row = await office.store.run(row.no) or row
            left = until - loop.time()
            if RunState(row.state).final or left <= 0:
                return row
            if feed.live:
                await _word_of_the_end(feed, min(pause, left))
            else:
                await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, LATEST_TOLD if feed.live else LATEST)


async def _word_of_the_end(feed: Feed, seconds: float) -> None:
    """Returns when the run is told to have ended, when something may have been missed, or when the time is up."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0:
        word = await feed.next(left)
        if word is None or RunState[word.status.state.upper()].final:
            return
