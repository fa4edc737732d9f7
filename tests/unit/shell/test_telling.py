"""What an engine tells the cache, and how runs are followed by it: never wrong, never late for ever, never twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

import pytest

from headrace.engine.cache.memory import MemoryCache
from headrace.engine.core.states import RunState
from headrace.engine.ports.cache import Degraded, Status, Word
from headrace.engine.ports.store import RunRow
from headrace.engine.shell.standing import status_of
from headrace.engine.shell.telling import Teller
from headrace.engine.shell.views import Change, Changes, RunUnknown, run_view
from headrace.runners.watching import follow_history, follow_words
from tests.support.flows import flow, group, over, py
from tests.unit.shell.rig import HOLD, Answer, Rig, rig

PLAN = flow(
    py("a"),
    group("each", py("x"), py("deep", map=over("${{ item }}")), map=over([[1, 2], [], [3]]), after=("a",)),
    py("late", "a", map=over([1, 2, 3])),
)
LONG = 10.0


class Fickle(MemoryCache):
    """A cache in this process that can be cut off, and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Word] = []
        self.forgotten: list[str] = []
        self.away: Degraded | None = None
        self.deaf = False  # it loses words without knowing

    @property
    def degraded(self) -> Degraded | None:
        return self.away

    async def tell(self, words: Sequence[Word]) -> frozenset[str] | None:
        if self.away is not None:
            return None
        self.told += words
        return frozenset() if self.deaf else await super().tell(words)

    async def forget(self, runs: Collection[str]) -> bool:
        if self.away is not None:
            return False
        self.forgotten += runs
        return await super().forget(runs)

    async def status(self, run: str) -> Status | None:
        return None if self.away is not None else await super().status(run)


class Told(Rig):
    """A rig whose engine tells a cache."""

    cache: Fickle
    teller: Teller

    async def steps(self, times: int = 4) -> None:
        """Let the teller send, and the engine look again."""
        for _ in range(times):
            await self.settle()
            if (sending := self.teller._sending) is not None:
                await sending
            await asyncio.sleep(0)

    async def agrees_with_the_store(self, row: RunRow) -> Status:
        """What is kept is what the store says."""
        kept = await self.cache.status(row.id)
        assert kept is not None
        view = await run_view(self.store, row.no)
        assert kept.tasks == view.counts()
        assert (kept.state, kept.reason, kept.seq) == (
            RunState(view.run.state).word,
            view.run.reason,
            view.run.seq,
        )
        assert (kept.started_at, kept.finished_at) == (view.run.started_at, view.run.finished_at)
        return kept


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Told]:
    async with rig(tmp_path) as made:
        made.__class__ = Told
        assert isinstance(made, Told)
        made.cache = Fickle()
        made.teller = Teller(made.cache, every=0.0, share=0)
        made.engine.attach(made.teller)
        yield made
        await made.teller.close()


async def test_a_status_follows_every_commit(bench: Told) -> None:
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(PLAN)
    await bench.steps()
    assert (await bench.agrees_with_the_store(row)).tasks == {"dispatched": 1, "pending": 3}
    for name in ("a", "each.x", "each.deep", "late", "late", "each.deep", "each.x"):
        await bench.worker.finish(name)
        await bench.steps()
        await bench.agrees_with_the_store(row)
    bench.worker.body = lambda d: Answer()
    for name in ("late", "each.deep", "each.x"):
        await bench.worker.finish(name)
    await bench.steps()
    kept = await bench.agrees_with_the_store(row)
    assert kept.state == "succeeded"
    assert kept.tasks == {"succeeded": 10, "skipped": 1}
    await bench.command(row.no, "rerun", {"by": "me", "from": ["a"]})
    await bench.steps()
    assert (await bench.agrees_with_the_store(row)).generation == 2


async def test_only_who_is_followed_has_moves_told(bench: Told) -> None:
    row = await bench.submit(flow(py("a")))
    await bench.steps()
    assert bench.cache.told
    assert all(word.commits is None for word in bench.cache.told)
    bench.cache.told.clear()
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a"), py("b", "a")))
    async with bench.cache.follow(row.id):
        await bench.steps()
        await bench.worker.finish("a")
        await bench.steps()
        moves = [move for word in bench.cache.told for commit in word.commits or () for move in commit.moves]
        assert [(move.task, move.before, move.after) for move in moves] == [
            ("a", "dispatched", "succeeded"),
            ("b", "pending", "dispatched"),
        ]
    bench.cache.told.clear()
    await bench.worker.finish("b")
    await bench.steps()
    assert [word.status.state for word in bench.cache.told] == ["succeeded"]


async def followed(bench: Told, row: RunRow, changes: list[Change]) -> None:
    async with asyncio.timeout(LONG):
        plan = (await bench.engine.plans.get(row.plan)).plan
        changes.extend([each async for each in follow_words(bench.store, bench.cache, plan, row)])


