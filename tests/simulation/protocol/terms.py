"""What the model's states are made of: rows, messages, what a worker holds, and which rules are in force.

Everything is a tuple of integers, so that states hash fast and compare. A *delivery* is `(epoch, n)`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

# States of a task run. LINE stands for pending, queued and retrying: ready, and with no worker.
LINE, DISPATCHED, RUNNING, SUCCEEDED, CANCELLED = range(5)

# What an attempt does at a worker. ANNOUNCED: its `started` report is out. STOPPING: it was told to stop.
BUFFERED, STARTED, ANNOUNCED, STOPPING = range(4)

# Messages to workers.
DISPATCH, ASK_ALL, ASK, ABORT = range(4)

# Messages to the engine. From SAID_SUCCEEDED on, a report ends the attempt.
ALIVE, SAID_STARTED, SAID_HANDED_BACK, SAID_UNKNOWN, SAID_SUCCEEDED, SAID_FAILED, SAID_CANCELLED = range(
    10, 17
)

# Where a message goes that goes to no worker.
JOB_STATUS = -1

# The run: it goes on, or its cancellation was applied.
GOING, CANCELLING = range(2)


class Row(NamedTuple):
    """A task run as stored. `worker` is -1 in the line; the delivery is the last one of this attempt."""

    state: int
    attempt: int
    epoch: int
    n: int
    worker: int

    @property
    def flying(self) -> bool:
        return self.state in (DISPATCHED, RUNNING)

    @property
    def final(self) -> bool:
        return self.state >= SUCCEEDED


class ToWorker(NamedTuple):
    """DISPATCH, ASK and ABORT name a task, its attempt and a delivery; in ASK_ALL `task` is a queue."""

    kind: int
    epoch: int
    task: int = 0
    attempt: int = 0
    delivery: tuple[int, int] = (0, 0)


class Said(NamedTuple):
    """A report, or Alive (`task` -1): then `attempt` is the incarnation, `delivery` (epoch seen, 0), `held` the keys."""

    kind: int
    worker: int
    task: int
    attempt: int
    delivery: tuple[int, int]
    held: tuple[tuple[int, int], ...] = ()


class Held(NamedTuple):
    """An attempt that a worker holds."""

    task: int
    attempt: int
    delivery: tuple[int, int]
    phase: int


class Ended(NamedTuple):
    """An attempt that a worker remembers having reported; `kind` is the report's."""

    task: int
    attempt: int
    delivery: tuple[int, int]
    kind: int


DECLINED = (SAID_HANDED_BACK, SAID_UNKNOWN)
"""Reports that say: not here. A higher delivery may still come and be done."""


class Worker(NamedTuple):
    """One worker. `incarnation` grows at each start; `seen` is the highest epoch seen."""

    alive: int
    incarnation: int
    seen: int
    held: tuple[Held, ...]
    memory: tuple[Ended, ...]


class Statement(NamedTuple):
    """A commit whose answer was lost and that the database may still carry out."""

    epoch: int
    task: int
    row: Row


class Truth(NamedTuple):
    """The database, and what its owner knows of workers; the rest of the owner's memory equals the database.

    `known`: by worker, the incarnation last read from job-workers; `gone`: 1 when it is taken to be dead.
    """

    epoch: int
    run: int
    rows: tuple[Row, ...]
    known: tuple[int, ...]
    gone: tuple[int, ...]
    statements: tuple[Statement, ...] = ()


class Stale(NamedTuple):
    """An engine that lost the part and does not know it. `pending`: by inbox, committed and not yet published.

    `rows` is what it remembers; empty while the fence is in force, because then it can write nothing. In a stepwise
    world the owner has such an entry too, with the epoch that is in force.
    """

    epoch: int
    pending: tuple[tuple[ToWorker, ...], ...]
    rows: tuple[Row, ...] = ()


class Limbo(NamedTuple):
    """A message on its way that may arrive at any time, or never. `to`: a worker; -1: job-status.

    `owed`: its first copy; it is not a duplicate and the worker counts on it.
    """

    to: int
    message: ToWorker | Said
    owed: int = 0


