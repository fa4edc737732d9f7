"""Faults of docs/design/faults.md that the simulator can show, each as a scene of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from headrace.engine.core.plan import RULE_NAMES
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Child, Map, Poll, Retry, Sleep, Task, Timeouts
from headrace.engine.ports.messages import Report, Reports
from headrace.engine.shell.settings import EngineSettings
from headrace.runners.attempt import Attempt, Outcome
from headrace.testing.simulation.faults import Act, Weather
from headrace.testing.simulation.world import World
from tests.support.model_rules import outcome as by_the_table
from tests.support.scenes import (
    BODY,
    SCENE,
    body,
    counted,
    executions,
    flow,
    play,
    run_state,
    seconds,
    states,
    takes,
    told,
)

DAY = 86_400.0


def test_many_edges_among_few_tasks_are_all_waited_for() -> None:
    """faults 5: 3,570 edges between two rows of tasks, of which one takes long: half of the second row wait for all of the first, half
    for all but one. tests/acceptance/faults/test_sizes.py has the bounds of what is accepted"""
    above = [body(f"u{place:02}") for place in range(60)]
    names = [task.id for task in above]

    def does(attempt: Attempt) -> tuple[float, Outcome, bool]:
        return 1.0 if attempt.dispatch.job.task_id == names[-1] else 0.01, Outcome("succeeded"), False

    world = play(flow(*above, *(body(f"v{place:02}", *names[place % 2 :]) for place in range(60))), does)
    done = [found[0] for _, found in sorted(world.bodies.executions.items())]
    assert executions(world) == [1] * 120
    last = max(each.ended for each in done[:60] if each.ended is not None)
    assert all(each.began > last for each in done[60:])


def test_a_wide_fan_and_a_long_chain_end() -> None:
    """faults 6; its full size is measured by tests/acceptance/graphs"""
    middle = Task("middle", BODY, depends_on=("first",), map=Map(over=list(range(300))))
    links = [body(f"c{place:03}", *([f"c{place - 1:03}"] if place else ["last"])) for place in range(100)]
    world = play(flow(body("first"), middle, body("last", "middle"), *links), takes(0.001))
    assert run_state(world) == "succeeded"
    assert executions(world) == [1] * 402


@pytest.mark.parametrize(
    ("output", "state", "items"),
    [
        (b"[]", "skipped", 0),
        (b"[7]", "succeeded", 1),
        (b"[1,2,3]", "succeeded", 3),
        (b"[%s0]" % (b"0," * 999), "succeeded", 1000),
        (b"7", "failed", 0),
    ],
    ids=["none", "one", "three", "a thousand", "no list"],
)
def test_a_map_over_nothing_one_many_and_over_what_is_no_list(output: bytes, state: str, items: int) -> None:
    """faults 15"""
    mapped = Task("each", BODY, depends_on=("list",), map=Map(over="${{ tasks.list.output }}"))
    world = play(flow(body("list"), mapped), takes(0.01, output=output))
    found = states(world)
    assert found["each"] == state
    assert len([name for name in found if name.startswith("each/")]) == items


KINDS = {"s": "succeeded", "f": "failed", "k": "skipped"}


@pytest.mark.parametrize("ends", ["sss", "sfk", "fff", "kkk", "ssk", "ffk"])
def test_every_trigger_rule_by_the_table(ends: str) -> None:
    """faults 16: judged by the reference model, and in the same world, not in the machine alone"""
    rules = [rule for rule in RULE_NAMES if rule != "all_done_setup_success"]
    upstream = [body(f"u{place}") for place in range(3)]
    downstream = [body(f"d_{rule}", "u0", "u1", "u2", trigger_rule=rule) for rule in rules]

    def does(attempt: Attempt) -> tuple[float, Outcome, bool]:
        id = attempt.dispatch.job.task_id
        return 0.01, Outcome(KINDS[ends[int(id[1])]] if id[0] == "u" else "succeeded"), False

    found = states(play(flow(*upstream, *downstream), does))
    for rule in rules:
        expected = by_the_table(rule, [KINDS[end] for end in ends], None)
        assert found[f"d_{rule}"] == ("succeeded" if expected == "run" else expected), rule


def test_a_report_that_comes_a_thousand_times_counts_once() -> None:
    """faults 19"""
    scene = replace(SCENE, weather=Weather(doubled=1.0, copies=1000), heals_at=3.0)
    world = play(flow(body("a"), body("b", "a")), takes(0.3), scene=scene)
    assert executions(world) == [1, 1]
    assert counted(world, "stale") >= 1000


def test_reports_out_of_order_and_of_old_attempts_are_stale() -> None:
    """faults 20: while the second attempt runs come words of the first, one of them with the delivery of the second; then the end of
    the second before its start"""

    async def ghost(world: World) -> None:
        side = world.broker.worker_side("ghost", 0)

        async def delivery(at: float) -> tuple[int, int]:
            await asyncio.sleep(at - world.timeline.now)
            epoch, n = world.database.lane.raw.execute("SELECT epoch, n FROM task_runs").fetchone()
            return epoch, n

        first, second = await delivery(1.0), await delivery(3.0)
        for attempt, (epoch, n), kind in (
            (1, first, "succeeded"),
            (1, first, "started"),
            (1, second, "succeeded"),
            (2, second, "succeeded"),
            (2, second, "started"),
        ):
            report = Report(1, 1, 0, 0, attempt, epoch, n, kind, 1.0, 2.0, output=b"%d" % attempt)
            await side.report(0, Reports("ghost", "ghost#1", [report]))
            await asyncio.sleep(0.1)

    def does(attempt: Attempt) -> tuple[float, Outcome, bool]:
        return 2.0, Outcome("failed" if attempt.key[4] == 1 else "succeeded", b"2"), False

    flow_ = flow(body("a", retry=Retry(2, seconds(0), jitter="none")))
    world = play(flow_, does, beside=ghost)
    rows = world.database.lane.raw.execute("SELECT state, attempt, output FROM task_runs").fetchall()
    assert rows == [(TaskState.SUCCEEDED, 2, b"2")]
    assert executions(world) == [1, 1]
    assert counted(world, "stale") >= 4


def test_a_report_of_a_run_that_does_not_exist_is_a_dead_letter_and_blocks_nothing() -> None:
    """faults 21"""

    async def stranger(world: World) -> None:
        await asyncio.sleep(0.5)
        side = world.broker.worker_side("stranger", 0)
        report = Report(4711, 1, 0, 0, 1, 1, 1, "succeeded", 1.0, 2.0)
        await side.report(0, Reports("stranger", "stranger#1", [report]))

    world = play(flow(body("a"), body("b", "a")), takes(1.0), beside=stranger)
    assert run_state(world) == "succeeded"
    rows = world.database.lane.raw.execute("SELECT reason FROM poison").fetchall()
    assert rows == [("There is no run number 4711.",)]


@pytest.mark.parametrize("steps", range(0, 60, 4))
def test_two_engines_that_believe_they_own_a_part_and_only_one_writes(steps: int) -> None:
    """faults 23: the first is stopped in the middle of whatever it does, and goes on the moment another has claimed its part"""
    chain = flow(*(body(f"t{place}", *([f"t{place - 1}"] if place else [])) for place in range(4)))
    stale = [Act(0.2, "stale_engine", number, steps, 30.0) for number in (0, 1)]
    world = play(chain, takes(0.1), stale[steps // 4 % 2])
    assert executions(world) == [1] * 4


@pytest.mark.parametrize("long", [13.0, 600.0])
def test_an_engine_that_was_stopped_for_longer_than_its_lease_writes_nothing(long: float) -> None:
    """faults 24, 48: for ten minutes, and just longer than the lease of its lock"""
    world = World(
        replace(SCENE, engines=1, acts=(Act(0.05, "more_engines"), Act(1.0, "stop_engine", 0, 7, long))),
        workflows=[flow(body("a"), body("b", "a"))],
        does=takes(3.0),
    )
    told(world.run())
    assert executions(world) == [1, 1]
    assert world.engines[1].engine is not None


def test_a_commit_whose_answer_is_lost_is_settled_and_not_guessed() -> None:
    """faults 28"""
    scene = replace(SCENE, weather=Weather(unanswered=0.7), heals_at=20.0)
    links = [body(f"t{place}", *([f"t{place - 1}"] if place else [])) for place in range(6)]
    world = play(flow(*links), takes(0.2), scene=scene)
    assert executions(world) == [1] * 6


def test_cancel_against_success_has_one_outcome() -> None:
    """faults 32: whichever is applied first wins"""
    found = set()
    for step in range(24):
        at = 0.5 + step * 0.0005
        scene = replace(SCENE, seed=step, engines=1, workers=(1,), heals_at=2.0)
        world = play(flow(body("a")), takes(0.497), Act(at, "cancel"), scene=scene)
        task, run = states(world)["a"], run_state(world)
        found.add((task, run))
    assert found <= {("succeeded", "succeeded"), ("succeeded", "cancelled"), ("cancelled", "cancelled")}
    assert {("succeeded", "succeeded"), ("cancelled", "cancelled")} <= found


def test_a_worker_that_is_killed_in_the_middle_costs_an_attempt_and_its_late_result_nothing() -> None:
    """faults 53: what it had sent arrives while the next attempt runs"""

    async def late(world: World) -> None:
        await asyncio.sleep(1.5)
        epoch, n = world.database.lane.raw.execute("SELECT epoch, n FROM task_runs").fetchone()
        while len(world.bodies.executions) < 2:  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(0.1)
        report = Report(1, 1, 0, 0, 1, epoch, n, "succeeded", 1.0, 2.0, output=b"1")
        await world.broker.worker_side("ghost", 0).report(0, Reports("worker-0", "worker-0#1", [report]))

    def does(attempt: Attempt) -> tuple[float, Outcome, bool]:
        return 2.0, Outcome("succeeded", b"%d" % attempt.key[4]), False

    retried = body("a", retry=Retry(2, seconds(0)), timeouts=Timeouts(heartbeat=seconds(6)))
    scene = replace(SCENE, workers=(1,))
    world = play(flow(retried), does, Act(1.0, "rename_worker", 0, 0, 0.5), scene=scene, beside=late)
    rows = world.database.lane.raw.execute("SELECT attempt, output FROM task_runs").fetchall()
    assert rows == [(2, b"2")]
    attempts = {key[4]: found for key, found in world.bodies.executions.items()}
    assert [each.kind for each in attempts[1]] == [None]
    assert [each.kind for each in attempts[2]] == ["succeeded"]
    assert counted(world, "stale") >= 1


def test_the_result_of_a_worker_that_was_stopped_beyond_its_lease_is_refused() -> None:
    """faults 54"""
    retried = body("a", retry=Retry(2, seconds(0)), timeouts=Timeouts(heartbeat=seconds(4)))

    def does(attempt: Attempt) -> tuple[float, Outcome, bool]:
        first = attempt.key[4] == 1
        return (2.0 if first else 20.0), Outcome("succeeded", b"1" if first else b"2"), True

    scene = replace(SCENE, workers=(1,))
    world = play(flow(retried), does, Act(1.0, "stop_worker", 0, 0, 12.0), scene=scene)
    rows = world.database.lane.raw.execute("SELECT attempt, output FROM task_runs").fetchall()
    assert rows == [(2, b"2")]
    assert counted(world, "stale") >= 1


def test_a_task_that_runs_for_a_day_runs_once() -> None:
    """faults 55: heartbeats keep it, at full length"""
    scene = replace(SCENE, engines=1, workers=(1,), heals_at=DAY, survey_seconds=60.0)
    world = World(
        scene, workflows=[flow(body("a", timeouts=Timeouts(heartbeat=seconds(3600))))], does=takes(DAY)
    )
    world.ground.settings = EngineSettings.shared(
        survey_seconds=60.0, poll_seconds=60.0, sweep_seconds=60.0, quiet_gc=False
    )
    told(world.run())
    assert executions(world) == [1]
    assert world.timeline.now >= DAY


@pytest.mark.parametrize("steps", range(1, 100, 5))
def test_an_engine_may_be_killed_between_any_two_steps(steps: int) -> None:
    """faults 56: before and after the commit, half-way through publishing, with the offset stored or not"""
    tasks = [body("a"), body("b", "a"), body("c", "a", retry=Retry(2)), body("d", "b", "c")]
    called = Task("e", Child("w0"), depends_on=("d",))
    scene = replace(SCENE, seed=steps, engines=1, heals_at=12.0)
    world = play(flow(*tasks, called), takes(0.05), Act(0.15, "kill_engine", 0, steps, 1.0), scene=scene)
    assert set(executions(world)) == {1}


def test_everything_is_restarted_at_once() -> None:
    """faults 57"""
    many = Task("each", BODY, map=Map(over=list(range(40))), retry=Retry(3, seconds(0)))
    world = play(flow(body("a"), many, body("z", "a", "each")), takes(0.4), Act(1.0, "power", 0, 0, 0.5))
    assert run_state(world) == "succeeded"
    assert max(executions(world)) == 1


@pytest.mark.parametrize("step", [-3600, -1, 1, 3600])
def test_a_clock_that_jumps_moves_no_timer_of_a_living_engine(step: int) -> None:
    """faults 58"""
    naps = [Task("nap", Sleep(seconds(5))), body("after", "nap")]
    acts = [
        Act(1.0, "step_engines", 0, step),
        Act(1.5, "step_worker", 0, step),
        Act(1.6, "step_worker", 1, step),
    ]
    world = play(flow(*naps), takes(0.1), *acts)
    assert run_state(world) == "succeeded"
    (execution,) = next(iter(world.bodies.executions.values()))
    assert 5.0 <= execution.began < 8.0


@pytest.mark.parametrize("step", [-30, 30])
def test_a_timer_is_neither_lost_nor_doubled_when_the_next_engine_has_another_time(step: int) -> None:
    """faults 58"""
    naps: Sequence[Task] = [Task("nap", Sleep(seconds(5))), body("after", "nap")]
    acts = [Act(1.0, "step_engines", 0, step), Act(2.0, "power_engines", 0, 0, 0.5)]
    world = play(flow(*naps), takes(0.1), *acts)
    assert run_state(world) == "succeeded"
    assert executions(world) == [1]


@pytest.mark.parametrize(
    "acts", [(), (Act(5.0, "kill_engine", 0, 0, 0.5), Act(5.0, "kill_engine", 1, 0, 0.5))]
)
def test_polls_go_on_when_their_owner_dies(acts: tuple[Act, ...]) -> None:
    """The third look finds it, whoever owns the part by then; each is executed once, ten seconds after the one before."""

    def does(attempt: Attempt) -> tuple[float, Outcome, bool]:
        return 0.1, Outcome("succeeded", b"true" if attempt.key[4] == 3 else b"false"), False

    task = body("a", poll=Poll(seconds(10), "output"), retry=Retry(1))
    world = play(flow(task, body("b", "a")), does, *acts)
    assert states(world) == {"a": "succeeded", "b": "succeeded"}
    looks = [found[0] for key, found in sorted(world.bodies.executions.items()) if key[2] == 0]
    assert executions(world) == [1, 1, 1, 1]
    assert [look.output for look in looks] == [b"false", b"false", b"true"]
    apart = [later.began - before.began for before, later in pairwise(looks)]
    assert all(10.0 <= each < 12.0 for each in apart), apart
