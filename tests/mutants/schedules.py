"""Schedules: clock changes, what was missed, runs that go on, and one run for each moment."""

from tests.mutants.mutant import CORE, SHELL, STORE, Mutant

_POLICY = "tests/properties/test_timetables.py::test_each_policy_on_each_line"
_BETWEEN = "tests/properties/test_timetables.py::test_a_walk_that_begins_between_the_two_passes_of_an_hour_sees_the_second"
_STEPS = "tests/unit/core/schedules/test_stepping.py"
_TICKER = "tests/unit/shell/test_schedules.py"
_STORED = "tests/contracts/test_store_schedules.py"

SCHEDULES = (
    Mutant(
        "hour-that-comes-twice-fires-twice",
        f"{CORE}/schedules/timetable.py",
        'return first <= last or offset == (first if self._overlap == "first" else last)',
        "return True",
        _POLICY,
        "On the night when clocks go back the books would be closed twice.",
    ),
    Mutant(
        "hour-that-is-missing-fires-not",
        f"{CORE}/schedules/timetable.py",
        "return missed is not None and missed < gone + timedelta(seconds=ahead)",
        "return False",
        _POLICY,
        "On the night when clocks go forward there would be no run.",
    ),
    Mutant(
        "second-pass-of-an-hour-is-forgotten",
        f"{CORE}/schedules/timetable.py",
        "near = max(at, min(found, at + SHIFT))",
        "near = found",
        _BETWEEN,
        "An engine that began between the two passes of an hour would leave one out.",
    ),
    Mutant(
        "missed-is-skipped",
        f"{CORE}/schedules/stepping.py",
        "        waiting += missed\n",
        "        waiting += missed[:1]\n",
        f"{_TICKER}::test_all_that_was_missed_is_run_one_after_the_other",
        "What was to be caught up would be lost.",
    ),
    Mutant(
        "paused-workflow-starts",
        f"{SHELL}/schedules/ticking.py",
        "held = not schedule.enabled or (due.settings is not None and due.settings.paused)",
        "held = not schedule.enabled",
        f"{_TICKER}::test_a_paused_workflow_starts_nothing_and_what_came_is_passed_over",
        "Who pauses a workflow means it.",
    ),
    Mutant(
        "failures-never-pause",
        f"{CORE}/schedules/stepping.py",
        "failures = 0 if succeeded else failures + 1",
        "failures = 0",
        f"{_STEPS}::test_failures_in_a_row_pause_and_a_success_begins_the_count_anew",
        "It would fail every night, for years.",
    ),
    Mutant(
        "two-engines-two-runs",
        f"{STORE}/scheduling.py",
        "taken = [step for step in steps if seen.get(step.schedule.no) == step.schedule.revision]",
        "taken = [step for step in steps if step.schedule.no in seen]",
        f"{_STORED}::TestAdvance::test_a_step_on_what_has_changed_meanwhile_writes_nothing",
        "Whoever comes second would do it again.",
    ),
    Mutant(
        "a-new-line-catches-up",
        f"{STORE}/scheduling.py",
        "if _timing(row.trigger) != _timing(new.trigger):",
        "if False:",
        f"{_STORED}::TestWithVersions::test_what_says_when_begins_anew_and_the_rest_goes_on",
        "A schedule that was changed would run for moments that it never had.",
    ),
    Mutant(
        "a-pause-is-caught-up",
        f"{STORE}/scheduling.py",
        'changed |= {"cursor": at, "failures": 0, "problem": None}',
        'changed |= {"failures": 0, "problem": None}',
        f"{_STORED}::TestPause::test_a_pause_forgets_what_waits_and_a_resume_passes_over_what_came",
        "To resume would start what somebody had stopped.",
    ),
)
