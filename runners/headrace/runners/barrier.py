"""Which messages a worker takes, and what it can say about what it has read: W2 and the barrier of a takeover."""

from __future__ import annotations

from headrace.engine.ports.broker import Told


class Barrier:
    """The epochs that one worker has seen.

    A part's epoch grows with every new owner, and what an old one still has under way is refused from the first
    message of the new one on, whichever queue brought that. What the *new* owner may conclude is per queue: a message
    of its epoch on a queue's topic means that all its predecessors wrote there before has been read.
    """

    def __init__(self, worker_id: str) -> None:
        self._worker = worker_id
        self._highest: dict[int, int] = {}  # by part
        self._seen: dict[int, dict[str, int]] = {}  # by part and queue
        self.refused = 0
        """Messages of old owners that were dropped."""

    def admits(self, told: Told) -> bool:
        """Whether the message is for this worker and of the part's owner; remembers its epoch when it is."""
        message = told.message
        if message.to != self._worker:
            return False
        part, epoch = message.part, message.epoch
        highest = self._highest.get(part, 0)
        if epoch < highest:
            self.refused += 1
            return False
        if epoch > highest:
            self._highest[part] = epoch
        seen = self._seen.get(part)
        if seen is None:
            self._seen[part] = {told.queue: epoch}
        elif seen.get(told.queue) != epoch:
            seen[told.queue] = epoch
        return True

    def seen(self, part: int) -> dict[str, int]:
        """By queue the highest epoch of the part that was seen on its topic; the caller's own copy."""
        return dict(self._seen.get(part, ()))
