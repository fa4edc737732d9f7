"""Which messages a worker takes, and which epochs it says it has seen."""

from __future__ import annotations

from headrace.engine.ports.broker import Told
from headrace.engine.ports.messages import Ask
from headrace.runners.barrier import Barrier


def told(epoch: int, queue: str = "a", part: int = 0, to: str = "w") -> Told:
    return Told(queue, Ask(to, part, epoch, None))


def test_what_is_below_the_highest_epoch_of_the_part_on_any_queue_is_dropped() -> None:
    barrier = Barrier("w")
    assert barrier.admits(told(3, "a"))
    assert barrier.admits(told(3, "b"))
    assert barrier.admits(told(5, "a"))
    assert not barrier.admits(told(3, "b")), "the new owner spoke on another queue"
    assert barrier.admits(told(5, "b"))
    assert barrier.admits(told(1, "b", part=1)), "every part has epochs of its own"
    assert barrier.refused == 1


def test_seen_is_per_queue() -> None:
    barrier = Barrier("w")
    barrier.admits(told(3, "a"))
    barrier.admits(told(3, "b"))
    barrier.admits(told(5, "a"))
    assert barrier.seen(0) == {"a": 5, "b": 3}, "what the old owner wrote to b may still be unread"
    assert barrier.seen(7) == {}


def test_messages_to_others_say_nothing() -> None:
    barrier = Barrier("w")
    assert not barrier.admits(told(9, to="v"))
    assert barrier.seen(0) == {}
    assert barrier.admits(told(1))
