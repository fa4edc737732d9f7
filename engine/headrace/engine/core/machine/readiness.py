"""Whether a pending task run may go on, and what going on means for its kind.

`settle` is called for every slot whose upstreams, group or map have just changed; it touches nothing else.
"""

from __future__ import annotations

from headrace.engine.core.decision import RequestSlots, SetTimer, StartChild
from headrace.engine.core.evaluation import Filled
from headrace.engine.core.keys import Key
from headrace.engine.core.machine import branching, line, rule_expressions
from headrace.engine.core.machine.block import JUDGING, READY, RELEASED, Block, Live
from headrace.engine.core.machine.board import Board
from headrace.engine.core.plan import Rule
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.verdicts import VERDICTS, Verdict
from headrace.engine.core.workflow import Child, Gate, Kind, Pool, Sleep, Switch

# plain integers, as the table holds them
_WAIT, _RUN, _SKIP = map(int, (Verdict.WAIT, Verdict.RUN, Verdict.SKIP))
_EXPRESSION = int(Rule.EXPRESSION)
_PENDING, _WAITING = int(TaskState.PENDING), int(TaskState.WAITING)
_CANCELLING = RunState.CANCELLING
BETWEEN = bytes((TaskState.RETRYING, TaskState.WAITING))
"""States of a task run that waits between two attempts: what comes next is a new one."""


def settle(board: Board, block: Block, slot: int) -> None:
    """Look at one slot: run it, settle it without running, or leave it waiting."""
    if block.state[slot] != _PENDING or block.mark[slot] & (READY | JUDGING):
        return
    if board.barred and (reason := branching.barred(board, block, slot)) is not None:
        board.finish(block, slot, TaskState.SKIPPED, reason)
        return
    if block.parent is not None and slot % block.k == 0:
        start_item(board, block, slot)
        return
    node = slot if block.parent is None else block.node(slot)
    plan = board.plan
    group = plan.group[node]
    if group >= 0:
        gslot = slot // block.k * block.k + block.local(group)
        gstate = block.state[gslot]
        if gstate == _PENDING:
            return
        if gstate != _WAITING:  # settled without being entered, or failed on the way in
            follow_group(board, block, slot, node, gstate)
            return
    if plan.sections[node] > board.phase:
        return
    verdict = judge_rule(board, block, slot, node)
    if verdict == _WAIT:
        return
    cancelling = board.status.state is _CANCELLING
    if cancelling and not spared(board, node):
        board.finish(block, slot, TaskState.CANCELLED, "run_cancelled")
    elif verdict == _RUN:
        go(board, block, slot, node)
    elif verdict == _SKIP:
        board.finish(block, slot, TaskState.SKIPPED, "trigger_rule")
    elif cancelling:
        board.finish(block, slot, TaskState.CANCELLED, "run_cancelled")
    else:
        board.finish(block, slot, TaskState.UPSTREAM_FAILED, "trigger_rule")


def judge_rule(board: Board, block: Block, slot: int, node: int) -> int:
    rule = board.plan.rules[node]
    if rule == _EXPRESSION:
        return rule_expressions.judge(board, block, slot, node)
    return VERDICTS[rule][block.seen[slot] << 1 | (not block.unmet[slot])]


def spared(board: Board, node: int) -> bool:
    """Whether a cancelled run still runs this node: teardowns, and the handlers of the end; nothing when killed."""
    if board.killed:
        return False
    return node in board.plan.teardowns or board.plan.sections[node] > 0


def follow_group(board: Board, block: Block, slot: int, node: int, group: int) -> None:
    """A member shares the fate of a group that was not entered; in one that failed to enter, roots fail with it."""
    if group == TaskState.SUCCEEDED or group == TaskState.REMOVED:
        return
    if group == TaskState.FAILED:
        first = not any(board.plan.group[up] == board.plan.group[node] for up in board.plan.upstream(node))
        board.finish(block, slot, TaskState.FAILED if first else TaskState.UPSTREAM_FAILED, "group_failed")
    else:
        board.finish(block, slot, group, "not_selected" if node in board.plan.left_out else "group")


def go(board: Board, block: Block, slot: int, node: int) -> None:
    """The trigger rule holds. Conditions come next, then the work itself."""
    if board.static.simple[node]:
        line.ready(board, block, slot)
        return
    if node in board.plan.left_out:
        board.finish(block, slot, TaskState.SKIPPED, "not_selected")
        return
    task = board.plan.tasks[node]
    if task.when is not None and node not in board.plan.when_per_item:
        judge(board, "when", block, slot)
    else:
        act(board, block, slot, node)


