"""What a worker has accepted and not started: a line per lane and priority class, and the slots that bound what runs.

A lane is a way of executing: sync code on threads, coroutines on a loop, processes and HTTP calls on another.
Lanes take from the line themselves, so starting the next task needs no round trip to the worker's loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock

from headrace.runners.attempt import BUFFERED, DROPPED, ENDED, RUNNING, Attempt

THREADS, COROUTINES, PROCESSES = range(3)
LANES = 3
CLASSES = 3
NORMAL = 1
MOST_WITHDRAWN = 1000
TENTH = 10
"""Of so many starts one goes to a lower class, if one waits: it yields all but a tenth."""


class Line:
    """Thread-safe. `kicks[lane]` is called, outside the lock, when that lane should come and take.

    A slot goes to the highest class first and, within a class, to the oldest, whichever lane it waits for; but every
    tenth start goes to the next lower class that waits, so that a steady stream of urgent work starves nobody.
    """

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise ValueError("A worker needs at least one slot.")
        self.slots = slots
        self.running = 0
        self.waiting = [0] * LANES
        self.kicks: list[Callable[[], None]] = [lambda: None] * LANES
        self.open = True  # False: nothing starts any more
        self._lock = Lock()
        self._classes = [0] * CLASSES  # how many wait of each
        self._total = 0  # how many wait, of all lanes and all classes
        self._passed_over = 0  # starts in a row that went before a lower class
        self._withdrawn = 0  # still in the queues, at most that many
        self._queues: list[list[deque[Attempt]]] = [[deque() for _ in range(CLASSES)] for _ in range(LANES)]

    def put(self, attempts: Iterable[Attempt]) -> None:
        """Each into the lane it names. The caller kicks the lanes."""
        with self._lock:
            queues, waiting, classes = self._queues, self.waiting, self._classes
            for attempt in attempts:
                lane, cls = attempt.lane, attempt.dispatch.priority
                if cls >= CLASSES:
                    cls = CLASSES - 1
                attempt.queued = True
                queues[lane][cls].append(attempt)
                waiting[lane] += 1
                classes[cls] += 1
                self._total += 1

    def take(self, lane: int) -> Attempt | None:
        """The next attempt of this lane, with a slot; None when there is none or another lane's goes first."""
        with self._lock:
            attempt = self._take(lane)
            first = None if attempt is not None else self._first()
        if first is not None and first != lane:
            self.kicks[first]()
        return attempt

    def take_all(self, lane: int) -> list[Attempt]:
        """All of this lane that may start now, each with a slot."""
        taken = []
        with self._lock:
            while (attempt := self._take(lane)) is not None:
                taken.append(attempt)
            first = self._first()
        if first is not None and first != lane:
            self.kicks[first]()
        return taken

    def give_back_and_take(self, lane: int, ended: Attempt) -> Attempt | None:
        """Free the slot of an attempt that ended here, and take the next."""
        with self._lock:
            if ended.state == RUNNING:
                ended.state = ENDED
                self.running -= 1
            attempt = self._take(lane)
            first = None if attempt is not None else self._first()
        if first is not None and first != lane:
            self.kicks[first]()
        return attempt

    def give_back(self, ended: Attempt) -> None:
        """Free the slot of a running attempt: it ended, or is given up. The second call does nothing."""
        with self._lock:
            if ended.state != RUNNING:
                return
            ended.state = ENDED
            self.running -= 1
            first = self._first()
        if first is not None:
            self.kicks[first]()

    def move(self, attempt: Attempt, lane: int) -> None:
        """A taken attempt turned out to belong to another lane: it waits there, at the head of its class."""
        with self._lock:
            if attempt.state == RUNNING:
                attempt.state = BUFFERED
                self.running -= 1
            attempt.lane, cls = lane, min(attempt.dispatch.priority, CLASSES - 1)
            self._queues[lane][cls].appendleft(attempt)
            self.waiting[lane] += 1
            self._classes[cls] += 1
            self._total += 1
        self.kicks[lane]()

    def withdraw(self, attempt: Attempt) -> bool:
        """Take a buffered attempt out. False: it has been started."""
        with self._lock:
            if attempt.state != BUFFERED:
                return False
            attempt.state = DROPPED
            if attempt.queued:
                self.waiting[attempt.lane] -= 1
                self._classes[min(attempt.dispatch.priority, CLASSES - 1)] -= 1
                self._total -= 1
                self._withdrawn += 1
                if self._withdrawn > MOST_WITHDRAWN:
                    self._purge()
            return True

    def _purge(self) -> None:
        """Forget withdrawn attempts: with every slot taken for long, nobody would come across them."""
        for queues in self._queues:
            for queue in queues:
                kept = [attempt for attempt in queue if attempt.state == BUFFERED]
                queue.clear()
                queue.extend(kept)
        self._withdrawn = 0

    def _take(self, lane: int) -> Attempt | None:
        waiting = self.waiting
        if not waiting[lane] or self.running >= self.slots or not self.open:
            return None
        total, classes = self._total, self._classes
        if waiting[lane] != total and self._first() != lane:
            return None
        alone = classes[NORMAL] == total
        cls = NORMAL if alone else self._turn()
        queue = self._queues[lane][cls]
        while queue:
            attempt = queue.popleft()
            if attempt.state == BUFFERED:
                waiting[lane] -= 1
                classes[cls] -= 1
                self._total -= 1
                self._passed_over = 0 if alone else self._passes(cls)
                attempt.state = RUNNING
                self.running += 1
                return attempt
        return None

    def _passes(self, cls: int) -> int:
        """Starts in a row that went before a lower class, after one of this class."""
        classes = self._classes
        return 0 if self._total == classes[cls] or any(classes[:cls]) else self._passed_over + 1

    def _turn(self) -> int:
        """The class whose turn it is, of those that wait."""
        classes = self._classes
        cls = 0
        while cls < CLASSES - 1 and not classes[cls]:
            cls += 1
        return cls if self._passed_over < TENTH - 1 else self._below(cls)

    def _below(self, cls: int) -> int:
        """The next lower class that waits; the class itself when none does."""
        return next((lower for lower in range(cls + 1, CLASSES) if self._classes[lower]), cls)

    def _first(self) -> int | None:
        """The lane whose turn it is, if a slot is free."""
        if not self._total or self.running >= self.slots or not self.open:
            return None
        waiting, cls = self.waiting, self._turn()
        best: tuple[float, int] | None = None
        for lane in range(LANES):
            if not waiting[lane]:
                continue
            queue = self._queues[lane][cls]
            while queue and queue[0].state != BUFFERED:
                queue.popleft()
            if queue and (best is None or queue[0].arrived < best[0]):
                best = (queue[0].arrived, lane)
        return None if best is None else best[1]
