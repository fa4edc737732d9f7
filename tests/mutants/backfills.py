"""Backfills: never more runs at once than may, one run for each moment, and an end."""

from tests.mutants.mutant import CORE, SHELL, STORE, Mutant

_STEPS = "tests/properties/test_backfill_steps.py"
_FILLING = "tests/unit/shell/test_backfills.py"
_STORED = "tests/contracts/test_store_backfills.py"

BACKFILLS = (
    Mutant(
        "backfill-forgets-what-goes-on",
        f"{SHELL}/schedules/filling.py",
        "max(0, row.max_active - active)",
        "row.max_active",
        f"{_FILLING}::test_each_moment_has_one_run_in_order_and_no_more_go_on_than_may",
        "Each look would begin as many runs again as may go on at once.",
    ),
    Mutant(
        "backfill-is-advanced-by-two",
        f"{STORE}/backfilling.py",
        "taken = [step for step in steps if seen.get(step.backfill.no) == step.backfill.revision]",
        "taken = [step for step in steps if step.backfill.no in seen]",
        f"{_STORED}::TestAdvance::test_a_step_on_what_has_changed_meanwhile_writes_nothing",
        "A paused backfill would go on, and two engines would begin runs beyond its limit.",
    ),
    Mutant(
        "backfill-runs-again-what-goes-on",
        f"{CORE}/backfills.py",
        'if newest.succeeded is None or reprocess == "missing":',
        'if reprocess == "missing":',
        f"{_STEPS}::test_each_moment_has_its_turn_once_in_order_and_never_more_go_on_than_may",
        "Two backfills of the same days would run each of them twice at once.",
    ),
    Mutant(
        "backfill-follows-a-run-twice",
        f"{SHELL}/schedules/firing.py",
        'return key_of(schedule, moment) if follows is None else f"{key_of(schedule, moment)}>{follows}"',
        "return key_of(schedule, moment)",
        f"{_FILLING}::test_reprocessing_what_failed_and_reprocessing_all",
        "What failed could not be run again: its key is taken.",
    ),
    Mutant(
        "backfill-keeps-a-run-that-was-not-begun",
        f"{STORE}/backfilling.py",
        '"new_state": PASSED if each.run in served else each.state,',
        '"new_state": each.state,',
        f"{_STORED}::TestAdvance::test_a_moment_that_has_got_its_run_meanwhile_is_passed_over",
        "It would count a run that does not exist as cancelled.",
    ),
)