def act(board: Board, block: Block, slot: int, node: int) -> None:
    """Rule and condition hold: expand, enter, ask, wait, or stand in the line."""
    if node in board.plan.items and not (block.parent is not None and slot % block.k == 0):
        judge(board, "map", block, slot)
        return
    task = board.plan.tasks[node]
    work = task.work
    match board.plan.kinds[node]:
        case Kind.GROUP:
            enter(board, block, slot, node)
        case Kind.NOOP:
            board.finish(block, slot, TaskState.SUCCEEDED)
        case Kind.GATE:
            assert isinstance(work, Gate)
            judge(board, "gate", block, slot)
        case Kind.SWITCH if isinstance(work, Switch) and work.python is None:
            judge(board, "switch", block, slot)
        case Kind.SLEEP:
            assert isinstance(work, Sleep)
            if work.duration is not None:
                wait_until(board, block, slot, board.at + work.duration.total_seconds())
            else:
                judge(board, "sleep", block, slot)
        case Kind.WORKFLOW:
            judge(board, "child", block, slot)
        case Kind.SIGNAL | Kind.APPROVAL:
            judge(board, "wait", block, slot)
        case _:
            if task.pool is not None and board.grants:
                ask_for_slots(board, block, slot, task.pool)
            else:
                line.ready(board, block, slot)


def ask_for_slots(board: Board, block: Block, slot: int, pool: Pool) -> None:
    """It waits for its pool, and then in the line. That wait counts for its timeouts."""
    key = block.key(slot)
    live = board.live.get(key)
    if live is None:
        since = line.start_clocks(board, block, slot, key) if board.static.timed[key.task] else board.at
        live = board.live[key] = Live()
        live.ready_at = since
        live.timed = board.since.pop(key, None) is not None
    elif block.state[slot] in BETWEEN:
        live.attempt += 1
        live.due_at = None
    board.move(block, slot, TaskState.QUEUED, "pool")
    board.decision.effects.append(RequestSlots(key, pool.name, pool.cost))


def try_again(board: Board, block: Block, slot: int) -> None:
    """The delay before the next attempt or poll is over; the slots of the last one went back to the pool."""
    pool = board.plan.tasks[block.node(slot)].pool
    if pool is not None and board.grants:
        ask_for_slots(board, block, slot, pool)
    else:
        line.ready(board, block, slot)


def judge(board: Board, what: str, block: Block, slot: int, extra: object = None) -> None:
    """Queue an expression of this slot; `judging` evaluates all that are queued at once."""
    block.mark[slot] |= JUDGING
    board.judgements.append((what, block, slot, extra))


def enter(board: Board, block: Block, slot: int, node: int) -> None:
    """Enter a group (or one item of a mapped one): its members may now be looked at. A gate or a switch may have skipped
    some of them before."""
    offset = slot - slot % block.k
    members = board.plan.members[node]
    left = sum(block.state[offset + block.local(member)] < TaskState.SUCCEEDED for member in members)
    block.unmet[slot] = left
    board.move(block, slot, TaskState.WAITING)
    if left:
        board.push_members(block, slot, node)
    else:
        board.exits.append((block, slot))


def start_item(board: Board, block: Block, slot: int) -> None:
    """One item of a map: released by its window, then its own condition, then the work."""
    if not block.mark[slot] & RELEASED:
        return
    block.entering -= 1
    if not block.entering and block.cursor < block.n:
        board.releases.append(block)
    node = block.owner
    if board.status.state is RunState.CANCELLING and not spared(board, node):
        board.finish(block, slot, TaskState.CANCELLED, "run_cancelled")
    elif node in board.plan.when_per_item:
        judge(board, "when", block, slot)
    elif board.static.is_group[node]:
        enter(board, block, slot, node)
    else:
        act(board, block, slot, node)


def wait_until(board: Board, block: Block, slot: int, due_at: float) -> None:
    """A sleep: waits without a worker."""
    key = block.key(slot)
    live = board.live[key] = Live()
    live.due_at, live.started_at, live.timed = due_at, board.at, True
    board.move(block, slot, TaskState.WAITING, "sleeping")
    board.decision.effects.append(SetTimer(key, "sleep", due_at))
    bound(board, key, live)


def start_child(board: Board, block: Block, slot: int, params: Filled) -> None:
    """Ask for a child run; the task waits without a worker until it ends."""
    key = block.key(slot)
    work = board.plan.tasks[key.task].work
    assert isinstance(work, Child)
    live = board.live[key] = Live()
    live.attempt, live.started_at = 1, board.at
    row = board.move(block, slot, TaskState.WAITING, "child")
    row.inputs = params
    board.decision.effects.append(StartChild(key, work.name, work.version, params, work.wait))
    bound(board, key, live)


def bound(board: Board, key: Key, live: Live) -> None:
    """`timeouts.total` of what never stands in the line."""
    total = board.plan.tasks[key.task].timeouts.total
    if total is not None:
        live.timed = True
        board.decision.effects.append(SetTimer(key, "total_timeout", board.at + total.total_seconds()))
