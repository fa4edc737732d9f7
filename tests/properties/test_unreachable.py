"""What planning says never runs does not run, whatever random tasks come to and in whatever order they end."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.engine.core.planning import build_plan
from headrace.engine.core.workflow import Workflow
from tests.support.model_flight import Course, Flight
from tests.support.strategies import workflows


@settings(
    max_examples=200,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(workflows(8), st.integers(0, 1_000_000))
def test_what_never_runs_does_not_run(workflow: Workflow, seed: int) -> None:
    told = {w.task for w in build_plan(workflow)[1] if w.code == "never_runs" and w.path[-1] != "gate"}
    if not told:
        return
    flight = Flight(workflow, seed, Course(mischief=5))
    flight.fly()
    assert [name for name in flight.pilot.started if name.split("[")[0] in told] == []
