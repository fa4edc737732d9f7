"""Why: what a task run waits for, or what decided it, from the board and by the same functions that decide.

An explanation is data: codes and evidence. Sentences for people are made from it where they are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from headrace.engine.core.keys import Key
from headrace.engine.core.machine import because, polls, readiness, rule_expressions, waits
from headrace.engine.core.machine.because import Blocker, Reasons
from headrace.engine.core.machine.block import HELD, READY, RELEASED, Block
from headrace.engine.core.machine.board import Board
from headrace.engine.core.plan import Rule
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.verdicts import FAILED, SKIPPED, SUCCEEDED, UPSTREAM, VERDICTS, Verdict
from headrace.engine.core.workflow import Approval, Json, Signal

_STATES = tuple(TaskState)
_NONE: Reasons = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """A direct upstream over all its task runs that count here. `satisfied`: its end is known and lets the task run."""

    id: str
    state: str
    counts: dict[str, int]
    satisfied: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """`verdict`: ready, waiting, will_skip, will_fail (whatever its upstreams still do), or final. `upstreams`: how many there
    are, however many of them are told."""

    key: Key
    state: str
    verdict: str
    upstream: tuple[UpstreamState, ...]
    blockers: tuple[Blocker, ...]
    upstreams: int = 0


def explain(
    board: Board,
    key: Key,
    most: int | None = None,
    reasons: Reasons = _NONE,
    turn: Mapping[str, Json] = MappingProxyType({}),
) -> Explanation | None:
    """The explanation of one task run; None when there is no such task run (yet). With `most`, at most so many of its upstreams
    are told, those first that are in the way or that decided. `reasons`: of task runs that have ended, as their rows say; `turn`: what the run
    asks for before it starts."""
    spot = board.locate(key)
    if spot is None:
        return None
    block, slot = spot
    state = _STATES[block.state[slot]]
    item = block.is_item(slot)
    at, head = (block.parent, block.head) if item and block.parent is not None else (block, slot)
    sources: Sequence[int] = board.plan.upstream(key.task)
    total = len(sources)
    if most is not None and total > most:
        sources = _telling(board, at, head, state, sources, most)
    upstream = tuple(_upstream(board, at, head, up) for up in sources)
    if state.final:
        blockers = tuple(_decided(board, block, slot, upstream, reasons))
        return Explanation(key, state.word, "final", upstream, blockers, total)
    blockers = tuple(_blockers(board, block, slot, state, upstream, reasons.get(key), turn))
    verdict = _verdict(board, block, slot, state, blockers)
    return Explanation(key, state.word, verdict, upstream, blockers, total)


def _telling(
    board: Board, block: Block, slot: int, state: TaskState, sources: Sequence[int], most: int
) -> list[int]:
    """The upstreams that tell most, in their order: those in the way of what waits, those that did not succeed before what
    has ended, and as many of the others as there is room for."""
    found: list[int] = []
    if not (state in (TaskState.PENDING, TaskState.SUCCEEDED) and block.unmet[slot] == 0):
        for source in sources:
            at, spot = board.instance(block, slot, source)
            stands = at.state[spot]
            if stands != TaskState.SUCCEEDED if state.final else stands < TaskState.SUCCEEDED:
                found.append(source)
                if len(found) == most:
                    return found
    told = set(found)
    for source in sources:
        if len(told) == most:
            break
        told.add(source)
    return sorted(told)


def _upstream(board: Board, block: Block, slot: int, source: int) -> UpstreamState:
    counts = rule_expressions.counts_of(board, block, slot, source)
    at, spot = board.instance(block, slot, source)
    state = _STATES[at.state[spot]]
    by = dict(counts.by_state)
    if counts.total is not None and counts.total > counts.ended:
        by["unfinished"] = counts.total - counts.ended
    shown = at.children[spot].given if spot in at.children else 0
    good = (
        state in (TaskState.SUCCEEDED, TaskState.SKIPPED)
        if spot not in at.children
        else not shown & (FAILED | UPSTREAM)
    )
    return UpstreamState(board.plan.ids[source], state.word, by, counts.final and good)


def _verdict(board: Board, block: Block, slot: int, state: TaskState, blockers: tuple[Blocker, ...]) -> str:
    if state is not TaskState.PENDING:
        return "waiting" if state in (TaskState.WAITING, TaskState.RETRYING) else "ready"
    if any(blocker.code in ("line", "active_tasks") for blocker in blockers):
        return "ready"
    node = block.node(slot)
    if block.is_item(slot) or board.plan.rules[node] == Rule.EXPRESSION:
        return "waiting"
    possible = outlook(Rule(board.plan.rules[node]), block.seen[slot], not block.unmet[slot])
    if Verdict.RUN in possible:
        return "waiting"
    return "will_skip" if Verdict.SKIP in possible else "will_fail"


def outlook(rule: Rule, seen: int, closed: bool) -> set[Verdict]:
    """Every verdict that a rule may still come to, whatever the open upstreams do."""
    if closed:
        return {Verdict(VERDICTS[rule][seen << 1 | 1])}
    ends = (SUCCEEDED, FAILED, UPSTREAM, SKIPPED)
    found = set()
    for choice in range(1, 1 << len(ends)):
        more = sum(bit for index, bit in enumerate(ends) if choice >> index & 1)
        found.add(Verdict(VERDICTS[rule][(seen | more) << 1 | 1]))
    return found


def _blockers(
    board: Board,
    block: Block,
    slot: int,
    state: TaskState,
    upstream: tuple[UpstreamState, ...],
    reason: str | None,
    turn: Mapping[str, Json],
) -> list[Blocker]:
    """`reason`: the row's, where it is known."""
    status = board.status
    found: list[Blocker] = []
    if status.state is RunState.QUEUED:
        found.append(Blocker("run_queued", dict(turn)))
    if status.paused:
        found.append(Blocker("paused"))
    if status.state is RunState.CANCELLING:
        found.append(Blocker("cancelling", {"reason": status.reason}))
    live = board.live.get(block.key(slot))
    match state:
        case TaskState.PENDING:
            found += _pending(board, block, slot, upstream)
        case TaskState.QUEUED:
            pool = board.plan.tasks[block.node(slot)].pool
            asks = reason == "pool" or (reason is None and live is not None and live.attempt == 0)
            found.append(
                Blocker("pool", {"pool": pool.name, "cost": pool.cost}) if asks and pool else Blocker("line")
            )
        case TaskState.DISPATCHED | TaskState.RUNNING:
            assert live is not None
            found.append(
                Blocker(
                    state.word,
                    {"worker": live.worker, "attempt": live.attempt, "started_at": live.started_at},
                )
            )
        case TaskState.RETRYING:
            assert live is not None
            limit = board.plan.tasks[block.node(slot)].retry.attempts
            tries = polls.tries(board, block.key(slot), live.attempt)
            found.append(Blocker("retry", {"attempt": tries, "of": limit, "due_at": live.due_at}))
        case TaskState.WAITING:
            found += _waiting(board, block, slot)
    if status.state is RunState.QUEUED:
        return [blocker for blocker in found if blocker.code != "line"]
    return found


