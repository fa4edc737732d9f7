"""A run in time: when each task run could have begun, and its attempts. No Litestar here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headrace.api.shapes.tasks import TimelineEntry, timeline_entry
from headrace.engine.core.keys import Key, prefix

if TYPE_CHECKING:
    from headrace.api.showing.attempts import Attempts
    from headrace.api.showing.snapshots import Snapshot


def timeline(snapshot: Snapshot, attempts: Attempts, places: Sequence[int]) -> Iterator[TimelineEntry]:
    """The task runs at those places in time."""
    layout = snapshot.layout
    ends = _Ends(snapshot)
    for at in places:
        key = Key(layout.nodes[at], layout.paths[at])
        tried = attempts.of(key)
        view = layout.view(at)
        here = [one.dispatched_at for one in tried if one.generation == view.generation]
        began = here[0] if here else view.started_at
        yield timeline_entry(view, None if began is None else ends.before(key, began), tried)


class _Ends:
    """When the upstreams of a task run ended. Tasks that wait for the same ones share the answer."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._known: dict[tuple[bytes, int], list[float]] = {}

    def before(self, key: Key, began: float) -> float | None:
        """The last end that the task run, which began then, has waited for; the run's own start where it waits for nothing."""
        run = self._snapshot.run
        sources = self._snapshot.plan.upstream(key.task)
        known = self._known.get((sources.tobytes(), key.map))
        if known is None:
            known = self._known[(sources.tobytes(), key.map)] = sorted(self._of(sources, key.map))
        place = bisect_right(known, began)
        if place:
            return known[place - 1]
        return run.started_at if run.generation == 1 and not known else None

    def _of(self, sources: Sequence[int], path: int) -> Iterator[float]:
        plan, layout = self._snapshot.plan, self._snapshot.layout
        for source in sources:
            row = layout.row(source, prefix(path, plan.regions[plan.home[source]].level))
            if row is not None and row.finished_at is not None:
                yield row.finished_at
