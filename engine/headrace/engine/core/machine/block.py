"""Where the states lie: the flat arrays of all items of one map, and what is known of a task run under way."""

from __future__ import annotations

from array import array

from headrace.engine.core.keys import Key, child
from headrace.engine.core.plan import Region
from headrace.engine.core.workflow import Json

READY = 1  # stands in the line (or would, were the run not paused)
JUDGING = 2  # an expression of it is about to be evaluated
RELEASED = 4  # an item that its map has let go
HELD = 8  # ready, but the run's active_tasks are all in use

_new = tuple.__new__  # a NamedTuple's own constructor costs twice as much


class Live:
    """What must be known of a task run in flight or waiting."""

    __slots__ = (
        "aborted",
        "attempt",
        "by",
        "cache_key",
        "child",
        "due_at",
        "epoch",
        "n",
        "progress",
        "ready_at",
        "started_at",
        "timed",
        "worker",
    )

    def __init__(self) -> None:
        self.attempt = 0
        self.epoch = 0
        self.n = 0
        self.worker: str | None = None
        self.ready_at: float | None = None
        self.started_at: float | None = None
        self.due_at: float | None = None
        self.child: str | None = None
        self.cache_key: str | None = None
        self.timed = False  # timers may be set
        self.aborted: str | None = None  # the reason, once it was told to stop
        self.by: str | None = None  # who asked for that
        self.progress: bytes | None = (
            None  # JSON: what a wait has come to so far, kept in its row until it ends
        )


class Block:
    """All items of one expanded map: `n` copies of a region's `k` nodes. The run itself is the block of region 0.

    Slot = item * k + local. `parent` and `head` say whose items these are.
    """

    __slots__ = (
        "allowed",
        "base",
        "cancelled",
        "children",
        "cursor",
        "ended",
        "entering",
        "exceeded",
        "failed",
        "given",
        "head",
        "held",
        "k",
        "lined",
        "live",
        "mark",
        "n",
        "owner",
        "parent",
        "path",
        "region",
        "seen",
        "skipped",
        "state",
        "stopped",
        "succeeded",
        "unmet",
        "values",
    )

    def __init__(
        self, region: Region, parent: Block | None, head: int, path: int, n: int, unmet: array[int]
    ) -> None:
        self.region = region
        self.parent = parent
        self.head = head
        self.path = path
        self.n = n
        self.k = len(region.nodes)
        self.base = region.base
        self.owner = region.owner
        self.state = bytearray(n * self.k)
        self.seen = bytearray(n * self.k)
        self.mark = bytearray(n * self.k)
        self.unmet = unmet * n
        self.children: dict[int, Block] = {}
        self.values: Json = None  # the judged map, while in use
        # the head's books
        self.cursor = 0  # items below were released
        self.live = 0  # released and not ended
        self.entering = 0  # released and not looked at yet
        self.stopped = False  # fail_fast has cancelled what had not started
        self.lined = 0  # slots of this block that stand in the line
        self.ended = self.succeeded = self.failed = self.skipped = self.cancelled = 0
        self.allowed = 0  # failed items that are tolerated
        self.exceeded = False
        self.given = 0  # bits shown downstream
        self.held = 0  # bits of tolerated failures, shown only if the tolerance is exceeded

    def key(self, slot: int) -> Key:
        if self.parent is None:
            return _new(Key, (slot, 0))
        item, local = divmod(slot, self.k)
        path = child(self.path, item, self.region.level - 1)
        return Key(self.owner if local == 0 else self.base + local - 1, path)

    def node(self, slot: int) -> int:
        if self.parent is None:
            return slot
        local = slot % self.k
        return self.owner if local == 0 else self.base + local - 1

    def local(self, node: int) -> int:
        if self.parent is None:
            return node
        return 0 if node == self.owner else node - self.base + 1

    def is_item(self, slot: int) -> bool:
        """Whether the slot is an item of the map itself (local 0)."""
        return self.parent is not None and slot % self.k == 0

    def lies_in(self, outer: Block, item: int) -> bool:
        """Whether these items lie within item number `item` of `outer`."""
        block = self
        while block.parent is not None:
            if block.parent is outer:
                return block.head // outer.k == item
            block = block.parent
        return False
