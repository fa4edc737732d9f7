"""What the expressions that wait to be judged read and the board does not hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headrace.engine.core.evaluation import (
    Artifact,
    Expression,
    Reference,
    Template,
)
from headrace.engine.core.expressions import parse_template
from headrace.engine.core.keys import Key
from headrace.engine.core.machine.block import Block
from headrace.engine.core.machine.board import Board
from headrace.engine.core.machine.static import templates_of
from headrace.engine.core.states import TaskState

Judgement = tuple[str, Block, int, object]
"""(what, block, slot, extra)"""
_READS_STORE = frozenset(("output", "error", "reason", "run"))


def templates_for(board: Board, judgement: Judgement) -> Iterable[Template | Expression | None]:
    what, block, slot, _ = judgement
    if what == "output":
        return (run_output(board),)
    templates = templates_of(board.plan, block.node(slot))
    match what:
        case "when":
            return (templates.when,)
        case "map":
            return (templates.map,)
        case "gate":
            return (templates.gate,)
        case "switch":
            return [case for case, _ in templates.cases]
        case "sleep":
            return (templates.sleep_until,)
        case "child" | "inputs":
            return (templates.inputs, templates.cache_key)
        case "wait":
            return (templates.inputs, *templates.signal_keys)
        case "match":
            return templates.signal_matches
        case "retry":
            return list(templates.retry)
        case "poll":
            return (templates.poll,)
        case "exit":
            return (templates.output,)
    return ()


def run_output(board: Board) -> Template:
    known = board.plan.memo.get("output")
    if not isinstance(known, Template):
        known = board.plan.memo["output"] = parse_template(board.plan.workflow.output)
    return known


def names_for(board: Board, block: Block, slot: int) -> Mapping[str, int]:
    return board.plan.section_names if slot < 0 else board.plan.names.get(block.node(slot), {})


def collect(
    board: Board,
    judgement: Judgement,
    outputs: set[Key],
    load: set[Key],
    inputs: set[Key],
    cache: set[str],
    contents: set[Artifact],
) -> None:
    """Add to the sets what this judgement reads and the board does not hold."""
    what, block, slot, extra = judgement
    if what == "again":
        inputs.add(block.key(slot))
        return
    if what == "cache":
        assert isinstance(extra, tuple)
        cache.add(extra[2])
        return
    names = names_for(board, block, slot)
    for template in templates_for(board, judgement):
        if template is None:
            continue
        for reference in template.references:
            if reference.root == "output" and what == "poll":
                _collect_given(extra, contents)
            elif reference.root == "tasks" and reference.name is not None and reference.name in names:
                handle = travels(what, template)
                _collect_task(board, block, slot, names[reference.name], reference, handle, outputs, load)
            elif (
                block.parent is not None
                and slot >= 0
                and reference.root not in ("params", "run", "event", "secrets")
            ):
                _collect_items(block, inputs)


def travels(what: str, template: Template | Expression) -> bool:
    """Whether a large output may stay a reference here: in what a worker is given; as the whole output of a group or
    run, which is then that reference itself."""
    if what in ("exit", "output"):
        return isinstance(template, Template) and lone(template)
    return what not in ("map", "when", "poll")


def lone(template: Template) -> bool:
    """Whether it is a single piece and nothing around it."""
    return len(template.pieces) == 1 and template.pieces[0][0] == ()


def _collect_given(extra: object, contents: set[Artifact]) -> None:
    """What the attempt gave that a poll looks at, where it is too large to stand in the report itself."""
    assert isinstance(extra, tuple)
    artifact = extra[0].artifact
    if artifact is not None:
        contents.add(artifact)


def _collect_items(block: Block, inputs: set[Key]) -> None:
    """The judged maps around a slot, where they are not in memory."""
    while block.parent is not None:
        if block.values is None:
            inputs.add(block.parent.key(block.head))
        block = block.parent


def _collect_task(
    board: Board,
    block: Block,
    slot: int,
    node: int,
    reference: Reference,
    handle: bool,
    outputs: set[Key],
    load: set[Key],
) -> None:
    if reference.path and reference.path[0] not in _READS_STORE:
        return
    at, spot = board.instance(block, max(slot, 0), node)
    whole = handle and reference.whole and reference.path == ("output",)
    below = at.children.get(spot)
    if below is None:
        key = at.key(spot)
        if at.state[spot] >= TaskState.SUCCEEDED and (
            key not in board.fresh or not isinstance(board.fresh[key], bytes | None)
        ):
            outputs.add(key)
            if not whole:
                load.add(key)
        elif at.state[spot] == TaskState.WAITING:
            outputs.add(key)
        return
    if at.state[spot] == TaskState.SUCCEEDED and (not reference.path or reference.path[0] == "output"):
        for item in range(0, below.n * below.k, below.k):
            key = below.key(item)
            if below.state[item] == TaskState.SUCCEEDED and not isinstance(
                board.fresh.get(key, 0), bytes | None
            ):
                outputs.add(key)
                load.add(key)
