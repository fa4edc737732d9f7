"""Commands: what people and other runs ask through the inbox, as bodies to post and as events to decide.

A body is a JSON object, checked when it is read: whoever may write to the inbox is not trusted to write sense. A
command that cannot be carried out is refused with a reason that history keeps and the one who waits is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.events import (
    CancelAsked,
    ChildEnded,
    Decided,
    Event,
    PauseAsked,
    RerunAsked,
    ResumeAsked,
    SignalArrived,
    Started,
    TaskAsked,
)
from headrace.engine.core.keys import LEVELS, MAX_ITEMS, Key, pack
from headrace.engine.core.machine.moving import Misfit
from headrace.engine.core.plan import Plan
from headrace.engine.core.problems import did_you_mean
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.workflow import Kind
from headrace.engine.ports.store import InboxRow, VersionRow
from headrace.engine.shell.live import LiveRun
from headrace.engine.shell.plans import PlanInUse, PlanMissing, Plans

KINDS = ("start", "cancel", "kill", "pause", "resume", "rerun", "task", "approval", "child_ended", "signal")
COMMANDS = frozenset(("cancel", "kill", "pause", "resume", "rerun", "task", "approval"))
"""Those that a person gives; one of them a run and turn."""

Action: TypeAlias = Literal["retry", "skip", "succeed", "cancel"]


class Refused(Exception):
    """The command cannot be carried out; the text says why and what to do."""


class StopBody(msgspec.Struct, omit_defaults=True):
    """cancel, kill."""

    by: str
    reason: str | None = None


class AskBody(msgspec.Struct, omit_defaults=True):
    """pause, resume."""

    by: str


class RerunBody(msgspec.Struct, omit_defaults=True, rename={"from_": "from"}):
    """`from`: "failed", or task runs as written (`price[7]`). `version`: the one of the workflow to go on with; None
    keeps the run's."""

    by: str
    from_: Literal["failed"] | list[str] = "failed"
    inputs: Any = None
    version: int | Literal["latest"] | None = None


class TaskBody(msgspec.Struct, omit_defaults=True):
    """A person acts on one task run. `output` counts for `succeed`."""

    by: str
    task: str
    action: Action
    reason: str | None = None
    output: Any = None


class ChildEndedBody(msgspec.Struct, omit_defaults=True):
    """A child became final; `key` is (generation, task, map) of the task run that waits for it."""

    key: tuple[int, int, int]
    child: str
    state: str
    output: msgspec.Raw = msgspec.Raw(b"null")
    artifact: Artifact | None = None
    error: str | None = None


class ApprovalBody(msgspec.Struct, omit_defaults=True):
    """A person agrees to what a task asks, or rejects it."""

    by: str
    task: str
    approved: bool
    form: Any = None
    comment: str | None = None


class SignalBody(msgspec.Struct, omit_defaults=True):
    """A signal that a task run waits for; `key` is its (generation, task, map), `place` which of its signals this is."""

    key: tuple[int, int, int]
    place: int
    signal: int
    name: str
    sent_key: str | None
    sent_at: float
    by: str
    payload: Any = None


Body: TypeAlias = (
    StopBody | AskBody | RerunBody | TaskBody | ApprovalBody | ChildEndedBody | SignalBody | dict[str, Any]
)

_BODIES: Mapping[str, Any] = {
    "cancel": msgspec.json.Decoder(StopBody),
    "kill": msgspec.json.Decoder(StopBody),
    "pause": msgspec.json.Decoder(AskBody),
    "resume": msgspec.json.Decoder(AskBody),
    "rerun": msgspec.json.Decoder(RerunBody),
    "task": msgspec.json.Decoder(TaskBody),
    "approval": msgspec.json.Decoder(ApprovalBody),
    "signal": msgspec.json.Decoder(SignalBody),
    "child_ended": msgspec.json.Decoder(ChildEndedBody),
}


