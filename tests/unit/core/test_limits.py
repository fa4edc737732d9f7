"""Who may go: several limits at once, those that are passed, and what strategies cancel."""

from __future__ import annotations

from headrace.engine.core.limits import (
    CANCEL_IN_PROGRESS,
    CANCEL_NEWEST,
    KEEP_NEWEST,
    ROUND_ROBIN,
    Limits,
    Name,
    Share,
)

A, B = ("p", "a"), ("p", "b")


def key(value: str, strategy: str, size: int = 1) -> Share:
    return Share(("p", "key", value), size=size, strategy=strategy)


def asked(limits: Limits[int], claimant: int, *shares: Share) -> list[int]:
    """Who goes when that one asks."""
    limits.want(claimant, shares, 0, claimant)
    return limits.settle().granted


def freed(limits: Limits[int], claimant: int) -> list[int]:
    limits.free(claimant)
    return limits.settle().granted


def test_all_that_one_needs_is_taken_at_once_or_nothing_of_it() -> None:
    limits: Limits[int] = Limits()
    a, b = Share(A, size=1), Share(B, size=1)
    assert asked(limits, 1, a) == [1]
    assert asked(limits, 2, a, b) == []
    assert limits.used(B) == 0
    assert asked(limits, 3, b) == [3]  # what 2 does not have, it keeps from nobody
    assert freed(limits, 1) == []
    assert freed(limits, 3) == [2]
    assert (limits.used(A), limits.used(B)) == (1, 1)


def test_who_does_not_fit_holds_back_those_behind_on_that_limit_alone() -> None:
    limits: Limits[int] = Limits()
    asked(limits, 1, Share(A, size=3))
    assert asked(limits, 2, Share(A, 3, 3), Share(B, size=5)) == []
    assert asked(limits, 3, Share(A, 1, 3)) == []  # it would fit, and 2 would wait for ever
    assert asked(limits, 4, Share(B, size=5)) == [4]
    assert freed(limits, 1) == [2]


def test_somebody_behind_does_not_pass_by_way_of_another_limit() -> None:
    limits: Limits[int] = Limits()
    asked(limits, 1, Share(A, size=2))
    assert asked(limits, 2, Share(A, 2, 2)) == []
    assert asked(limits, 3, Share(B, size=1), Share(A, 1, 2)) == []


def test_who_needs_two_limits_is_not_passed_for_ever() -> None:
    """Each is free while the other is taken: without shares that are kept, nothing would ever change."""
    limits: Limits[int] = Limits()
    a, b = Share(A, size=1), Share(B, size=1)
    asked(limits, 1, a)
    asked(limits, 2, b)
    asked(limits, 3, a, b)
    on_a, on_b, claimant = 1, 2, 3
    for _ in range(150):
        asked(limits, claimant := claimant + 1, a)
        assert freed(limits, on_a) in ([claimant], [])
        on_a = claimant
        asked(limits, claimant := claimant + 1, b)
        if limits.holds(3):
            return
        freed(limits, on_b)
        if limits.holds(3):
            return
        on_b = claimant
    raise AssertionError("it was passed for ever")


def test_what_was_kept_for_one_is_not_kept_for_those_behind_it() -> None:
    limits: Limits[int] = Limits()
    a, b = Share(A, size=2), Share(B, size=1)
    asked(limits, 1, b)
    asked(limits, 2, a, b)
    asked(limits, 3, a, b)
    going, claimant = asked(limits, 4, a) + asked(limits, 5, a), 5
    for _ in range(150):
        asked(limits, claimant := claimant + 1, a)
        going = [*going[1:], *freed(limits, going[0])]
    assert len(going) == 1  # one of two places is kept for 2
    assert 2 in freed(limits, 1)
    assert limits.used(A) == 2
    freed(limits, going[0])
    assert limits.used(A) == 2  # 3 was never passed: nothing is kept for it


def test_of_one_key_the_oldest_goes_first_whoever_asked_first() -> None:
    limits: Limits[int] = Limits()
    place = Share(A, size=1)
    asked(limits, 0, place, key("us", ROUND_ROBIN, 9))
    for run in (3, 1, 2):  # as they were loaded
        assert asked(limits, run, place, key("eu", ROUND_ROBIN, 9)) == []
    order, now = [], 0
    while granted := freed(limits, now):
        (now,) = granted
        order.append(now)
    assert order == [1, 2, 3]


def test_a_key_that_comes_again_and_again_does_not_keep_others_waiting() -> None:
    limits: Limits[int] = Limits()
    place = Share(A, size=1)
    asked(limits, 1, place, key("eu", ROUND_ROBIN, 9))
    asked(limits, 2, place, key("us", ROUND_ROBIN, 9))
    asked(limits, 3, place, key("eu", ROUND_ROBIN, 9))
    assert freed(limits, 1) == [2]
    asked(limits, 4, place, key("us", ROUND_ROBIN, 9))
    assert freed(limits, 2) == [3]


