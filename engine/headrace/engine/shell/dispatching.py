"""From an attempt to the messages that a worker gets: one envelope per worker and queue, jobs shared per task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from headrace.engine.core.decision import Abort as AbortEffect
from headrace.engine.core.decision import Send
from headrace.engine.core.evaluation import Artifact, Secret
from headrace.engine.core.evaluation import Hole as CoreHole
from headrace.engine.core.workflow import Http, Kind, PythonCall, Shell, Switch, Task
from headrace.engine.ports.broker import EngineSide
from headrace.engine.ports.messages import Abort, Ask, Dispatch, Dispatches, Hole, Job, Limits, ToWorker
from headrace.engine.shell.fleet import Flight, Member
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.plans import Profile

ENVELOPE = 500
"""Items in one message, at most."""


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


class Outbox:
    """What one turn sends once it is committed."""

    def __init__(self, part: int, epoch: int) -> None:
        self._part = part
        self._epoch = epoch
        self._sends: dict[tuple[Member, str], list[Dispatch]] = {}
        self._aborts: dict[tuple[Member, str, float], list[tuple[int, int, int, int, int]]] = {}
        self._asks: list[tuple[Member, str, list[tuple[int, int, int, int, int]] | None]] = []
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
            )
        )

    def abort(self, live: LiveRun, effect: AbortEffect, member: Member, queue: str) -> None:
        key = effect.key
        self._aborts.setdefault((member, queue, effect.grace), []).append(
            (live.no, live.decision.generation, key.task, key.map, effect.attempt)
        )

    def ask(self, member: Member, flights: Iterable[tuple[LiveRun, Flight]]) -> None:
        """Ask a worker after attempts of runs of this part."""
        queues: dict[str, list[tuple[int, int, int, int, int]]] = {}
        for live, flight in flights:
            key = flight.key
            queues.setdefault(flight.profile.lane.queue, []).append(
                (live.no, live.machine.generation, key.task, key.map, flight.attempt)
            )
        self._asks.extend((member, queue, keys) for queue, keys in queues.items())

    def ask_all(self, member: Member) -> None:
        """The barrier: on every queue, ask for everything that is held."""
        self._asks.extend((member, queue, None) for queue in sorted(member.queues))

    def again(self, queue: str, inbox: int, message: ToWorker) -> None:
        """Send a message once more, as it is."""
        self._again.append((queue, inbox, message))

    def drop(self, run: int) -> None:
        """Send nothing of a run."""
        for at, items in list(self._sends.items()):
            self._sends[at] = [item for item in items if item.run != run]
        for to, keys in list(self._aborts.items()):
            self._aborts[to] = [key for key in keys if key[0] != run]

    def __bool__(self) -> bool:
        return bool(self._sends or self._aborts or self._asks or self._again)

    def publish(self, broker: EngineSide) -> None:
        """Hand everything to the broker: what stops and asks first, then the attempts."""
        for member, queue, message in self._messages():
            broker.send(queue, member.inbox, message)
        for queue, inbox, message in self._again:
            broker.send(queue, inbox, message)

    def _messages(self) -> Iterator[tuple[Member, str, ToWorker]]:
        part, epoch = self._part, self._epoch
        for (member, queue, grace), keys in self._aborts.items():
            if keys:
                yield member, queue, Abort(member.worker, part, epoch, keys, grace)
        for member, queue, asked in self._asks:
            yield member, queue, Ask(member.worker, part, epoch, asked)
        for (member, queue), items in self._sends.items():
            self.dispatched += len(items)
            for start in range(0, len(items), ENVELOPE):
                yield (
                    member,
                    queue,
                    Dispatches(member.worker, part, epoch, items[start : start + ENVELOPE]),
                )
