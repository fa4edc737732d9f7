"""Telling the cache what was committed: how runs stand, and what moved in those that somebody follows.

It looks on after every turn of the engine, when what is in memory is what is committed, and never makes the engine wait:
what changed is noted, and words are made of it at most every `EVERY` seconds and for at most a twentieth of the time. One
call to the cache is under way at a time; what does not fit is forgotten there, or fades within `LASTS_SECONDS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from headrace.engine.core.decision import Decision
from headrace.engine.core.machine.counting import counts
from headrace.engine.core.states import RunState
from headrace.engine.ports.cache import Cache, Commit, Move, Status, Word
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.views import Changes

EVERY = 0.05
"""Seconds between two batches of words, at least."""
SHARE = 20
"""Telling may take one of so many seconds of the engine's loop."""
SENDING = 15e-6
"""What encoding and sending a word takes of it, in seconds, about; making words is measured."""
BATCH = 500
"""Words in one call."""
MOST_RUNS = 10_000
"""Runs that wait to be told, and those that wait to be forgotten."""
MOST_MOVES = 2_000
"""Moves of a run that travel in one word; where there are more, who follows it reads them from the store."""


class Teller:
    """Attached to one engine (`Engine.attach`), on whose loop it lives; `close` it when the engine has stopped.
    `every`, `share`: see EVERY and SHARE; 0: it tells as often as it can."""

    def __init__(self, cache: Cache, every: float = EVERY, share: int = SHARE) -> None:
        self._cache = cache
        self._every = every
        self._share = share
        self._wake: Callable[[], None] = lambda: None
        self._changed: dict[int, LiveRun] = {}  # by number, since the last words
        self._commits: dict[int, list[tuple[int, Decision]]] = {}  # of those that are followed
        self._words: dict[str, Word] = {}  # not yet on their way
        self._lost: set[str] = set()  # what the cache has of these runs may be out of date
        self._followed: dict[str, RunState] = {}  # and the state that each was last told to be in
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._closed = False

    def attached(self, wake: Callable[[], None]) -> None:
        """`wake` has the engine take a turn soon."""
        self._wake = wake

    async def close(self) -> None:
        """Tell what is left, for as long as the cache answers."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            await self._sending
        for live in self._changed.values():
            self._lose(live.row.id)
        await self._send()

    # -- looking on ----------------------------------------------------------------------------------------------

    def turned(self, committed: Sequence[LiveRun], runs: Mapping[int, LiveRun]) -> None:
        """After each turn: the runs that it changed, as they were committed and before they go on; all runs in memory."""
        if self._cache.degraded is not None:
            self._give_up(committed)
            return
        for live in committed:
            self._changed[live.no] = live
            if live.row.id in self._followed:
                self._commits.setdefault(live.no, []).append((live.seq, live.decision))
            if live.machine.final:
                self._say(live)  # it leaves memory, and its machine stays as it is
                del self._changed[live.no]
        if not self._changed and not self._words and not self._lost:
            return
        now = asyncio.get_running_loop().time()
        if now < self._due or self._sending is not None:
            self._later(now)
            return
        for no, live in self._changed.items():
            if (
                runs.get(no) is live
            ):  # else its part was lost, or it was set aside: nobody knows how it stands
                self._say(live)
            else:
                self._lose(live.row.id)
        self._changed.clear()
        self._commits.clear()
        spent = asyncio.get_running_loop().time() - now + SENDING * len(self._words)
        self._due = now + max(self._every, spent * self._share)
        self._sending = asyncio.create_task(self._send(), name="headrace-telling")
        self._sending.add_done_callback(self._sent)

    def _say(self, live: LiveRun) -> None:
        """Make a word of the run as it stands now."""
        row, status, run = live.row, live.machine.status, live.row.id
        earlier = self._words.pop(run, None)
        if earlier is None and len(self._words) >= MOST_RUNS:
            self._lose(run)
            return
        before = self._followed.get(run)
        commits = None if before is None else self._moves(live, before)
        if before is not None:
            self._followed[run] = status.state
        if earlier is not None:
            commits = None if earlier.commits is None or commits is None else earlier.commits + commits
        self._words[run] = Word(
            Status(
                run=run,
                no=live.no,
                project=row.project,
                workflow=row.workflow,
                version=row.version,
                state=status.state.word,
                reason=status.reason,
                paused=status.paused,
                generation=status.generation,
                created_at=row.created_at,
                started_at=status.started_at,
                finished_at=status.finished_at,
                tasks=counts(live.machine.board),
                epoch=live.part.epoch,
                seq=live.seq,
            ),
            commits,
        )

    def _moves(self, live: LiveRun, before: RunState) -> list[Commit] | None:
        """What the decisions since the last word moved."""
        decided = self._commits.pop(live.no, [])
        if not decided or sum(len(decision.transitions) for _, decision in decided) > MOST_MOVES:
            return None
        changes = Changes(live.using.plan, before)
        return [
            Commit(seq, [Move(*change) for change in changes.decided(decision)]) for seq, decision in decided
        ]

    def _later(self, now: float) -> None:
        """Have the engine take a turn when words are due, though nothing else may happen by then."""
        if self._timer is None and self._sending is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, self._due - now), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._wake()

    # -- sending -------------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        while self._lost:
            runs = list(islice(self._lost, BATCH))
            if not await self._cache.forget(runs):
                break
            self._lost.difference_update(runs)
        while self._words and self._cache.degraded is None:
            batch = [self._words.pop(run) for run in list(islice(self._words, BATCH))]
            followed = await self._cache.tell(batch)
            for word in batch:
                run = word.status.run
                if followed is None:
                    self._lose(run)
                elif run not in followed:
                    self._followed.pop(run, None)
                elif run not in self._followed:
                    self._followed[run] = RunState[word.status.state.upper()]
        if self._cache.degraded is not None:
            self._give_up(())

    def _sent(self, sending: asyncio.Task[None]) -> None:
        self._sending = None
        if not sending.cancelled():
            sending.result()
        if self._changed or self._words:
            self._later(asyncio.get_running_loop().time())

    def _give_up(self, committed: Sequence[LiveRun]) -> None:
        for live in (*self._changed.values(), *committed):
            self._lose(live.row.id)
        for run in self._words:
            self._lose(run)
        self._changed.clear()
        self._commits.clear()
        self._words.clear()
        self._followed.clear()

    def _lose(self, run: str) -> None:
        """What is beyond the number fades by itself."""
        if len(self._lost) < MOST_RUNS:
            self._lost.add(run)
