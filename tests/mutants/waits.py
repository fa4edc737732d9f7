"""Waits that others end: what is kept of them, and who counts."""

from tests.mutants.mutant import MACHINE, Mutant

_WAITS = "tests/unit/core/machine/test_waits.py"

WAITS = (
    Mutant(
        "one-person-is-two",
        f"{MACHINE}/waits.py",
        "if any(vote.by == event.by for vote in so_far.votes):",
        "if False:",
        f"{_WAITS}::test_an_approval_takes_as_many_people_as_it_says",
        "Whoever agrees twice would be two of the people that are asked for.",
    ),
    Mutant(
        "agreement-forgotten",
        f"{MACHINE}/board.py",
        "row.output = live.progress",
        "pass",
        f"{_WAITS}::test_a_wait_goes_on_with_the_next_engine",
        "The next owner of a run would not know who has agreed.",
    ),
    Mutant(
        "signal-of-any-payload",
        f"{MACHINE}/waits.py",
        "    if meant:",
        "    if True:",
        f"{_WAITS}::test_only_a_signal_that_was_meant_counts",
        "A signal would end a wait though its condition does not hold.",
    ),
    Mutant(
        "wait-that-nobody-forgets",
        f"{MACHINE}/board.py",
        "if self.plan.kinds[key.task] in FOUND_BY_OTHERS:",
        "if False:",
        f"{_WAITS}::test_a_person_may_settle_a_wait",
        "What has ended would still be asked of people, and be told signals.",
    ),
    Mutant(
        "expiry-that-always-fails",
        f"{MACHINE}/waits.py",
        "state = _ENDS[how]",
        'state = _ENDS["fail"]',
        f"{_WAITS}::test_nobody_comes_in_time",
        "on_expiry and on_reject would say nothing.",
    ),
)
