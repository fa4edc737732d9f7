"""What a batch writes, on every adapter."""

from __future__ import annotations

import pytest

from headrace.engine.core.states import RunState, TaskState
from headrace.engine.ports.letters import DeadLetterRow
from headrace.engine.ports.ownership import Ownership
from headrace.engine.ports.store import CacheRow, Store, Timer, TimerKey
from tests.contracts.samples import (
    PROJECT,
    batch,
    command,
    history,
    new_run,
    run_update,
    task_row,
)


class TestCommit:
    async def test_text_and_numbers_of_a_batch_come_back_as_they_were(
        self, store: Store, owned: Ownership
    ) -> None:
        run = await store.create_run(new_run())
        said = [
            "null",
            "",
            'a "b"',
            "a\\b",
            "line\nline\t\x01",
            "{a,b}",
            " x ",
            "ä\u2028😀",
            None,
            "NULL",
            "\\",
        ]
        times = [0.1 + 0.2, 1e-07, 1792000000.123456, 5e-324, 1e300, 0.0, -1.5, 2.0, None, 1.0, 3.0]
        rows = [
            task_row(run.no, task, reason=word, worker=word, by=word, ready_at=at, n=2**62 + task)
            for task, (word, at) in enumerate(zip(said, times, strict=True))
        ]
        assert await store.commit([batch(owned.epoch, 1, tasks=rows)]) == []
        assert await store.task_rows(run.no) == rows

    async def test_everything_is_written_and_read_back(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        [start] = await store.inbox(0, 0, 10)
        full = task_row(
            run.no,
            3,
            TaskState.FAILED,
            map=1 << 60,
            reason="timed_out",
            attempt=4,
            epoch=2**40,
            n=7,
            worker="w",
            ready_at=1.25,
            started_at=2.5,
            finished_at=3.75,
            due_at=9.0,
            output=b"[1]",
            artifact=b'{"uri":"x"}',
            error=b'{"kind":"E"}',
            inputs=b'{"a":"\xc3\xa4"}',
            child="child-id",
            items=12,
            by="someone",
        )
        bare = task_row(run.no, 4, TaskState.DISPATCHED)
        done = batch(
            owned.epoch,
            1,
            next_offset=42,
            tasks=[full, bare],
            runs=[run_update(run.no, started_at=101.0, reason="r", paused=True, generations=b"[]")],
            history=[history(run.no, 1, b"\x00\xff"), history(run.no, 2)],
            inbox_done=[start.id],
            inbox_new=[command("signal", run.no, 0, b'{"n":1}'), command("other", None, 0)],
        )
        assert await store.commit([done]) == []
        assert await store.task_rows(run.no) == [full, bare]
        assert await store.history(run.no) == done.history
        assert await store.history(run.no, 1) == done.history[1:]
        stored = await store.run(run.no)
        assert stored is not None
        assert (stored.state, stored.reason, stored.paused, stored.started_at) == (
            RunState.RUNNING,
            "r",
            True,
            101.0,
        )
        assert (stored.generations, stored.seq, stored.finished_at) == (b"[]", 2, None)
        inbox = await store.inbox(0, 0, 10)
        assert [(row.kind, row.run, row.body) for row in inbox] == [
            ("signal", run.no, b'{"n":1}'),
            ("other", None, b"{}"),
        ]
        assert await store.settle([done])
        assert (await store.claim(0, "engine-1")).next_offset == 42

    async def test_an_update_keeps_inputs_items_and_child_and_replaces_the_rest(
        self, store: Store, owned: Ownership
    ) -> None:
        run = await store.create_run(new_run())
        first = task_row(
            run.no,
            0,
            TaskState.RUNNING,
            inputs=b"{}",
            items=3,
            child="c",
            reason="x",
            error=b"{}",
            worker="w",
        )
        last = task_row(run.no, 0, TaskState.SUCCEEDED, output=b"1")
        await store.commit([batch(owned.epoch, 1, tasks=[first])])
        await store.commit([batch(owned.epoch, 2, tasks=[last])])
        assert await store.task_rows(run.no) == [last._replace(inputs=b"{}", items=3, child="c")]
        [value] = await store.values([(run.no, 1, 0, 0)])
        assert (value.output, value.inputs, value.error, value.child) == (b"1", b"{}", None, "c")

    async def test_an_update_of_a_run_keeps_its_reruns(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        await store.commit([batch(owned.epoch, 1, runs=[run_update(run.no, generations=b"[1]")])])
        finished = run_update(run.no, RunState.SUCCEEDED, output=b"5", artifact=b"{}")
        await store.commit([batch(owned.epoch, 2, runs=[finished])])
        stored = await store.run(run.no)
        assert stored is not None
        assert (stored.generations, stored.output, stored.artifact) == (b"[1]", b"5", b"{}")
        assert await store.live_runs(0) == []

    @pytest.mark.parametrize("count", [1, 7, 129, 1500])
    async def test_any_number_of_rows(self, store: Store, owned: Ownership, count: int) -> None:
        run = await store.create_run(new_run())
        first = [task_row(run.no, i, TaskState.DISPATCHED, inputs=b"%d" % i) for i in range(count)]
        last = [
            task_row(run.no, i, output=b"%d" % i)
            if i % 3
            else task_row(run.no, i, TaskState.FAILED, error=b"{}")
            for i in range(count)
        ]
        await store.commit([batch(owned.epoch, 1, tasks=first)])
        await store.commit([batch(owned.epoch, 2, tasks=last, history=[history(run.no, 1)])])
        assert await store.task_rows(run.no) == [row._replace(inputs=b"%d" % i) for i, row in enumerate(last)]
        values = await store.values([(run.no, 1, i, 0) for i in range(count + 5)])
        assert {value.task: value.inputs for value in values} == {i: b"%d" % i for i in range(count)}

    async def test_timers_are_cleared_and_then_set(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())

        async def timers() -> set[tuple[int, str, float]]:
            [loaded] = await store.load([run.no])
            return {(timer.task, timer.kind, timer.due_at) for timer in loaded.timers}

        def timer(task: int, kind: str, due_at: float) -> Timer:
            return Timer(run.no, 1, task, 0, kind, due_at)

        first = [
            timer(-1, "deadline", 9.0),
            timer(0, "retry", 1.0),
            timer(0, "total", 2.0),
            timer(1, "retry", 3.0),
        ]
        timers_of_first = [*first, timer(2, "wait", 4.0)]
        await store.commit([batch(owned.epoch, 1, history=[history(run.no, 1)], timers=timers_of_first)])
        assert await timers() == {
            (-1, "deadline", 9.0),
            (0, "retry", 1.0),
            (0, "total", 2.0),
            (1, "retry", 3.0),
            (2, "wait", 4.0),
        }
        cleared = [
            TimerKey(run.no, 1, 0, 0),
            TimerKey(run.no, 1, 1, 0, "retry"),
            TimerKey(run.no, 1, 2, 0, "retry"),
        ]
        again = [timer(0, "retry", 5.0), timer(2, "wait", 6.0)]
        await store.commit([batch(owned.epoch, 2, cleared=cleared, timers=again)])
        assert await timers() == {(-1, "deadline", 9.0), (0, "retry", 5.0), (2, "wait", 6.0)}

    async def test_children_begin_with_their_start_and_once(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        child = new_run(parent=(run.no, 1, 2, 0), idempotency="child-1", part=3)
        await store.commit([batch(owned.epoch, 1, runs_new=[child])])
        twin = new_run(parent=(run.no, 1, 2, 0), idempotency="child-1", part=3)
        other = new_run(parent=(run.no, 1, 5, 0), idempotency="child-2", part=3)
        await store.commit([batch(owned.epoch, 2, runs_new=[twin, other])])
        found = await store.children(run.no)
        assert [(row.id, row.parent) for row in found] == [(child.id, child.parent), (other.id, other.parent)]
        starts = await store.inbox(3, 0, 10)
        assert [(row.kind, row.run) for row in starts] == [("start", row.no) for row in found]

    async def test_cache_entries_expire_and_are_renewed(self, store: Store, owned: Ownership) -> None:
        rows = [CacheRow(PROJECT, "a", b"1", None, 50.0), CacheRow(PROJECT, "b", None, b"{}", 500.0)]
        await store.commit([batch(owned.epoch, 1, cache=rows)])
        assert await store.cached(PROJECT, ["a", "b", "c"], 10.0) == {"a": (b"1", None), "b": (None, b"{}")}
        assert await store.cached(PROJECT, ["a", "b"], 50.0) == {"b": (None, b"{}")}
        assert await store.cached("other", ["b"], 10.0) == {}
        await store.commit([batch(owned.epoch, 2, cache=[CacheRow(PROJECT, "a", b"2", None, 90.0)])])
        assert await store.cached(PROJECT, ["a"], 60.0) == {"a": (b"2", None)}

    async def test_dead_letters_newest_first_by_project(self, store: Store, owned: Ownership) -> None:
        run = await store.create_run(new_run())
        other = await store.create_run(new_run(project="other"))
        dead = [DeadLetterRow(run.no, 1, i, 0, 3, float(i), b'{"kind":"E"}') for i in range(3)]
        theirs = DeadLetterRow(other.no, 1, 0, 0, 1, 1.0, b"{}", "etl", "load")
        await store.commit([batch(owned.epoch, 1, dead=[*dead, theirs])])
        await store.commit([batch(owned.epoch, 2, dead=dead[:1])])

        async def listed(project: str, limit: int = 50) -> list[DeadLetterRow]:
            found = await store.dead_letters(project, limit)
            return [DeadLetterRow(*map(letter.__getattribute__, DeadLetterRow._fields)) for letter in found]

        assert await listed(PROJECT) == dead[::-1]
        assert await listed(PROJECT, 1) == dead[2:]
        assert await listed("other") == [theirs]

    async def test_a_batch_of_nothing_still_moves_its_counter(self, store: Store, owned: Ownership) -> None:
        empty = batch(owned.epoch, 1)
        assert await store.commit([empty]) == []
        assert await store.settle([empty])
        assert not await store.settle([batch(owned.epoch, 2)])

    async def test_many_runs_at_once(self, store: Store, owned: Ownership) -> None:
        created = [await store.create_run(new_run()) for _ in range(40)]
        updates = [run_update(run.no, RunState.SUCCEEDED, output=b"%d" % run.no) for run in created]
        rows = [history(run.no, 1) for run in created]
        await store.commit([batch(owned.epoch, 1, runs=updates, history=rows)])
        assert await store.live_runs(0) == []
        for run in created[::7]:
            stored = await store.run(run.no)
            assert stored is not None
            assert (stored.output, stored.seq) == (b"%d" % run.no, 1)
