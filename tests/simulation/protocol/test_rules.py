"""Each rule of the protocol, switched off, breaks what it is there for. So the checker can see, and the rule is needed.

Every test names the invariant; the trace behind it is the shortest there is.
"""

from __future__ import annotations

from typing import Any

from tests.simulation.protocol.model import check, told
from tests.simulation.protocol.terms import Rules


def without(*off: str, expect: str, **sizes: Any) -> None:
    """With these rules off the invariant `expect` breaks in this world; with all rules on nothing does.

    Both hold again when every publish is a step of its own (where the shortest way may be to another invariant).
    """
    rules = Rules().but(**dict.fromkeys(off, False))
    bad = check(1, 2, rules=rules, **sizes)
    assert bad.broken == expect, told(bad)
    assert not check(1, 2, rules=rules, stepwise=True, **sizes).sound
    for stepwise in (False, True):
        sound = check(1, 2, stepwise=stepwise, **sizes)
        assert sound.sound, told(sound)


# -- the engine --------------------------------------------------------------------------------------------------


def test_publish_before_commit() -> None:
    """E2: the message is out, the row is not, and the next owner sends it elsewhere."""
    without("commit_before_publish", crash=1, expect="started twice")


def test_offset_apart_from_its_effect() -> None:
    """E2: the offset is past a result that nobody has taken in."""
    without("offset_with_effect", crash=1, expect="offset without its effect")


def test_no_fence() -> None:
    """E3: an engine that lost the part goes on writing."""
    without("fence", steal=1, expect="a stale owner wrote")


def test_settled_while_the_statement_still_waits() -> None:
    """E4: a commit taken for lost is carried out later, over what came after it."""
    without("settle_ends_the_statement", unanswered=1, expect="moved back")


def test_delivery_not_compared() -> None:
    """E6: an old hand-back takes a task away from the worker that runs it."""
    without("delivery_counts", hand_back=1, duplicate=1, expect="an illegal move")


def test_attempt_not_compared() -> None:
    """E6: one failure, reported twice, costs two attempts."""
    without("attempt_counts", failure=1, duplicate=1, expect="accepted twice")


def test_reports_of_what_is_not_in_flight() -> None:
    """E6: a worker that was given up still ends what waits in the line."""
    without("reports_of_the_final_are_stale", cut=1, cancel=1, expect="accepted a stale report")


def test_lease_ends_while_reports_stand_unread() -> None:
    """E8: an owner that was held up takes its own absence for the worker's."""
    without("lease_waits_for_the_log", expect="gave up an attempt whose result was in the log")


def test_worker_given_up_while_its_reports_stand_unread() -> None:
    """E8, mended: Beats and reports are in different topics; the result may stand unread in the other."""
    without("worker_loss_waits_for_the_log", death=1, expect="gave up an attempt whose result was in the log")


def test_what_ran_is_sent_again_as_the_same_attempt() -> None:
    """E8: a new incarnation would do again, as the same attempt, what was known to have begun."""
    without("loss_ends_what_runs", death=1, expect="an illegal move")


def test_no_barrier() -> None:
    """E9: what was committed and never published waits for ever. The sweeper would find it too, later: it is off."""
    off = check(1, 2, rules=Rules(barrier=False, sweeper=False), crash=1)
    assert off.broken == "no good end can be reached", told(off)
    for rules in (Rules(sweeper=False), Rules(barrier=False)):
        on = check(1, 2, rules=rules, crash=1, steal=1, hand_back=1)
        assert on.sound, told(on)


def test_barrier_that_any_alive_opens() -> None:
    """E9: an Alive from before the barrier says nothing about what is still on its way."""
    without("barrier_shows_epoch", crash=1, chatter=1, forget=1, expect="started twice")


def test_new_owner_does_not_abort_again() -> None:
    """E9, mended: the Abort was committed and never published, and the task runs for ever."""
    without("abort_again", crash=1, cancel=1, endless=True, expect="no good end can be reached")


def test_no_sweeper() -> None:
    """A dispatch that Kafka lost after acknowledging it is never missed."""
    without("sweeper", loss=1, expect="no good end can be reached")


# -- the worker --------------------------------------------------------------------------------------------------


def test_epoch_not_checked_at_the_worker() -> None:
    """W2: the stale owner's last message is done again behind the barrier."""
    without("epoch_at_worker", steal=1, forget=1, expect="started twice")


def test_no_memory_of_what_has_finished() -> None:
    """W3: a message produced twice is done twice."""
    without("memory", duplicate=1, expect="started twice")


def test_higher_delivery_not_adopted() -> None:
    """W3: the result comes under an old delivery and never counts. The sweeper's Ask would mend it too: it is off."""
    off = check(1, 2, rules=Rules(adoption=False, sweeper=False), cut=1)
    assert off.broken == "no good end can be reached", told(off)
    on = check(1, 2, rules=Rules(sweeper=False), cut=1)
    assert on.sound, told(on)


def test_hand_backs_forgotten() -> None:
    """W3, mended: what was handed back and went elsewhere is started here by a late copy of its dispatch."""
    without("hand_backs_remembered", hand_back=1, duplicate=1, expect="started twice")


def test_key_leaves_held_before_its_report_is_acknowledged() -> None:
    """W6: for a moment it is neither held nor remembered nor reported, and an Alive says so."""
    without("held_until_acknowledged", crash=1, expect="started twice")


def test_ask_without_a_delivery() -> None:
    """W7, mended: an old `unknown` ends an attempt that has begun since."""
    without("ask_names_delivery", loss=1, duplicate=1, expect="a new attempt without a cause")


def test_ask_without_a_delivery_and_a_strict_engine() -> None:
    """W7, mended: then no `unknown` ever counts, and a lost dispatch is never sent again."""
    without("ask_names_delivery", "denials_by_attempt", loss=1, expect="no good end can be reached")


def test_denials_forgotten() -> None:
    """W7, mended: `unknown` was taken for the end of a cancelled task; then its dispatch arrives."""
    without("denials_remembered", loss=1, duplicate=1, cancel=1, expect="started after its end")


def test_unknown_sent_elsewhere_and_forgotten() -> None:
    """The sweeper: the first worker still gets the dispatch that it has denied."""
    without("unknown_stays", "denials_remembered", loss=1, duplicate=1, expect="started twice")


def test_abort_of_the_unknown_forgotten() -> None:
    """W8: the dispatch comes after its Abort."""
    without("abort_remembered", loss=1, duplicate=1, cancel=1, expect="started after its end")


# -- what is not promised ----------------------------------------------------------------------------------------


def test_a_copy_that_outlives_the_memory_is_done_twice() -> None:
    """A limit, not a fault: worker memory is bounded. Such a copy is executed again and its report is stale."""
    verdict = check(1, 2, duplicate=1, forget=1)
    assert verdict.broken == "started twice"


def test_a_lost_result_that_was_forgotten_too_is_done_twice() -> None:
    """A limit, not a fault: Kafka loses what it acknowledged, and the worker has forgotten it."""
    verdict = check(1, 2, loss=1, forget=1, crash=1)
    assert verdict.broken == "started twice"
