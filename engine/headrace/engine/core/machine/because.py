"""Because: what made a task run end as it did, when it was not its own work.

The board tells the states, the rows the reasons (`reasons`, by key, as far as the caller has them). What settled a task
run is followed back to where it began: the failure, the condition or the gate at the far end of the chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from headrace.engine.core.keys import Key, written
from headrace.engine.core.machine import branching
from headrace.engine.core.machine.block import Block
from headrace.engine.core.machine.board import Board
from headrace.engine.core.plan import Plan, Rule
from headrace.engine.core.states import TaskState
from headrace.engine.core.verdicts import SETUP_SHOWN, SHOWN, VERDICTS, Verdict
from headrace.engine.core.workflow import Json, Kind

_STATES = tuple(TaskState)
_FOLLOWED = 1_000  # links of a chain, at most
_SETTLED = {TaskState.SKIPPED: Verdict.SKIP, TaskState.UPSTREAM_FAILED: Verdict.FAIL}
_TOLD = frozenset(
    (
        "not_failed",
        "not_selected",
        "run_cancelled",
        "fail_fast",
        "task_skipped",
        "retry_rule",
        "empty_map",
        "items_skipped",
        "closed",
        "cached",
    )
)
"""Reasons that say all there is to say."""

Spot = tuple[Block, int]
Reasons = Mapping[Key, str]


@dataclass(frozen=True, slots=True)
class Blocker:
    """One thing in the way, or one that decided. Codes: upstream group map_window section run_queued paused cancelling
    line active_tasks pool retry poll timer child approval signal items members dispatched running items_failed; of what has ended also: began
    gate switch group_ended leaves, and the reasons that say all (`not_failed`, `fail_fast`, ...)."""

    code: str
    evidence: dict[str, Json] = field(default_factory=dict)


def decided(board: Board, block: Block, slot: int, reasons: Reasons) -> Iterator[Blocker]:
    """What made a final task run end as it did, beside its upstreams; the nearest first."""
    reason = reasons.get(block.key(slot))
    below = block.children.get(slot)
    if below is not None and below.failed:
        yield _items_failed(board, below)
    elif reason in _TOLD:
        yield Blocker(str(reason))
    elif reason == "gate":
        yield Blocker(
            "gate", {"gates": [_name(board, *spot) for spot in _gates(board, block, slot, reasons)]}
        )
    elif reason == "not_chosen":
        yield Blocker("switch", {"switches": [_name(board, *spot) for spot in _switches(board, block, slot)]})
    elif reason in ("group", "group_failed"):
        around = board.group_slot(block, slot)
        yield Blocker("group_ended", _told(board, (block, around), reasons))
        began = origin(board, (block, around), reasons)
        if began is not None:
            yield Blocker("began", _told(board, began, reasons))
        return
    elif reason in ("leaf_failed", "leaf_cancelled", "leaves_skipped"):
        leaves = [spot for spot in _leaves(board, block, slot) if _state(spot) is not TaskState.SUCCEEDED]
        yield Blocker("leaves", {"leaves": [_told(board, spot, reasons) for spot in leaves]})
    if by_its_rule(_STATES[block.state[slot]], reason):
        began = origin(board, (block, slot), reasons)
        if began is not None and began not in deciding(board, block, slot):
            yield Blocker("began", _told(board, began, reasons))


def by_its_rule(state: TaskState, reason: str | None) -> bool:
    """Whether a final task run was settled by its trigger rule. Without a reason only `upstream_failed` says so."""
    return reason == "trigger_rule" or (reason is None and state is TaskState.UPSTREAM_FAILED)


def deciding(board: Board, block: Block, slot: int) -> list[Spot]:
    """The upstreams that made a rule settle a task run: each of them alone would have. Where only all of them together
    did, all."""
    node = block.node(slot)
    spots = [board.instance(block, slot, source) for source in board.plan.upstream(node)]
    rule, verdict = Rule(board.plan.rules[node]), _SETTLED.get(_STATES[block.state[slot]])
    if rule is Rule.EXPRESSION or verdict is None:
        return spots
    setups: frozenset[int] = board.plan.setups.get(node, frozenset())
    alone = [spot for spot in spots if VERDICTS[rule][_shown(spot, setups) << 1 | 1] == verdict]
    return alone or spots


def _shown(spot: Spot, setups: frozenset[int]) -> int:
    """What a node has shown to the tasks downstream, over all its items."""
    at, slot = spot
    below = at.children.get(slot)
    shown = below.given if below is not None else SHOWN[at.state[slot]]
    if at.node(slot) in setups:
        shown |= sum({bit for one, bit in SETUP_SHOWN.items() if one and shown & one})
    return shown


def origin(board: Board, spot: Spot, reasons: Reasons) -> Spot | None:
    """Where the chain began at whose end this stands: the first that its rule did not settle. None: here."""
    start = spot
    for _ in range(_FOLLOWED):
        block, slot = spot
        reason = reasons.get(block.key(slot))
        if reason in ("group", "group_failed"):
            spot = block, board.group_slot(block, slot)
        elif by_its_rule(_state(spot), reason) and (before := deciding(board, block, slot)):
            spot = before[0]
        else:
            break
    return None if spot == start else spot


# -- what it may have been ------------------------------------------------------------------------------------------------


def _gates(board: Board, block: Block, slot: int, reasons: Reasons) -> list[Spot]:
    """The gates that closed this off: those that are known to be closed, else all that could."""
    node, plan = block.node(slot), board.plan
    found = [
        board.instance(block, slot, gate)
        for gate in _deciders(plan, Kind.GATE)
        if branching.visible(plan, plan.home[gate], plan.home[node])
        and node in branching.closed_off(board, gate)
    ]
    closed = [spot for spot in found if reasons.get(spot[0].key(spot[1])) == "closed"]
    return closed or found


def _switches(board: Board, block: Block, slot: int) -> list[Spot]:
    node, plan = block.node(slot), board.plan
    return [
        board.instance(block, slot, switch)
        for switch in _deciders(plan, Kind.SWITCH)
        if node in plan.downstream(switch)
    ]


def _deciders(plan: Plan, kind: Kind) -> list[int]:
    return [node for node, is_kind in enumerate(plan.kinds) if is_kind is kind]


def _leaves(board: Board, block: Block, slot: int) -> list[Spot]:
    offset = slot - slot % block.k
    if block.is_item(slot):
        return [(block, offset + local) for local in block.region.leaves]
    return [(block, offset + block.local(leaf)) for leaf in board.plan.group_leaves[block.node(slot)]]


def _items_failed(board: Board, below: Block) -> Blocker:
    first = next(
        item
        for item in range(0, below.n * below.k, below.k)
        if below.state[item] not in (TaskState.SUCCEEDED, TaskState.SKIPPED)
    )
    evidence: dict[str, Json] = {"failed": below.failed, "tolerated": below.allowed}
    return Blocker("items_failed", evidence | {"first": _name(board, below, first)})


def _told(board: Board, spot: Spot, reasons: Reasons) -> dict[str, Json]:
    block, slot = spot
    return {
        "id": _name(board, block, slot),
        "state": _state(spot).word,
        "reason": reasons.get(block.key(slot)),
    }


def _state(spot: Spot) -> TaskState:
    return _STATES[spot[0].state[spot[1]]]


def _name(board: Board, block: Block, slot: int) -> str:
    key = block.key(slot)
    return written(board.plan.ids[key.task], key.map)
