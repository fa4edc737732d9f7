"""From an attempt to the messages that a worker gets: one envelope per worker and queue, jobs shared per task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.engine.core.decision import Send
from headrace.engine.core.evaluation import Artifact, Secret
from headrace.engine.core.evaluation import Hole as CoreHole
from headrace.engine.core.workflow import Http, Kind, PythonCall, Shell, Switch, Task
from headrace.engine.ports.broker import EngineSide
from headrace.engine.ports.messages import Abort, Ask, Dispatch, Dispatches, Hole, Job, Limits, ToWorker
from headrace.engine.shell.flights import Flight, Member
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.plans import Profile

ENVELOPE = 500
"""Items in one message, at most."""

_AttemptKey = tuple[int, int, int, int, int]


def job_of(live: LiveRun, node: int, limits: Limits) -> Job:
    """What all attempts of a task share; made once per plan, task and folder."""
    folder = live.row.folder
    jobs = live.using.jobs.get(folder)
    if jobs is None:
        jobs = live.using.jobs[folder] = {}
    job = jobs.get(node)
    if job is None:
        plan = live.using.plan
        task = plan.tasks[node]
        kind = plan.kinds[node]
        job = jobs[node] = Job(
            plan.workflow.name,
            plan.ids[node],
            _WORDS[kind],
            work_of(task),
            limits,
            task.isolation,
            task.on_lost,
            folder,
        )
    return job


_WORDS = {kind: kind.value for kind in Kind}


def work_of(task: Task) -> dict[str, Any]:
    """The fixed half of what is to be done; templates travel as inputs. Raises TypeError for what no worker does."""
    work = task.work
    if isinstance(work, PythonCall):
        return {"function": work.function}
    if isinstance(work, Shell):
        return {"run": work.run, "interpreter": list(work.interpreter), "cwd": work.cwd}
    if isinstance(work, Http):
        expect = [list(span) for span in work.expect]
        return {"method": work.method, "expect": expect, "redirects": work.redirects}
    if isinstance(work, Switch) and work.python is not None:
        return {"function": work.python}
    raise TypeError(f"no worker executes {type(work).__name__}")


def hole_of(hole: CoreHole) -> Hole:
    parts: list[str | dict[str, Any]] = []
    for part in hole.parts:
        if isinstance(part, Secret):
            parts.append({"secret": part.name})
        elif isinstance(part, Artifact):
            parts.append({"artifact": part.uri, "digest": part.digest, "size": part.size})
        else:
            parts.append(part)
    return Hole(list(hole.path), parts)


class _Named:
    """Attempts that a message names: the key of each, and the delivery of it that counts."""

    __slots__ = ("deliveries", "keys")

    def __init__(self) -> None:
        self.keys: list[_AttemptKey] = []
        self.deliveries: list[tuple[int, int]] = []

    def add(self, live: LiveRun, flight: Flight) -> None:
        key = flight.key
        self.keys.append((live.no, live.machine.generation, key.task, key.map, flight.attempt))
        self.deliveries.append((flight.epoch, flight.n))

    def cuts(self) -> Iterator[tuple[list[_AttemptKey], list[tuple[int, int]]]]:
        """Of the size of one message each."""
        for start in range(0, len(self.keys), ENVELOPE):
            end = start + ENVELOPE
            yield self.keys[start:end], self.deliveries[start:end]

    def drop(self, run: int) -> None:
        kept = [at for at, key in enumerate(self.keys) if key[0] != run]
        self.keys, self.deliveries = [self.keys[at] for at in kept], [self.deliveries[at] for at in kept]


class Outbox:
    """What one turn sends once it is committed."""

    def __init__(self, part: int, epoch: int) -> None:
        self._part = part
        self._epoch = epoch
        self._sends: dict[tuple[Member, str], list[Dispatch]] = {}
        self._aborts: dict[tuple[Member, str, float], _Named] = {}
        self._asks: dict[tuple[Member, str], _Named] = {}
        self._barriers: list[tuple[Member, str]] = []
        self._again: list[tuple[str, int, ToWorker]] = []
        self.dispatched = 0

    def send(self, live: LiveRun, effect: Send, member: Member, profile: Profile) -> None:
        (task, map_), attempt, epoch, n, _, inputs = effect
        at = member, profile.lane.queue
        items = self._sends.get(at)
        if items is None:
            items = self._sends[at] = []
        row = live.row
        items.append(
            Dispatch(
                row.no,
                row.id,
                live.decision.generation,
                task,
                map_,
                attempt,
                epoch,
                n,
                job_of(live, task, profile.limits),
                inputs.value,
                [hole_of(hole) for hole in inputs.holes] if inputs.holes else [],
                live.priority(profile),
                live.trace,
            )
        )

    def abort(self, live: LiveRun, flight: Flight, grace: float) -> None:
        """Tell the worker to stop an attempt."""
        to = flight.member, flight.profile.lane.queue, grace
        self._aborts.setdefault(to, _Named()).add(live, flight)

    def ask(self, live: LiveRun, flight: Flight) -> None:
        """Ask the worker after an attempt."""
        self._asks.setdefault((flight.member, flight.profile.lane.queue), _Named()).add(live, flight)

    def ask_all(self, member: Member) -> None:
        """The barrier: on every queue, ask for everything that is held."""
        self._barriers.extend((member, queue) for queue in sorted(member.queues))

    def again(self, queue: str, inbox: int, message: ToWorker) -> None:
        """Send a message once more, as it is."""
        self._again.append((queue, inbox, message))

    def drop(self, run: int) -> None:
        """Send nothing of a run."""
        for at, items in list(self._sends.items()):
            self._sends[at] = [item for item in items if item.run != run]
        for named in (*self._aborts.values(), *self._asks.values()):
            named.drop(run)

    def __bool__(self) -> bool:
        return bool(self._sends or self._aborts or self._asks or self._barriers or self._again)

    def publish(self, broker: EngineSide) -> None:
        """Hand everything to the broker: what stops and asks first, then the attempts."""
        for member, queue, message in self._messages():
            broker.send(queue, member.inbox, message)
        for queue, inbox, message in self._again:
            broker.send(queue, inbox, message)

    def _messages(self) -> Iterator[tuple[Member, str, ToWorker]]:
        part, epoch = self._part, self._epoch
        for member, queue in self._barriers:
            yield member, queue, Ask(member.worker, part, epoch, None)
        for (member, queue, grace), named in self._aborts.items():
            for keys, deliveries in named.cuts():
                yield member, queue, Abort(member.worker, part, epoch, keys, grace, deliveries)
        for (member, queue), named in self._asks.items():
            for keys, deliveries in named.cuts():
                yield member, queue, Ask(member.worker, part, epoch, keys, deliveries)
        for (member, queue), items in self._sends.items():
            self.dispatched += len(items)
            for start in range(0, len(items), ENVELOPE):
                yield (
                    member,
                    queue,
                    Dispatches(member.worker, part, epoch, items[start : start + ENVELOPE]),
                )