def encode(kind: str, body: Body) -> bytes:
    """A body to post. Raises Refused for one that would not be understood."""
    data = msgspec.json.encode(body)
    read(kind, data)
    return data


def read(kind: str, body: bytes) -> Any:
    """The typed body. Raises Refused."""
    if kind == "start":
        return None
    decoder = _BODIES.get(kind)
    if decoder is None:
        raise Refused(f'There is no command "{kind}". {did_you_mean(kind, KINDS) or ""}'.rstrip())
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as wrong:
        raise Refused(f"The body of {kind} is wrong: {wrong}.") from wrong


class Onto(NamedTuple):
    """The version with which a rerun goes on."""

    version: int
    using: PlanInUse


class VersionStore(Protocol):
    """Where versions are stored."""

    async def version(self, project: str, name: str, version: int | None = None) -> VersionRow | None: ...


async def onto(row: InboxRow, live: LiveRun, store: VersionStore, plans: Plans) -> Onto | None:
    """The version that a rerun names, when it is another than the run's own. Raises Refused."""
    if row.kind != "rerun":
        return None
    wanted = read(row.kind, row.body).version
    if wanted is None or wanted == live.row.version:
        return None
    number = None if wanted == "latest" else wanted
    found = await store.version(live.row.project, live.row.workflow, number)
    if found is None:
        which = "no version" if number is None else f"no version {number}"
        raise Refused(f'Workflow "{live.row.workflow}" has {which} that is registered.')
    if found.plan == live.row.plan:
        return None
    try:
        return Onto(found.version, await plans.get(found.plan))
    except PlanMissing as missing:
        raise Refused(str(missing)) from missing


def event_of(row: InboxRow, live: LiveRun, at: float, onto: Onto | None = None) -> Event:
    """The event that an inbox row means for a run; `onto`: the version with which a rerun goes on. Raises Refused."""
    if row.kind == "start":
        return Started(at)
    body = read(row.kind, row.body)
    machine = live.machine
    state = machine.status.state
    word = state.word
    match body:
        case StopBody(by, reason):
            kill = row.kind == "kill"
            if state.final:
                raise Refused(f"The run is {word} already.")
            if state is RunState.CANCELLING and not kill:
                raise Refused("The run is being cancelled already; kill stops it without its teardowns.")
            return CancelAsked(at, by, kill, reason)
        case AskBody(by) if row.kind == "pause":
            if state.final or state in (RunState.CANCELLING, RunState.PAUSED):
                raise Refused(f"The run is {word}; only a queued or running one can be paused.")
            return PauseAsked(at, by)
        case AskBody(by):
            if not machine.status.paused:
                raise Refused(f"The run is {word}; only a paused one can be resumed.")
            return ResumeAsked(at, by)
        case RerunBody(by, from_, inputs, _):
            if not state.final:
                raise Refused(f"The run is {word}; only a final one can be rerun. Cancel it first.")
            keys = None if from_ == "failed" else tuple(key_of(live.using.plan, text) for text in from_)
            if keys is None and state is RunState.SUCCEEDED:
                raise Refused(
                    "The run succeeded: there is nothing to rerun from. Name the tasks to run again."
                )
            for key in keys or ():
                if machine.state_of(key) is None:
                    raise Refused(f'The run has no task run "{live.using.plan.ids[key.task]}" of that index.')
            if inputs is not None and not isinstance(inputs, dict):
                raise Refused("`inputs` is a JSON object: what the tasks are given in place of their `with`.")
            if onto is None:
                if not machine.can_rerun(keys):
                    raise Refused("No task of the run failed: name the tasks to run again.")
                return RerunAsked(at, by, keys, inputs)
            try:
                machine.check_move(keys, onto.using.plan, onto.version)
            except Misfit as misfit:
                raise Refused(f"The run cannot go on with version {onto.version}: {misfit}") from misfit
            live.onto = onto.using
            return RerunAsked(at, by, keys, inputs, onto.version, onto.using.plan.hash)
        case TaskBody():
            return _task_asked(body, live, at)
        case ApprovalBody():
            return _decided(body, live, at)
        case SignalBody((generation, task, map_), place, signal, name, sent_key, sent_at, by, payload):
            if generation != machine.generation:
                raise Refused("The task run that waited for this signal belongs to an earlier generation.")
            return SignalArrived(at, Key(task, map_), place, signal, name, sent_key, sent_at, by, payload)
        case ChildEndedBody(key, child, final, output, artifact, error):
            generation, task, map_ = key
            if generation != machine.generation:
                raise Refused("The task run that waited for this child belongs to an earlier generation.")
            text = bytes(output)
            return ChildEnded(
                at, Key(task, map_), child, final, None if text == b"null" else text, artifact, error
            )
        case _:
            raise Refused(f'There is no command "{row.kind}".')


