"""Why a task run is where it is: the core's own explanation, put into sentences.

The run is laid out on the board from its stored rows, and the functions that decide also explain; here is only wording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from headrace.api.showing.times import instant
from headrace.engine.core.keys import Key

if TYPE_CHECKING:
    from headrace.engine.core.machine.explaining import Blocker, Explanation
    from headrace.engine.core.machine.machine import RunMachine
    from headrace.engine.core.plan import Plan
    from headrace.engine.ports.roster import WorkerRow
    from headrace.engine.ports.store import RunRow, Store, TaskRow
    from headrace.engine.shell.views import TaskView

SECTIONS = {1: "on_failure", 2: "finally"}
LEAVES = 5
ENDED = {
    "not_selected": "it was not selected: the run is of a part of its workflow",
    "not_failed": "the run had not failed, and on_failure is for runs that have",
    "run_cancelled": "the run was cancelled",
    "fail_fast": "more items of its map had failed than are tolerated, and fail_fast stops the others",
    "task_skipped": "it skipped itself",
    "retry_rule": "one of its retry rules says skip for this error",
    "empty_map": "its map had no items",
    "items_skipped": "all items of its map were skipped",
    "closed": "its condition was false: whatever is downstream of it was skipped",
    "cached": "an earlier run had the output in the cache",
}
"""What a reason means that says all there is to say."""


def machine_of(plan: Plan, run: RunRow, rows: Iterable[TaskRow]) -> RunMachine:
    """The deciding machine as the store knows the run. It is only asked, never fed."""
    from headrace.engine.core.machine import RunMachine
    from headrace.engine.expressions import CelEvaluator
    from headrace.engine.shell.rows import machine_rows, run_info, run_status

    known = list(machine_rows(rows))
    machine = RunMachine.restore(plan, run_info(run), CelEvaluator(), run_status(run), known)
    newest = {key: row.reason for _, key, row in sorted(known, key=lambda one: one[0])}
    machine.reasons = {key: reason for key, reason in newest.items() if reason is not None}
    return machine


async def live_workers(store: Store) -> list[WorkerRow]:
    """The workers that engines have heard of late."""
    from headrace.engine.shell.roster import FRESH_SECONDS

    return await store.workers((await store.survey()).now - FRESH_SECONDS)


def explained(
    machine: RunMachine,
    task: TaskView,
    workers: Sequence[WorkerRow] | None = None,
    most: int | None = None,
    *,
    slots: Mapping[str, int] = MappingProxyType({}),
) -> Explanation | None:
    """The core's explanation, with at most `most` of the upstreams; None for a task inside a map that has not expanded. Where a task waits in the line and none of
    the `workers` could take it, that is what stands in the way; `workers` None: the process that decides is its own. `slots`: the sizes of pools."""
    found = machine.explain(Key(machine.plan.index[task.id], task.map), most)
    if found is None:
        return None
    blockers = [_in_pool(one, slots) for one in found.blockers]
    if workers is not None:
        blockers = [_unserved(machine.plan, task, one, workers) for one in blockers]
    return replace(found, blockers=tuple(blockers))


def _run_queued(said: Mapping[str, Any]) -> str:
    limits = []
    if "active_runs" in said:
        limits.append(f"{said['active_runs']} of its workflow's runs at a time")
    limits += [f"{key['limit']} with {key['key']} = {key['value']}" for key in said.get("concurrency", ())]
    if not limits:
        return "the run has not begun: an engine must be running"
    return f"the run waits for its turn, for at most {' and '.join(limits)} may go on"


def _in_pool(blocker: Blocker, slots: Mapping[str, int]) -> Blocker:
    if blocker.code != "pool" or blocker.evidence["pool"] not in slots:
        return blocker
    return type(blocker)("pool", {**blocker.evidence, "slots": slots[blocker.evidence["pool"]]})


def _unserved(plan: Plan, task: TaskView, blocker: Blocker, workers: Sequence[WorkerRow]) -> Blocker:
    from headrace.engine.shell.roster import unserved

    if blocker.code != "line":
        return blocker
    said = plan.tasks[plan.index[task.id]]
    lacks = unserved(said.queue, said.labels, task.kind, workers)
    if lacks is None:
        return blocker
    evidence = {**lacks._asdict(), "labels": dict(lacks.labels)}
    return type(blocker)("no_worker", evidence)


def sentences(task: TaskView, explanation: Explanation | None, condition: str | None) -> Iterator[str]:
    """What stands in the way, or what decided; the most telling first. `condition` is the task's `when`."""
    final = explanation is not None and explanation.verdict == "final"
    if final and task.error:
        yield f"{task.error['kind']}: {task.error['message']}"
    if final and task.reason == "when" and condition is not None:
        yield f"its condition was false: {condition}"
    if final and task.by:
        yield f"{task.state} by {task.by}"
    if explanation is None:
        yield "its map has not expanded"
        return
    if explanation.verdict in ("will_skip", "will_fail"):
        yield f"whatever its upstreams still do, it {explanation.verdict.replace('_', ' ')}"
    for blocker in explanation.blockers:
        yield sentence(blocker, final)


