"""The machine against the reference model: random workflows, outcomes, orders of events, crashes and mischief.

After every event the two must agree on the state of every task run, on what is under way and on what is ready; the model
refuses a start that no rule allows. `HEADRACE_FLIGHTS` sets how many flights each property makes, for long searches.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.engine.core.workflow import Workflow
from tests.support.model_flight import Course, Flight
from tests.support.strategies import layered, workflows

FLIGHTS = os.environ.get("HEADRACE_FLIGHTS")
SEEDS = st.integers(0, 1_000_000)

Property = Callable[[Workflow, int], None]


def flights(count: int) -> Callable[[Property], Property]:
    """The same examples every time, unless a longer search is asked for."""
    return settings(
        max_examples=int(FLIGHTS or count),
        derandomize=FLIGHTS is None,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@flights(1000)
@given(workflows(8), SEEDS)
def test_the_machine_agrees_with_the_model(workflow: Workflow, seed: int) -> None:
    """faults 16; I2, I4, I5"""
    Flight(workflow, seed, Course(mischief=0)).fly()


@flights(800)
@given(workflows(8), SEEDS)
def test_crashes_repeats_lost_workers_and_pauses_change_no_final_state(workflow: Workflow, seed: int) -> None:
    """faults 19, 20, 53, 54, 56; I2, I3, I4, I5"""
    Flight(workflow, seed, Course(mischief=40)).fly()


@flights(300)
@given(layered(), SEEDS)
def test_tasks_that_wait_for_the_very_same_tasks_share_a_count(workflow: Workflow, seed: int) -> None:
    Flight(workflow, seed, Course(mischief=10, cancel=1)).fly()


@flights(300)
@given(workflows(6), SEEDS)
def test_a_crash_after_every_event_changes_nothing(workflow: Workflow, seed: int) -> None:
    """I6, as far as rows go: the board laid from them equals the one that was lost."""
    flight = Flight(workflow, seed, Course(mischief=0))
    flight.start()
    while not flight.pilot.machine.final:
        flight.crash()
        flight.agree()
        if not flight.pilot.machine.final:
            flight.step()
    flight.at_the_end()


@flights(600)
@given(workflows(7), SEEDS)
def test_a_run_may_be_cancelled_or_killed_at_any_moment(workflow: Workflow, seed: int) -> None:
    """faults 32"""
    Flight(workflow, seed, Course(mischief=15, cancel=6, kill=3)).fly()


@flights(300)
@given(workflows(8), SEEDS)
def test_the_history_decides_the_same_again(workflow: Workflow, seed: int) -> None:
    """I6"""
    flight = Flight(
        workflow, seed, Course(mischief=25, wanted=("repeat", "started", "back", "lost", "pause"))
    )
    flight.fly().pilot.replayed()


@flights(300)
@given(workflows(7), SEEDS)
def test_runs_may_run_again_from_what_failed(workflow: Workflow, seed: int) -> None:
    """Twice, with other outcomes; everything that did not fail and does not follow keeps its result."""
    Flight(workflow, seed, Course(mischief=20, cancel=2, kill=1, reruns=2)).fly()