def _pending(board: Board, block: Block, slot: int, upstream: tuple[UpstreamState, ...]) -> list[Blocker]:
    node = block.node(slot)
    plan = board.plan
    if block.is_item(slot):
        if block.mark[slot] & RELEASED:
            return [Blocker("line", _where(board, node))]
        return [Blocker("map_window", {"max_parallel": plan.tasks[node].max_parallel, "running": block.live})]
    if plan.sections[node] > board.phase:
        return [Blocker("section", {"section": plan.sections[node]})]
    gslot = board.group_slot(block, slot)
    if gslot >= 0 and block.state[gslot] == TaskState.PENDING:
        group = block.node(gslot)
        return [
            Blocker(
                "group", {"group": plan.ids[group], "upstream": [plan.ids[up] for up in plan.upstream(group)]}
            )
        ]
    if readiness.judge_rule(board, block, slot, node) == Verdict.RUN:
        if block.mark[slot] & HELD:
            return [Blocker("active_tasks", {"limit": board.static.active_tasks})]
        return [Blocker("line", _where(board, node))]
    return [
        Blocker("upstream", {"id": one.id, "state": one.state, "counts": dict(one.counts)})
        for one in upstream
        if not _ended(one)
    ]


def _ended(one: UpstreamState) -> bool:
    return TaskState[one.state.upper()].final


