"""Limits over several engines: what is granted, held and given back."""

from __future__ import annotations

from tests.mutants.mutant import CORE, MACHINE, SHELL, Mutant

_LEDGER = "tests/unit/shell/test_ledger.py"
_POOLS = "tests/unit/core/machine/test_pools.py"
_MAILBOX = "tests/integration/shell/test_limits.py"
_SHARES = "tests/unit/core/test_limits.py"
_KEYS = "tests/unit/shell/test_concurrency.py"
_MODEL = "tests/simulation/protocol/test_slots.py::test_the_ledger_decides_as_its_model_does"

LIMITS = [
    Mutant(
        "late-grant-counts",
        f"{MACHINE}/attempts.py",
        "if event.attempt is not None and live is not None and event.attempt != live.attempt:",
        "if False:",
        f"{_POOLS}::test_an_answer_that_is_told_twice_is_none_to_the_next_attempt",
        "A grant that was told twice would let the next attempt run over the limit.",
    ),
    Mutant(
        "request-hides-what-holds",
        f"{SHELL}/ledger.py",
        "(struck if held else self._complete)",
        "struck or (self._complete and not held)",
        f"{_LEDGER}::test_a_request_that_stands_before_what_frees_does_not_hide_what_holds",
        "A slot would stay taken for ever by a task run that has ended.",
    ),
    Mutant(
        "freed-does-not-wait",
        f"{SHELL}/ledger.py",
        "if claimant in self._freed or (struck if held else self._complete):",
        "if True:",
        f"{_LEDGER}::test_what_is_freed_before_the_row_that_holds_it_was_read_is_free",
        "What was given back before the grant was read would be held for ever.",
    ),
    Mutant(
        "freed-early-stays",
        f"{SHELL}/ledger.py",
        "        self._forget_early(batch)\n",
        "",
        f"{_LEDGER}::test_what_frees_nothing_leaves_the_inbox",
        "Rows would collect in the inbox that nobody ever needs.",
    ),
    Mutant(
        "granted-before-the-inbox-was-read",
        f"{SHELL}/mailbox.py",
        "if part.ledger is not None and len(page) < self._rows:",
        "if part.ledger is not None:",
        f"{_MAILBOX}::test_nothing_is_granted_before_the_inbox_was_read_to_its_end",
        "A new owner would grant slots that others hold, for it has not read so far.",
    ),
    Mutant(
        "grant-is-not-held",
        f"{SHELL}/ledger.py",
        "            batch.inbox_new.append(InboxRow(0, part, None, HELD, encode(claim), batch.at))\n",
        "",
        f"{_MODEL}[0]",
        "The next owner of the home part would grant the same slot again.",
    ),
    Mutant(
        "answer-is-not-repeated",
        f"{SHELL}/ledger.py",
        "            batch.inbox_done.append(row)\n            batch.inbox_new.append(_told(claim, batch.at))\n",
        "            batch.inbox_done.append(row)\n",
        f"{_LEDGER}::test_who_asks_for_what_it_holds_is_told_again",
        "A task run whose owner died with the grant would wait for ever.",
    ),
    Mutant(
        "shares-one-by-one",
        f"{CORE}/limits.py",
        "if not alone and not all(other is limit or other.room(rank, cost) for other, cost in costs):",
        "if False:",
        f"{_SHARES}::test_all_that_one_needs_is_taken_at_once_or_nothing_of_it",
        "A run would go on with one of its keys, while another run has the other.",
    ),
    Mutant(
        "passed-for-ever",
        f"{CORE}/limits.py",
        "if behind.passed == PASSED:",
        "if False:",
        f"{_SHARES}::test_who_needs_two_limits_is_not_passed_for_ever",
        "A run that needs two keys would starve behind runs that need one.",
    ),
    Mutant(
        "large-share-starves",
        f"{CORE}/limits.py",
        "if self.barrier is not None and self.barrier < rank:",
        "if False:",
        f"{_SHARES}::test_somebody_behind_does_not_pass_by_way_of_another_limit",
        "Small tasks would take every slot that comes free, and a large one never gets its own.",
    ),
    Mutant(
        "superseded-run-keeps-its-key",
        f"{SHELL}/admission.py",
        "            self._post(live, cancel_row(live.part.number, no, share, 0.0))\n",
        "            pass\n",
        f"{_KEYS}::test_cancel_in_progress_begins_when_the_older_run_has_ended",
        "The newer run would wait for the end of one that was to give way.",
    ),
]
