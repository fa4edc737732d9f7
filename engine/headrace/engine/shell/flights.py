"""A *member*: one incarnation of a worker. A *flight*: one attempt that was dispatched and has not ended."""

from __future__ import annotations

from headrace.engine.core.decision import Abort
from headrace.engine.core.keys import Key
from headrace.engine.shell.line import Entry, Lane
from headrace.engine.shell.plans import Profile

FORMER = 8
"""So many former incarnations of a worker are remembered, to know them when they are heard again."""


class Member:
    """One incarnation of a worker. `busy`: attempts that it has been given and that have not ended."""

    __slots__ = (
        "ahead",
        "asked",
        "beat_at",
        "busy",
        "draining",
        "former",
        "held",
        "inbox",
        "incarnation",
        "kinds",
        "labels",
        "queues",
        "sated",
        "silent_from",
        "slots",
        "succeeded_at",
        "worker",
    )

    def __init__(
        self, worker: str, incarnation: str | None, now: float, before: Member | None = None
    ) -> None:
        self.worker = worker
        self.incarnation = incarnation  # None: known only from stored rows
        self.inbox = 0
        self.queues: frozenset[str] = frozenset()
        self.labels: dict[str, str] = {}
        self.kinds: frozenset[str] = frozenset()  # of tasks it can execute; empty: all
        self.slots = 0
        self.ahead = 0
        self.held = 0  # by its own count, of all engines
        self.busy = 0
        self.draining = False
        self.sated = False  # it handed work back, or let a lease end: nothing more until its next beat
        self.asked: set[int] = set()  # parts for which it was asked what it holds, since their takeover
        self.beat_at = now  # when it was last heard: what it says counts for a while
        self.silent_from = now  # the same, less the time in which it could not have been heard
        self.former: tuple[str, ...] = ()  # incarnations that had the name before
        if before is not None and before.incarnation is not None:
            known = (before.incarnation, *before.former)[:FORMER]
            self.former = tuple(each for each in known if each != incarnation)
        self.succeeded_at: float | None = None  # when the worker's next incarnation was first heard

    def room(self, engines: int = 1) -> int:
        """How many attempts more it may be given, by one of so many engines that have work for it."""
        if self.draining or self.sated:
            return 0
        return max(0, -(-(self.slots + self.ahead) // engines) - self.busy)

    def serves(self, lane: Lane) -> bool:
        """Whether it listens to the lane's queue, executes its kind of task and has every label."""
        if lane.queue not in self.queues or (self.kinds and lane.kind and lane.kind not in self.kinds):
            return False
        labels = self.labels
        return all(labels.get(name) == value for name, value in lane.labels.items())


class Flight:
    """One attempt in flight. `part` and `generation`: its run's; `entry`: its run and key."""

    __slots__ = (
        "asked_at",
        "attempt",
        "entry",
        "epoch",
        "generation",
        "member",
        "n",
        "part",
        "profile",
        "running",
        "seen_at",
        "stop",
        "told_at",
    )

    def __init__(
        self,
        part: int,
        entry: Entry,
        attempt: int,
        epoch: int,
        n: int,
        member: Member,
        profile: Profile,
        now: float,
        generation: int,
    ) -> None:
        self.part = part
        self.entry = entry
        self.generation = generation
        self.attempt = attempt
        self.epoch = epoch
        self.n = n
        self.member = member
        self.profile = profile
        self.running = False
        self.stop: Abort | None = None  # what the worker was told, or is to be told once it was heard
        self.told_at = now
        self.seen_at = self.asked_at = now  # when it was sent, or last shown to be held; or asked after

    @property
    def run(self) -> int:
        return self.entry[0]

    @property
    def key(self) -> Key:
        return self.entry[1]

    @property
    def aborted(self) -> bool:
        """Whether it is to be stopped."""
        return self.stop is not None


def spread(candidates: list[tuple[Member, int]], count: int) -> list[tuple[Member, int]]:
    """Divide `count` attempts among members in proportion to their room; never more than the room."""
    total = sum(room for _, room in candidates)
    if count >= total:
        return candidates
    if len(candidates) == 1:
        return [(candidates[0][0], count)]
    shares = [[room * count // total, room, index] for index, (_, room) in enumerate(candidates)]
    left = count - sum(share for share, _, _ in shares)
    for share in sorted(shares, key=lambda s: (s[0] - s[1], s[2])):
        if not left:
            break
        if share[0] < share[1]:
            share[0] += 1
            left -= 1
    return [(candidates[index][0], share) for share, _, index in shares if share]
