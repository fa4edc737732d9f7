"""Random graphs, answers, faults of the broker and crashes of the engine: the outcome is the one without any of them."""

from __future__ import annotations

import asyncio
import tempfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.engine.broker.memory import Faults, MemoryBroker
from headrace.engine.core.plan import RULE_NAMES, Plan
from headrace.engine.core.workflow import Task
from headrace.engine.ports.messages import Dispatch
from headrace.engine.shell.history import decode
from headrace.engine.shell.views import Changes
from tests.support.flows import flow, noop, over, py, tries
from tests.unit.shell.rig import Answer, Body, Rig, ScriptedWorker, fails, rig

RULES = [name for name in RULE_NAMES if name != "always"]


@st.composite
def graphs(draw: st.DrawFn) -> Plan:
    """Up to nine tasks; each depends on some before it, by any rule, retried once or not, mapped or not."""
    tasks: list[Task] = []
    for index in range(draw(st.integers(1, 9))):
        before = [task.id for task in tasks]
        after = draw(st.lists(st.sampled_from(before), unique=True, max_size=3)) if before else []
        ruled = bool(after) and draw(st.booleans())
        rule = draw(st.sampled_from(RULES)) if ruled else "all_success"
        make = py if draw(st.integers(0, 3)) else noop
        keys: dict[str, Any] = {"retry": tries(draw(st.integers(1, 2)), 0)} if make is py else {}
        if make is py and not draw(st.integers(0, 3)):
            keys["map"] = over(list(range(draw(st.integers(0, 3)))))
        tasks.append(make(f"t{index}", *after, trigger_rule=rule, **keys))
    return flow(*tasks)


def answers(seed: int) -> Body:
    """What an attempt comes to depends on which it is, never on when or how often it was sent."""

    def body(dispatch: Dispatch) -> Answer:
        draw = zlib.crc32(f"{seed}:{dispatch.task}:{dispatch.map}:{dispatch.attempt}".encode()) % 10
        if draw < 2:
            return fails()
        if draw == 2:
            return Answer("skipped")
        return Answer(output=draw)

    return body


async def crash(bench: Rig) -> None:
    """The process dies: with the engine go the broker in it, the worker, and all that was on its way."""
    bench.engine._forget()
    await bench.store.release(0, "engine")
    body = bench.worker.body
    bench.broker = MemoryBroker()
    bench.make()
    bench.worker = ScriptedWorker(bench.broker, bench.clock)
    bench.worker.body = body
    await bench.start()


async def play(plan: Plan, seed: int, crashes: frozenset[int]) -> dict[str, tuple[str, int]]:
    """Run the plan; the process dies after the steps named, two to a turn. Answers with every task run's state and attempts."""
    with tempfile.TemporaryDirectory() as folder:
        async with rig(Path(folder)) as bench:
            bench.worker.body = answers(seed)
            row = await bench.submit(plan)
            for turn in range(60):
                await bench.worker.beat()
                await bench.engine.turn(0)
                if 2 * turn in crashes:
                    await crash(bench)
                await bench.worker.step()
                if 2 * turn + 1 in crashes:
                    await crash(bench)
                bench.clock.advance(0.01)
            for _ in range(5):
                await bench.advance(1)
            view = await bench.view(row.no)
            assert view.run.finished_at is not None, view
            await bench.agrees(row.no)
            await told_once(bench, plan, row.no)
            return {task.written: (task.state, task.attempts) for task in view.tasks}


async def told_once(bench: Rig, plan: Plan, no: int) -> None:
    """What history tells ends in what the rows say, and a final state never moves (I4, I6)."""
    told: dict[str, str] = {}
    changes = Changes(plan)
    for past in await bench.store.history(no):
        for change in changes.recorded(decode(past.body, Nothing())):
            if change.task is not None:
                assert told.get(change.task, "pending") == change.before
                told[change.task] = change.after
    assert changes.final
    for name, state in (await bench.states(no)).items():
        assert told.get(name, state) == state


class Nothing:
    """No payloads: states are all that is asked for."""

    def output(self, digest: bytes) -> bytes | None:
        return None

    def artifact(self, digest: str) -> None:
        return None


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(), st.integers(0, 1_000), st.frozensets(st.integers(0, 24), max_size=6))
def test_crashes_change_nothing_but_the_time_it_takes(plan: Plan, seed: int, crashes: frozenset[int]) -> None:
    """faults 56: wherever the process dies: before or after a worker has reported, the run ends as if it had not."""
    assert asyncio.run(play(plan, seed, crashes)) == asyncio.run(play(plan, seed, frozenset()))


@pytest.mark.parametrize("seed", range(4))
async def test_a_broker_that_repeats_delays_and_reorders_changes_no_outcome(
    tmp_path: Path, seed: int
) -> None:
    """faults 17, 19, 20: at least once on the wire, exactly once in the store."""
    faults = Faults(seed=seed, duplicate=0.4, lose_ack=0.3, delay=0.3, max_delay=0.004, shuffle=True)
    async with rig(tmp_path) as bench:
        await bench.engine.stop()
        bench.broker = MemoryBroker(faults=faults)
        bench.make()
        bench.worker = ScriptedWorker(bench.broker, bench.clock, slots=4)
        await bench.start()
        running = asyncio.create_task(bench.engine.run())
        ended = asyncio.Event()
        bench.engine.listen(
            lambda no, decision: ended.set() if decision.run and decision.run.state.final else None
        )
        row = await bench.submit(
            flow(py("a"), *(py(f"m{i}", "a") for i in range(20)), py("z", *(f"m{i}" for i in range(20))))
        )

        async def work() -> None:
            while True:
                for _ in range(50):
                    await bench.worker.step()
                    await asyncio.sleep(0)
                await bench.worker.beat()

        working = asyncio.create_task(work())
        await asyncio.wait_for(ended.wait(), 20)
        working.cancel()
        await bench.engine.stop()
        await running
        view = await bench.view(row.no)
        assert {(task.state, task.attempts) for task in view.tasks} == {("succeeded", 1)}
        assert len(bench.worker.seen) >= 22
        await bench.agrees(row.no)