def test_a_key_that_comes_late_takes_turns_from_then_on() -> None:
    limits: Limits[int] = Limits()
    place = Share(A, size=1)
    for run in range(4):
        asked(limits, run, place, key("eu", ROUND_ROBIN, 9))
    assert [freed(limits, 0), freed(limits, 1)] == [[1], [2]]
    for run in range(4, 8):
        asked(limits, run, place, key("us", ROUND_ROBIN, 9))
    order, now = [], 2
    while granted := freed(limits, now):
        (now,) = granted
        order.append(now)
    assert order == [3, 4, 5, 6, 7]


def test_keys_of_one_entry_take_turns_for_what_they_share() -> None:
    limits: Limits[int] = Limits()
    place = Share(A, size=1)
    asked(limits, 0, place, key("eu", ROUND_ROBIN, 9))
    for run, region in enumerate(("eu", "eu", "eu", "us", "us"), 1):
        assert asked(limits, run, place, key(region, ROUND_ROBIN, 9)) == []
    order, now = [], 0
    while granted := freed(limits, now):
        (now,) = granted
        order.append(now)
    assert order == [1, 4, 2, 5, 3]


def test_cancel_newest_lets_nobody_wait() -> None:
    limits: Limits[int] = Limits()
    assert asked(limits, 1, key("x", CANCEL_NEWEST)) == [1]
    limits.want(2, (key("x", CANCEL_NEWEST),), 0, 2)
    limits.want(3, (key("y", CANCEL_NEWEST),), 0, 3)
    settled = limits.settle()
    assert settled.granted == [3]
    assert [(one.claimant, one.by) for one in settled.cancelled] == [(2, 1)]
    assert not limits.waits(2)


def test_cancel_newest_waits_for_a_place_that_its_key_does_not_take() -> None:
    limits: Limits[int] = Limits()
    asked(limits, 1, Share(A, size=1))
    limits.want(2, (Share(A, size=1), key("x", CANCEL_NEWEST)), 0, 2)
    assert limits.settle() == ([], [])
    assert freed(limits, 1) == [2]


def test_keep_newest_keeps_who_goes_and_one_that_waits() -> None:
    limits: Limits[int] = Limits()
    asked(limits, 1, key("x", KEEP_NEWEST))
    told = []
    for run in (2, 3, 4):
        limits.want(run, (key("x", KEEP_NEWEST),), 0, run)
        told += [(one.claimant, one.by) for one in limits.settle().cancelled]
    assert told == [(2, 3), (3, 4)]
    assert freed(limits, 1) == [4]


def test_cancel_in_progress_cancels_the_oldest_that_are_in_the_way_and_waits_for_their_end() -> None:
    limits: Limits[int] = Limits()
    share = key("x", CANCEL_IN_PROGRESS, 2)
    assert asked(limits, 1, share) == [1]
    assert asked(limits, 2, share) == [2]
    told = []
    for run in (3, 4):
        limits.want(run, (share,), 0, run)
        settled = limits.settle()
        assert not settled.granted
        told += [one.claimant for one in settled.cancelled]
    assert told == [1, 2]  # each once; 3 and 4 are the two that are left
    assert limits.used(share.name) == 2
    assert freed(limits, 1) == [3]
    assert freed(limits, 2) == [4]


def test_cancel_in_progress_of_several_that_come_at_once_leaves_the_newest() -> None:
    limits: Limits[int] = Limits()
    share = key("x", CANCEL_IN_PROGRESS)
    for run in (1, 2, 3):
        limits.want(run, (share,), 0, run)
    settled = limits.settle()
    assert settled.granted == [1]
    assert sorted(one.claimant for one in settled.cancelled) == [1, 2]
    assert freed(limits, 1) == [3]


def test_who_asks_again_after_it_left_the_middle_of_a_line_has_one_place() -> None:
    limits: Limits[int] = Limits()
    share = Share(A, size=1)
    for run in (1, 2, 3):
        asked(limits, run, share)
    for _ in range(3):
        limits.free(3)
        asked(limits, 3, share)
    assert freed(limits, 1) == [2]
    assert freed(limits, 2) == [3]
    assert freed(limits, 3) == []
    assert list(limits) == []


def test_a_size_that_its_claimants_know_is_that_of_the_newest() -> None:
    limits: Limits[int] = Limits()
    for run in (1, 2, 3):
        asked(limits, run, Share(A, size=1))
    assert asked(limits, 4, Share(A, size=3)) == [2, 3]


def test_sizes_that_others_know_are_asked_for_again() -> None:
    sizes: dict[Name, int] = {A: 1}
    limits: Limits[int] = Limits(sizes.get)
    asked(limits, 1, Share(A))
    asked(limits, 2, Share(A))
    sizes[A] = 0
    limits.resized()
    assert limits.settle().granted == []
    assert freed(limits, 1) == []  # closed
    del sizes[A]
    limits.resized()
    assert limits.settle().granted == [2]