def _where(board: Board, node: int) -> dict[str, Json]:
    task = board.plan.tasks[node]
    return {"queue": task.queue, "labels": dict(task.labels)}


def _waiting(board: Board, block: Block, slot: int) -> list[Blocker]:
    below = block.children.get(slot)
    if below is not None:
        return [Blocker("items", {"total": below.n, "ended": below.ended, "running": below.live})]
    node = block.node(slot)
    if board.static.is_group[node]:
        members = board.plan.members[node]
        offset = slot - slot % block.k
        open_ = [
            board.plan.ids[m] for m in members if not _STATES[block.state[offset + block.local(m)]].final
        ]
        return [Blocker("members", {"open": open_})]
    live = board.live.get(block.key(slot))
    poll = board.plan.tasks[node].poll
    if poll is not None:
        if block.mark[slot] & HELD:
            return [Blocker("active_tasks", {"limit": board.static.active_tasks})]
        if block.mark[slot] & READY:
            return [Blocker("line", _where(board, node))]
        due_at = live.due_at if live is not None else None
        every, times = poll.every.total_seconds(), polls.polled(live).times
        return [Blocker("poll", {"due_at": due_at, "every": every, "polls": times})]
    if live is not None and live.child is not None:
        return [Blocker("child", {"run": live.child})]
    work = board.plan.tasks[node].work
    if live is not None and live.progress is not None and isinstance(work, Approval):
        asked = waits.asked(live)
        return [
            Blocker(
                "approval",
                {
                    "approvers": work.approvers,
                    "agreed": [vote.by for vote in asked.votes],
                    "roles": list(work.roles),
                    "expires_at": asked.expires_at,
                },
            )
        ]
    if live is not None and live.progress is not None and isinstance(work, Signal):
        listening = waits.listening(live)
        come = {one.place for one in listening.come}
        missing: list[Json] = [
            {"name": one.name, "key": one.key}
            for place, one in enumerate(listening.sought)
            if place not in come
        ]
        how = "any" if work.any else "all"
        return [Blocker("signal", {how: missing, "expires_at": listening.expires_at})]
    return [Blocker("timer", {"due_at": live.due_at if live is not None else None})]


def _decided(
    board: Board, block: Block, slot: int, upstream: tuple[UpstreamState, ...], reasons: Reasons
) -> list[Blocker]:
    """What made a final task run end as it did, as far as board and reasons tell; its error stands in its row."""
    found = []
    if because.by_its_rule(_STATES[block.state[slot]], reasons.get(block.key(slot))):
        chosen = {
            board.plan.ids[at.node(place)]: at.key(place)
            for at, place in because.deciding(board, block, slot)
        }
        for one in upstream:
            if one.id in chosen:
                evidence: dict[str, Json] = {"id": one.id, "state": one.state, "counts": dict(one.counts)}
                if chosen[one.id] in reasons:
                    evidence["reason"] = reasons[chosen[one.id]]
                found.append(Blocker("upstream", evidence))
    return [*found, *because.decided(board, block, slot, reasons)]


__all__ = ["Blocker", "Explanation", "UpstreamState", "explain", "outlook"]
