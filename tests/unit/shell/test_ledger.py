"""The ledger of limits: what its inbox rows come to, in whichever order they were written, and over a change of owners."""

from __future__ import annotations

import msgspec

from headrace.engine.ports.pools import PoolRow
from headrace.engine.ports.store import Batch, InboxRow
from headrace.engine.shell.claims import FREED, GRANTED, HELD, WANTED, Claim, Granted, encode
from headrace.engine.shell.ledger import Ledger
from headrace.engine.shell.pools import Sizes

PART = 3


def claim(run: int, attempt: int = 0) -> bytes:
    return encode(Claim("p", "pool:narrow", PART, run, 1, 0, 0, attempt=attempt))


class Inbox:
    """The rows of the home part, as they are stored between batches."""

    def __init__(self) -> None:
        self.rows: dict[int, InboxRow] = {}
        self.granted: list[int | None] = []
        self.attempts: list[int | None] = []
        self._next = 1

    def post(self, kind: str, body: bytes, run: int | None = None) -> None:
        self.rows[self._next] = InboxRow(self._next, PART, run, kind, body, 0.0)
        self._next += 1

    def read(self, ledger: Ledger) -> None:
        """One turn: everything that is there, then what can be granted, committed at once."""
        batch = Batch(PART, 1, 1, 0.0)
        for row in list(self.rows.values()):
            ledger.read(row, batch)
        ledger.grant(PART, batch)
        for done in batch.inbox_done:
            del self.rows[done]
        for new in batch.inbox_new:
            if new.kind == GRANTED:
                self.granted.append(new.run)
                self.attempts.append(msgspec.json.decode(new.body, type=Granted).attempt)
            else:
                self.post(new.kind, new.body, new.run)


def test_what_is_freed_before_the_row_that_holds_it_was_read_is_free() -> None:
    inbox, ledger = Inbox(), Ledger(Sizes({"narrow": 1}))
    inbox.post(WANTED, claim(1))
    batch = Batch(PART, 1, 1, 0.0)
    ledger.read(inbox.rows.pop(1), batch)
    ledger.grant(PART, batch)
    inbox.post(FREED, claim(1))  # another part's engine was quicker than this one's commit
    held = next(row for row in batch.inbox_new if row.kind == HELD)
    inbox.post(HELD, held.body)
    inbox.read(ledger)
    assert not inbox.rows
    assert ledger.used("p", "pool:narrow") == 0
    inbox.post(WANTED, claim(2))
    inbox.read(ledger)
    assert inbox.granted == [2]


def test_a_new_owner_that_reads_what_frees_before_what_holds_holds_nothing() -> None:
    inbox = Inbox()
    inbox.post(FREED, claim(1))
    inbox.post(HELD, claim(1))
    ledger = Ledger(Sizes({"narrow": 1}))
    inbox.read(ledger)
    assert not inbox.rows
    assert ledger.used("p", "pool:narrow") == 0


def test_a_request_that_stands_before_what_frees_does_not_hide_what_holds() -> None:
    """It was granted, asked for again by a new owner of the run, and given back, all before the grant was committed."""
    inbox = Inbox()
    for kind in (WANTED, FREED, HELD):
        inbox.post(kind, claim(1))
    ledger = Ledger(Sizes({"narrow": 1}))
    inbox.read(ledger)
    assert not inbox.rows
    assert ledger.used("p", "pool:narrow") == 0


def test_who_asks_for_what_it_holds_is_told_again() -> None:
    inbox, ledger = Inbox(), Ledger(Sizes({"narrow": 1}))
    for kind in (HELD, WANTED):
        inbox.post(kind, claim(1))
    inbox.read(ledger)
    assert inbox.granted == [1]
    assert [row.kind for row in inbox.rows.values()] == [HELD]


def test_who_asks_again_keeps_its_place_and_is_answered_for_the_attempt_that_asks_now() -> None:
    inbox, ledger = Inbox(), Ledger(Sizes({"narrow": 1}))
    inbox.post(HELD, claim(1))
    for run, attempt in ((2, 1), (3, 1), (2, 2)):
        inbox.post(WANTED, claim(run, attempt))
    inbox.read(ledger)
    assert [inbox.rows[row].kind for row in sorted(inbox.rows)] == [HELD, WANTED, WANTED]
    inbox.post(FREED, claim(1))
    inbox.read(ledger)
    assert inbox.granted == [2]
    assert inbox.attempts == [2]


def test_what_frees_nothing_leaves_the_inbox() -> None:
    inbox, ledger = Inbox(), Ledger(Sizes({"narrow": 1}))
    inbox.post(FREED, claim(1))
    inbox.read(ledger)
    assert not inbox.rows
    inbox.post(FREED, claim(2))
    inbox.read(ledger)
    assert not inbox.rows


def test_what_is_freed_twice_before_the_inbox_was_read_to_its_end_leaves_it() -> None:
    inbox, ledger = Inbox(), Ledger(Sizes({"narrow": 1}))
    inbox.post(FREED, claim(1))
    inbox.post(FREED, claim(1))
    inbox.read(ledger)
    assert not inbox.rows


def test_a_pool_that_is_resized_grants_what_fits_then() -> None:
    sizes = Sizes()
    sizes.learn([PoolRow("p", "narrow", 1, None, "ada", 1.0)])
    inbox, ledger = Inbox(), Ledger(sizes)
    for run in range(5):
        inbox.post(WANTED, claim(run))
    inbox.read(ledger)
    assert inbox.granted == [0]
    sizes.learn([PoolRow("p", "narrow", 3, None, "ada", 1.0)])
    ledger.resized()
    inbox.read(ledger)
    assert inbox.granted == [0, 1, 2]
    sizes.learn([PoolRow("p", "narrow", 0, None, "ada", 1.0)])
    ledger.resized()
    for run in range(3):
        inbox.post(FREED, claim(run))
    inbox.read(ledger)
    assert inbox.granted == [0, 1, 2]
    sizes.learn([])
    ledger.resized()
    inbox.read(ledger)
    assert inbox.granted == [0, 1, 2, 3, 4]