def sentence(blocker: Blocker, final: bool = False) -> str:
    """One blocker in words."""
    said: Mapping[str, Any] = blocker.evidence
    match blocker.code:
        case "upstream":
            verb = "{} is {}{}" if final else "waits for {}, which is {}{}"
            told = verb.format(said["id"], said["state"], tally(said["counts"]))
            return told + (_for(said.get("reason")) if said["state"] == "skipped" else "")
        case "group":
            upstream = ", ".join(said["upstream"]) or "its turn"
            return f"its group {said['group']} waits for {upstream}"
        case "map_window":
            return f"{said['running']} items run, and max_parallel is {said['max_parallel']}"
        case "section":
            return f"it belongs to {SECTIONS.get(said['section'], 'a later section')}, which runs when the tasks have ended"
        case "run_queued":
            return _run_queued(said)
        case "paused":
            return "the run is paused; headrace runs resume lets it go on"
        case "cancelling":
            return "the run is being cancelled"
        case "line":
            queue = said.get("queue")
            labels = "".join(f", {name}={value}" for name, value in (said.get("labels") or {}).items())
            return "ready: it waits in line for a worker" + (f" on queue {queue}{labels}" if queue else "")
        case "no_worker":
            return _no_worker(said)
        case "active_tasks":
            return f"ready, and the run's limit of {said['limit']} active tasks is reached"
        case "pool":
            if said.get("slots") == 0:
                return f"ready, and pool {said['pool']} is closed: it has 0 slots"
            of = f"the {said['slots']} slots" if said.get("slots", 0) > 1 else "the slots"
            return f"ready, and waits for {said['cost']} of {of} of pool {said['pool']}"
        case "retry":
            return (
                f"attempt {said['attempt']} of {said['of']} failed; the next one is due {_at(said['due_at'])}"
            )
        case "poll":
            times = "once" if said["polls"] == 1 else f"{said['polls']} times"
            return f"its condition did not hold {times}; it is polled again {_at(said['due_at'])}"
        case "timer":
            return f"waits without a worker; it goes on {_at(said['due_at'])}"
        case "child":
            return f"waits for its child, run {said['run']}"
        case "approval":
            return _approval(said)
        case "signal":
            return _signal(said)
        case "items":
            return f"{said['ended']} of {said['total']} items have ended, {said['running']} run"
        case "members":
            return f"waits for its tasks {', '.join(said['open'])}"
        case "dispatched" | "running":
            since = f" since {instant(said['started_at'])}" if said.get("started_at") else ""
            return f"attempt {said['attempt']} is with worker {said['worker']}{since}"
        case "began":
            return f"it began with {said['id']}, which {_became(said['state'])}{_for(said['reason'])}"
        case "gate":
            return f"gate {_either(said['gates'])} was closed"
        case "switch":
            return f"switch {_either(said['switches'])} did not choose it"
        case "group_ended":
            return f"its group {said['id']} is {said['state']}{_for(said['reason'])}"
        case "leaves":
            leaves = [f"{leaf['id']} is {leaf['state']}" for leaf in said["leaves"][:LEAVES]]
            return ", ".join(leaves) + (" …" if len(said["leaves"]) > LEAVES else "")
        case "items_failed":
            return f"{said['failed']} items failed, {said['tolerated']} are tolerated; the first is {said['first']}"
    if blocker.code in ENDED:
        return ENDED[blocker.code]
    return blocker.code + "".join(f" {name}={value}" for name, value in said.items())


def _approval(said: Mapping[str, Any]) -> str:
    agreed, of = said["agreed"], said["approvers"]
    who = f" ({', '.join(agreed)} agreed)" if agreed else ""
    roles = f" from {' or '.join(said['roles'])}" if said["roles"] else ""
    needs = f"{of - len(agreed)} of {of} approvals" if of > 1 else "an approval"
    return f"waits without a worker for {needs}{roles}{who}{_until(said)}; headrace approvals list shows it"


def _signal(said: Mapping[str, Any]) -> str:
    how = "all" if "all" in said else "any"
    names = [f"{one['name']}{'' if one['key'] is None else ' with key ' + one['key']}" for one in said[how]]
    which = f"signal {names[0]}" if len(names) == 1 else f"{how} of the signals {', '.join(names)}"
    return f"waits without a worker for {which}{_until(said)}"


def _until(said: Mapping[str, Any]) -> str:
    return "" if said["expires_at"] is None else f", until {instant(said['expires_at'])}"


def _no_worker(said: Mapping[str, Any]) -> str:
    among = f"none of its {said['others']} workers" if said["others"] != 1 else "its only worker does not"
    labels = ", ".join(f"{name}={value}" for name, value in said["labels"].items())
    match said["lacking"]:
        case "queue":
            return f"ready, but no worker listens on queue {said['queue']}: headrace worker --queues {said['queue']}"
        case "labels":
            has = "has" if said["others"] != 1 else "have"
            return f"ready, but on queue {said['queue']} {among} {has} the labels {labels}"
        case "draining":
            who = f"the {said['others']} workers" if said["others"] != 1 else "the only worker"
            are = "are" if said["others"] != 1 else "is"
            return f"ready, but {who} that could take it {are} draining: headrace worker --queues {said['queue']}"
    runs = "executes" if said["others"] != 1 else "execute"
    return f"ready, but on queue {said['queue']} {among} {runs} {said['kind']} tasks"


def tally(counts: Mapping[str, int]) -> str:
    """` (13 succeeded, 7 unfinished)` where there is more than one task run."""
    if sum(counts.values()) < 2:
        return ""
    return " (" + ", ".join(f"{number} {word}" for word, number in counts.items() if number) + ")"


def _at(due: float | None) -> str:
    return f"at {instant(due)}" if due is not None else "soon"


def _for(reason: str | None) -> str:
    return f" ({reason})" if reason is not None else ""


def _became(state: str) -> str:
    return {"failed": "failed", "skipped": "was skipped", "cancelled": "was cancelled"}.get(
        state, f"is {state}"
    )


def _either(names: Sequence[str]) -> str:
    return " or ".join(names) or "upstream"
