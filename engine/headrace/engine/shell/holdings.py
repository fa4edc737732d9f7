"""What an engine holds in memory: its parts, the runs of all of them, their timers, and what is owed to runs.

All parts share one set of runs, so that one line, one fleet and one set of limits act on them together. A part that is
lost or given up leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from headrace.engine.core.events import Continued, SlotsGranted, Started
from headrace.engine.core.keys import Key
from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.store import InboxRow
from headrace.engine.shell.admission import Admission
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.part import Part
from headrace.engine.shell.timers import Timers

Owed: TypeAlias = "Continued | SlotsGranted | Started"


class Holdings:
    """The parts of one engine and the runs in memory, by number."""

    def __init__(self) -> None:
        self.parts: dict[int, Part] = {}
        self.runs: dict[int, LiveRun] = {}
        self.timers = Timers()
        self.owed: dict[LiveRun, list[Owed]] = {}
        self.posts: list[tuple[LiveRun, InboxRow]] = []  # rows for the next batch of a run's part
        self.admission: Admission = Admission(self.timers, lambda live, row: self.posts.append((live, row)))

    # -- parts ---------------------------------------------------------------------------------------------------

    def adopt(self, owned: Ownership, live: Iterable[int], now: float) -> Part:
        """A part that was claimed, with the runs to load. `now`: monotonic."""
        part = self.parts[owned.part] = Part(owned, live, now)
        return part

    def drop(self, part: Part) -> list[int]:
        """Forget a part and all its runs; answers with the numbers of those that were in memory."""
        del self.parts[part.number]
        gone = list(part.runs)
        for live in part.runs.values():
            del self.runs[live.no]
            self.owed.pop(live, None)
            self.timers.forget(live.no)
            for following in self.admission.left(live):
                if following.part is not part:
                    self.owe(following, Started(0.0))
        self.posts = [(live, row) for live, row in self.posts if live.part is not part]
        part.runs = {}
        return gone

    def clear(self) -> None:
        """Forget everything."""
        self.parts.clear()
        self.runs.clear()
        self.timers.reset()
        self.admission.reset()
        self.owed.clear()
        self.posts.clear()

    @property
    def loading(self) -> bool:
        """Whether runs are still to be loaded."""
        return any(part.to_load for part in self.parts.values())

    @property
    def to_load(self) -> int:
        """Runs still to be loaded."""
        return sum(len(part.to_load) for part in self.parts.values())

    def next_to_load(self, limit: int) -> dict[int, Part]:
        """Up to `limit` runs to load now, the parts in turn, and where each belongs."""
        wanted: dict[int, Part] = {}
        loading = [part for part in self.parts.values() if part.to_load]
        while loading and len(wanted) < limit:
            share = max(1, (limit - len(wanted)) // len(loading))
            for part in loading:
                for _ in range(min(share, len(part.to_load))):
                    wanted[part.to_load.popleft()] = part
            loading = [part for part in loading if part.to_load]
        return wanted

    def inboxes_due(self) -> list[Part]:
        """The parts whose inbox is to be read, all of whose runs are loaded."""
        return [part for part in self.parts.values() if part.inbox_due and not part.to_load]

    def waits(self) -> bool:
        """Whether there is something for the next turn already."""
        return bool(self.owed or self.posts or self.loading or self.inboxes_due())

    # -- runs ----------------------------------------------------------------------------------------------------

    def add(self, live: LiveRun) -> None:
        self.runs[live.no] = live.part.runs[live.no] = live

    def remove(self, live: LiveRun) -> None:
        self.runs.pop(live.no, None)
        live.part.runs.pop(live.no, None)
        self.owed.pop(live, None)

    def owe(self, live: LiveRun, event: Owed) -> None:
        """The run gets this event in the next turn, which follows at once and gives it its time."""
        self.owed.setdefault(live, []).append(event)

    def grant(self, run: int, key: Key) -> None:
        """Slots became free for a task run of some run in memory."""
        live = self.runs.get(run)
        if live is not None:
            self.owe(live, SlotsGranted(0.0, key))

    @property
    def broken(self) -> dict[int, str]:
        """Runs that cannot be decided, and why."""
        return {run: why for part in self.parts.values() for run, why in part.broken.items()}