class Ghosts(NamedTuple):
    """What nobody in the world knows and only the invariants read: by task, bits by attempt."""

    started: tuple[int, ...]
    accepted: tuple[int, ...]


class Budget(NamedTuple):
    """How often each misfortune may still happen. The first group are engine faults, the second worker faults."""

    crash: int = 0  # the owner dies between any two of: commit, each publish
    steal: int = 0  # the owner is taken for dead: it lives, publishes and writes on
    unanswered: int = 0  # the answer to a commit is lost

    death: int = 0  # a worker dies, and may start again
    cut: int = 0  # a live worker is taken for dead, or a lease ends though it holds the attempt

    duplicate: int = 0  # a message is produced again, and its copy arrives at any later time
    loss: int = 0  # an acknowledged message is lost
    forget: int = 0  # a worker's memory of one finished attempt is pushed out by others

    hand_back: int = 0  # a worker does not get round to starting an attempt
    failure: int = 0  # a task fails
    cancel: int = 0  # someone cancels the run (0 or 1)
    chatter: int = 0  # an Alive or an Ask out of turn

    def spend(self, what: str) -> Budget:
        return self._replace(**{what: getattr(self, what) - 1})


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of the protocol that can be switched off one by one, to see what each is for."""

    commit_before_publish: bool = True  # E2
    offset_with_effect: bool = True  # E2
    fence: bool = True  # E3
    settle_ends_the_statement: bool = True  # E4: the old backend is terminated before seq is compared
    delivery_counts: bool = True  # E6
    attempt_counts: bool = True  # E6
    reports_of_the_final_are_stale: bool = True  # E6
    lease_waits_for_the_log: bool = True  # E8
    worker_loss_waits_for_the_log: bool = True  # E8, mended
    loss_ends_what_runs: bool = True  # E8: under a new incarnation what was running is a new attempt
    barrier: bool = True  # E9: Ask{all} after a claim
    barrier_in_every_queue: bool = True  # E9: Ask{all} goes to every queue, not to one of them
    barrier_shows_epoch: bool = True  # E9: only an Alive that shows the new epoch counts
    abort_again: bool = True  # E9, mended: the new owner tells workers again to stop
    epoch_at_worker: bool = True  # W2
    memory: bool = True  # W3: what has finished is reported again, not done again
    adoption: bool = True  # W3: what is held takes the higher delivery
    hand_backs_remembered: bool = True  # W3, mended
    held_until_acknowledged: bool = True  # W6
    ask_names_delivery: bool = True  # W7, mended: and with it Abort, `unknown` and `cancelled`
    denials_by_attempt: bool = True  # where Ask names no delivery: a denial counts by its attempt alone
    denials_remembered: bool = True  # W7, mended: who has said `unknown` of a delivery refuses it ever after
    abort_remembered: bool = True  # W8
    sweeper: bool = True
    unknown_stays: bool = True  # sweeper: `unknown` → a new delivery to the same worker

    def but(self, **switched: bool) -> Rules:
        """These rules with some switched."""
        return Rules(**({field.name: getattr(self, field.name) for field in fields(self)} | switched))


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the world is. `endless`: a task that has started ends only when it is told to.

    `queues`: task t is in queue t mod queues; every worker serves all of them and has an inbox in each.
    """

    tasks: int
    workers: int
    budget: Budget
    endless: bool = False
    queues: int = 1
    stepwise: bool = False


class State(NamedTuple):
    """One state of the world. `log`: job-status from the stored offset on; `inboxes`: job-tasks, by worker and queue."""

    truth: Truth
    log: tuple[Said, ...]
    limbo: tuple[Limbo, ...]
    stale: tuple[Stale, ...]
    ghosts: Ghosts
    budget: Budget
    inboxes: tuple[tuple[ToWorker, ...], ...]
    workers: tuple[Worker, ...]


class Action(NamedTuple):
    """What happened: a name, and what it happened to (workers, tasks or positions)."""

    name: str
    worker: int = -1
    task: int = -1
    detail: tuple[int, ...] = ()


class Step(NamedTuple):
    """An action and the state after it. `fair`: it happens by itself sooner or later, so progress may rest on it."""

    action: Action
    fair: bool
    state: State
