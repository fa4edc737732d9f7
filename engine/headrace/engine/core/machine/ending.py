"""The end of a run: its outcome by the leaves, then the handlers (`on_failure`, `finally`), then its output."""

from __future__ import annotations

from headrace.engine.core.decision import ClearTimers
from headrace.engine.core.evaluation import Artifact
from headrace.engine.core.machine.block import Block
from headrace.engine.core.machine.board import DEADLINE, Board
from headrace.engine.core.machine.groups import failed_by_themselves, givers
from headrace.engine.core.plan import Section
from headrace.engine.core.states import RunState, TaskState

_FINALLY = int(Section.FINALLY)
_FAILED = bytes((TaskState.FAILED, TaskState.UPSTREAM_FAILED))
_FAILED_OR_CANCELLED = bytes((*_FAILED, TaskState.CANCELLED))


def outcome(board: Board) -> tuple[RunState, str | None]:
    """What the main tasks (and handlers with `fails_run`) have come to (docs/trigger_rules.md, last section)."""
    status = board.status
    if status.reason == DEADLINE:
        return RunState.FAILED, DEADLINE
    states = board.root.state
    asked = status.state is RunState.CANCELLING
    bad = _FAILED if asked else _FAILED_OR_CANCELLED
    for leaf in board.plan.run_leaves:
        if states[leaf] in bad:
            return RunState.FAILED, "tasks_failed"
    if any(_fails_run(board, node) for node in board.static.loud):
        return RunState.FAILED, "tasks_failed"
    if any(_output_failed(board, region) for region, those in enumerate(givers(board.plan)) if those):
        return RunState.FAILED, "tasks_failed"
    if asked:
        return RunState.CANCELLED, status.reason
    return RunState.SUCCEEDED, None


def _fails_run(board: Board, node: int) -> bool:
    for block in board.blocks.get(board.plan.home[node], ()):
        for slot in range(block.local(node), len(block.state), block.k):
            if block.state[slot] in _FAILED and not _tolerated(block, slot):
                return True
    return False


def _output_failed(board: Board, region: int) -> bool:
    """Whether a group there, among the main tasks, failed by its `output` alone."""
    return any(
        board.plan.sections[giver.node] == Section.MAIN and not _tolerated(block, slot)
        for block in board.blocks.get(region, ())
        for giver, slot in failed_by_themselves(board.plan, block)
    )


def _tolerated(block: Block, slot: int) -> bool:
    """Whether it lies in a failed item of a map that tolerates it."""
    while block.parent is not None:
        item = block.state[slot - slot % block.k]
        if item not in (TaskState.SUCCEEDED, TaskState.SKIPPED) and block.allowed and not block.exceeded:
            return True
        block, slot = block.parent, block.head
    return False


def advance(board: Board) -> None:
    """All tasks of a section have ended: go on to the next one, or to the end."""
    board.ending = False
    while board.open[board.phase] == 0:
        if board.phase == _FINALLY:
            finish_run(board)
            return
        board.phase += 1
        if not board.static.open[board.phase]:
            continue
        handlers = [node for node in range(len(board.root.state)) if board.plan.sections[node] == board.phase]
        if board.killed:
            _settle_all(board, handlers, TaskState.CANCELLED, "run_cancelled")
        elif board.phase == Section.ON_FAILURE and outcome(board)[0] is not RunState.FAILED:
            _settle_all(board, handlers, TaskState.SKIPPED, "not_failed")
        else:
            for node in handlers:
                board.candidates.append((board.root, node))
            if board.open[board.phase]:  # else they ended before a restart
                return


def _settle_all(board: Board, nodes: list[int], state: TaskState, reason: str) -> None:
    for node in nodes:
        if board.root.state[node] == TaskState.PENDING:
            board.finish(board.root, node, state, reason)
    board.ending = False


def finish_run(board: Board) -> None:
    """Everything has ended. The output is judged of a run that succeeded; then the run is final."""
    if board.status.state.final:
        return
    if board.plan.workflow.output is not None and outcome(board)[0] is RunState.SUCCEEDED:
        board.judgements.append(("output", board.root, -1, None))
    else:
        close(board)


def close(
    board: Board, output: bytes | None = None, artifact: Artifact | None = None, *, wrong: str | None = None
) -> None:
    """The run gets its final state. `wrong`: why its output could not be judged."""
    if board.status.state.final:
        return
    state, reason = outcome(board)
    if wrong is not None:
        state, reason = RunState.FAILED, f"expression_error: output: {wrong}"
    board.status.paused = False
    board.move_run(state, reason)
    board.note_run(output, artifact)
    if board.plan.workflow.deadline is not None:
        board.decision.effects.append(ClearTimers(None))
