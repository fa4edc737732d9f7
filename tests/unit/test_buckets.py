"""Token buckets of one process."""

from __future__ import annotations

from headrace.engine.cache.buckets import MOST, Buckets


def test_ever_new_names_do_not_take_ever_more_memory_and_free_nobody_who_is_held() -> None:
    """Somebody tries to log in under a hundred thousand names, none of whose buckets fills up meanwhile."""
    now = 0.0
    buckets = Buckets(lambda: now)
    for _ in range(5):
        assert buckets.take("held", 0.001, 5, 1) == 0.0
    for number in range(10 * MOST):
        now += 0.001
        assert buckets.take(f"name {number}", 0.001, 5, 1) == 0.0
        assert len(buckets._full_at) <= MOST
    assert buckets.take("held", 0.001, 5, 1) > 800


def test_full_buckets_go_first() -> None:
    now = 0.0
    buckets = Buckets(lambda: now)
    buckets.take("slow", 0.001, 5, 1)
    for number in range(MOST - 1):
        buckets.take(f"quick {number}", 1000, 5, 1)
        now += 1.0 / MOST
    now += 1.0
    buckets.take("one more", 1000, 5, 1)
    assert set(buckets._full_at) == {"slow", "one more"}