async def recorded(bench: Told, row: RunRow) -> list[Change]:
    """The whole story, as it was decided."""
    told: list[Change] = []
    plan = (await bench.engine.plans.get(row.plan)).plan
    changes = Changes(plan, RunState.QUEUED)
    for no, decision in bench.decisions:
        if no == row.no:
            told += changes.decided(decision)
    return told


@pytest.mark.parametrize("weather", ["fair", "deaf", "away", "changing"])
async def test_who_follows_hears_each_change_once_and_in_order(bench: Told, weather: str) -> None:
    """Whatever becomes of the words on their way."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(PLAN)
    changes: list[Change] = []
    follower = asyncio.create_task(followed(bench, row, changes))
    await asyncio.sleep(0)
    number = 0
    while not follower.done():
        number += 1
        if weather == "away" or (weather == "changing" and number % 3 == 0):
            bench.cache.away = Degraded("cut off", 0.0)
        else:
            bench.cache.away = None
        bench.cache.deaf = weather == "deaf" or (weather == "changing" and number % 5 == 0)
        if bench.worker.held:
            await bench.worker.finish(next(iter(bench.worker.held.values())).job.task_id)
        await bench.steps()
        await asyncio.sleep(0.01)  # the store's answers reach the follower
    await follower
    assert changes == await recorded(bench, row)
    assert changes[-1].after == "succeeded"
    if weather == "fair":
        assert any(word.commits for word in bench.cache.told)


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("told", [False, True])
async def test_who_follows_late_hears_all_that_happened_since_its_row(
    bench: Told, told: bool, ended: bool
) -> None:
    """A run is followed from its row on: after a submission from its beginning, after a rerun from that."""
    bench.worker.body = lambda d: HOLD if d.job.task_id == "b" and not ended else Answer()
    row = await bench.submit(flow(py("a"), py("b", "a")))
    await bench.steps()
    assert (await bench.states(row.no))["a"] == "succeeded"
    plan = (await bench.engine.plans.get(row.plan)).plan
    changes: list[Change] = []
    follow = (
        follow_words(bench.store, bench.cache, plan, row)
        if told
        else follow_history(bench.store, plan, row, None)
    )
    async with asyncio.timeout(LONG):
        async for change in follow:
            changes.append(change)
            if bench.worker.held:
                await bench.worker.finish("b")
                await bench.steps()
    assert changes == await recorded(bench, row)
    assert [change.after for change in changes if change.task == "a"][-1] == "succeeded"


async def test_a_run_that_has_ended_has_nothing_to_follow(bench: Told) -> None:
    view = await bench.run(flow(py("a")))
    changes: list[Change] = []
    await followed(bench, view.run, changes)
    assert changes == []


async def test_what_could_not_be_told_is_forgotten_when_the_cache_is_back(bench: Told) -> None:
    """faults 49: an old status does not outlive the trouble."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a"), py("b", "a")))
    await bench.steps()
    bench.cache.away = Degraded("cut off", 0.0)
    await bench.worker.finish("a")
    await bench.steps()
    bench.cache.away = None
    stale = await bench.cache.status(row.id)
    assert stale is not None
    assert stale.tasks["dispatched"] == 1
    await bench.steps()
    assert bench.cache.forgotten == [row.id]
    assert await bench.cache.status(row.id) is None
    found = await status_of(bench.store, "default", row.id, cache=bench.cache)
    assert found.tasks == {"succeeded": 1, "dispatched": 1}


async def test_what_is_decided_and_not_committed_is_never_told(bench: Told) -> None:
    """A part that is lost in the middle of a turn: the next owner tells how its runs stand."""
    bench.worker.body = lambda d: HOLD
    row = await bench.submit(flow(py("a"), py("b", "a")))
    await bench.steps()
    before = await bench.agrees_with_the_store(row)
    other = await bench.store.claim(0, bench.engine.id)
    assert other.epoch > before.epoch
    await bench.worker.finish("a")
    with pytest.raises(Exception, match="another engine"):
        await bench.settle()
    await bench.teller.close()
    assert (await bench.row(row.no)).seq == before.seq
    assert bench.cache.told[-1].status == before


async def test_status_of_asks_the_store_where_the_cache_knows_nothing(bench: Told) -> None:
    row = await bench.submit(flow(py("a")))
    bench.cache.away = Degraded("cut off", 0.0)
    found = await status_of(bench.store, "default", row.id, cache=bench.cache)
    assert (found.state, found.tasks, found.epoch) == ("queued", {"pending": 1}, 0)
    bench.cache.away = None
    assert await status_of(bench.store, "default", row.id) == found
    with pytest.raises(RunUnknown):
        await status_of(bench.store, "default", "0" * 36, cache=bench.cache)


async def test_what_another_project_has_is_not_told(bench: Told) -> None:
    row = await bench.submit(flow(py("a")))
    await bench.steps()
    assert await bench.cache.status(row.id) is not None
    with pytest.raises(RunUnknown):
        await status_of(bench.store, "others", row.id, cache=bench.cache)
