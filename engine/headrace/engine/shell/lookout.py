"""Waits that others end, kept where those others find them; and signals that were sent before somebody began to wait.

Who begins to wait, and looks back, looks in the turn after its batch was committed at what was stored before: whoever sends a
signal stores it first and looks for those who wait afterwards, so one of the two always sees the other (docs/design/waits.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from headrace.engine.core.decision import Await
from headrace.engine.core.events import SignalArrived
from headrace.engine.core.keys import Key, unpack
from headrace.engine.core.waiting import Asked, Listening
from headrace.engine.core.workflow import Approval
from headrace.engine.ports.store import Batch
from headrace.engine.ports.waits import APPROVAL, SIGNAL, SignalRow, WaitKey, WaitRow
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.part import Turn
from headrace.engine.shell.patient import PatientStore

AT_ONCE = 1000
"""Signals read by one query."""


class _Sought(NamedTuple):
    run: int
    key: Key
    place: int
    after: float


class Lookout:
    """What runs in memory have begun to wait for since the last look."""

    def __init__(self, store: PatientStore) -> None:
        self._store = store
        self._sought: dict[str, dict[tuple[str, str | None], list[_Sought]]] = {}

    def __bool__(self) -> bool:
        return bool(self._sought)

    def clear(self) -> None:
        """Nothing is ours any more: whoever has the runs looks."""
        self._sought.clear()

    def begun(self, live: LiveRun, effect: Await, batch: Batch) -> None:
        """A task run waits: others are to find it, and what was sent before is looked for."""
        if not effect.known:
            batch.waits[_waits_of(live, effect.key)] = list(_rows(live, effect))
        if isinstance(effect.wait, Listening):
            come = {one.place for one in effect.wait.come}
            for place, (name, key, after) in enumerate(effect.wait.sought):
                if place not in come and after < effect.wait.since:
                    named = self._sought.setdefault(live.row.project, {}).setdefault((name, key), [])
                    named.append(_Sought(live.no, effect.key, place, after))

    def ended(self, live: LiveRun, key: Key, batch: Batch) -> None:
        """It waits no more."""
        gone = _waits_of(live, key)
        batch.waits.pop(gone, None)
        batch.waited.append(gone)

    async def look(self, turn: Turn, runs: dict[int, LiveRun]) -> None:
        """Tell those who wait what was sent before. Raises StoreUnavailable."""
        wanted, self._sought = self._sought, {}
        for project, named in wanted.items():
            names = sorted({name for name, _ in named})
            since = min(one.after for several in named.values() for one in several)
            after, more = 0, True
            while more:
                found = await self._store.signals(project, names, since, after, AT_ONCE)
                for signal in found:
                    for one in _meant(named, signal):
                        live = runs.get(one.run)
                        if live is not None and signal.at >= one.after:
                            turn.add(live, arrived(turn.now, one.key, one.place, signal))
                more = len(found) == AT_ONCE
                after = found[-1].id if more else after


def _waits_of(live: LiveRun, key: Key) -> WaitKey:
    return WaitKey(live.no, live.decision.generation, *key)


def _meant(named: dict[tuple[str, str | None], list[_Sought]], signal: SignalRow) -> Iterator[_Sought]:
    yield from named.get((signal.name, None), ())
    if signal.key is not None:
        yield from named.get((signal.name, signal.key), ())


def arrived(at: float, key: Key, place: int, signal: SignalRow) -> SignalArrived:
    payload = msgspec.json.decode(signal.payload)
    return SignalArrived(at, key, place, signal.id, signal.name, signal.key, signal.at, signal.by, payload)


def _rows(live: LiveRun, effect: Await) -> Iterator[WaitRow]:
    key, wait = effect.key, effect.wait
    task = live.using.plan.tasks[key.task]
    at = live.no, live.decision.generation, key.task, key.map
    where = live.part.number, live.row.project
    if isinstance(wait, Asked):
        assert isinstance(task.work, Approval)
        name = live.using.plan.ids[key.task]
        body = msgspec.json.encode(
            {
                "index": unpack(key.map),
                "title": wait.title,
                "form": dict(task.work.form),
                "roles": task.work.roles,
                "approvers": task.work.approvers,
                "self": task.work.self_,
                "agreed": [{"by": vote.by, "at": vote.at, "comment": vote.comment} for vote in wait.votes],
            }
        )
        yield WaitRow(*at, 0, *where, APPROVAL, name, None, wait.since, wait.since, wait.expires_at, body)
        return
    for place, (name, sought, after) in enumerate(wait.sought):
        yield WaitRow(*at, place, *where, SIGNAL, name, sought, after, wait.since, wait.expires_at, b"{}")