def _task_asked(body: TaskBody, live: LiveRun, at: float) -> Event:
    key = key_of(live.using.plan, body.task)
    machine = live.machine
    state = machine.state_of(key)
    if state is None:
        raise Refused(f'The run has no task run "{body.task}".')
    if machine.status.state.final:
        # Nothing of a final run moves; trying a task again is a new generation from there.
        if body.action == "retry":
            return RerunAsked(at, body.by, (key,))
        raise Refused(f"The run is {machine.status.state.word}; retry the task, or rerun the run.")
    if state.final:
        raise Refused(f"{body.task} is {state.word} already; when the run has ended, rerun it from there.")
    stands_for = machine.stands_for(key)
    if stands_for is not None:
        raise Refused(
            f"{body.task} stands for its {stands_for} and runs nothing itself: {body.action} those, or cancel the run."
        )
    if body.action == "retry" and not machine.can_retry(key):
        raise Refused(
            f"{body.task} is {state.word}; only one that waits for its next attempt or poll can be retried."
        )
    return TaskAsked(at, body.by, key, body.action, body.reason, body.output)


def _decided(body: ApprovalBody, live: LiveRun, at: float) -> Event:
    key = key_of(live.using.plan, body.task)
    machine = live.machine
    state = machine.state_of(key)
    if live.using.plan.kinds[key.task] is not Kind.APPROVAL:
        raise Refused(f"{body.task} is no approval.")
    if state is not TaskState.WAITING:
        word = "not there yet" if state is None else state.word
        raise Refused(f"{body.task} is {word}; only one that waits can be decided.")
    if body.approved and body.by in machine.agreed(key):
        raise Refused(f"{body.by} has agreed to {body.task} already; it waits for others.")
    return Decided(at, body.by, key, body.approved, body.form, body.comment)


_WRITTEN = re.compile(r"(?P<id>[^\[\]]+)(?:\[(?P<indexes>\d+(?:,\d+)*)\])?")


def key_of(plan: Plan, text: str) -> Key:
    """The key of a task run as people write it: `price`, `price[7]`, `each.encode[2,1]`. Raises Refused."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise Refused(f'"{text}" is no task run: write task, or task[index].')
    name = match["id"]
    task = plan.index.get(name)
    if task is None:
        near = did_you_mean(name, plan.ids)
        raise Refused(f'The workflow has no task "{name}".' + (f" {near}" if near else ""))
    indexes = tuple(map(int, match["indexes"].split(","))) if match["indexes"] else ()
    level = plan.regions[plan.home[task]].level
    most = level + 1 if task in plan.items else level
    if not level <= len(indexes) <= min(most, LEVELS) or any(index > MAX_ITEMS for index in indexes):
        takes = {0: "no index", 1: "one index", 2: "two indexes", 3: "three indexes"}
        raise Refused(f'Task "{name}" takes {takes[most]}, not {len(indexes)}.')
    return Key(task, pack(indexes))
