"""The scope that an expression sees, and its evaluation there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from headrace.engine.core.evaluation import (
    EvaluationError,
    Evaluator,
    Expression,
    Filled,
    Reference,
    Template,
)
from headrace.engine.core.events import Error
from headrace.engine.core.expressions import parse_template
from headrace.engine.core.keys import written
from headrace.engine.core.machine import ending, maps
from headrace.engine.core.machine.block import Block
from headrace.engine.core.machine.board import Board
from headrace.engine.core.machine.groups import failed_by_themselves
from headrace.engine.core.machine.needs import names_for
from headrace.engine.core.machine.static import templates_of
from headrace.engine.core.plan import Section
from headrace.engine.core.run import Answers, RunInfo
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Json


class Judge:
    """One judgement at work: evaluates in the slot's scope."""

    def __init__(self, board: Board, evaluator: Evaluator, answers: Answers, block: Block, slot: int) -> None:
        self.board, self.evaluator, self.answers, self.block, self.slot = (
            board,
            evaluator,
            answers,
            block,
            slot,
        )

    @property
    def templates(self) -> Any:
        return templates_of(self.board.plan, self.block.node(self.slot))

    def stale(self) -> bool:
        """Something else ended the task run while it waited to be judged."""
        return self.block.state[self.slot] != TaskState.PENDING

    def condition(self, expression: Expression, **extra: Json) -> bool:
        return self.evaluator.condition(expression, self.scope(expression.references, extra))

    def fill(self, template: Template, **extra: Json) -> Filled:
        if template.constant:
            return Filled(template.value)
        return self.evaluator.fill(template, self.scope(template.references, extra))

    def inputs(self) -> Filled:
        """What the worker or child is given: as written, or with what a rerun gives in place of `with`."""
        given = self.board.replacement(self.block.key(self.slot))
        if given is None:
            return self.fill(self.templates.inputs)
        rest = {name: value for name, value in self.templates.inputs.value.items() if name != "with"}
        filled = self.fill(parse_template(rest))
        return Filled({**filled.value, "with": given}, filled.holes)

    def fail(self, wrong: EvaluationError) -> Error:
        """The task run has failed for good, with the error that is told."""
        error = Error("expression_error", str(wrong), reason="expression_error", retryable=False)
        self.board.finish(self.block, self.slot, TaskState.FAILED, "expression_error", error=error)
        return error

    # -- scope ----------------------------------------------------------------------------------------------------------

    def scope(self, references: Iterable[Reference], extra: Mapping[str, Json]) -> dict[str, Json]:
        board = self.board
        names = names_for(board, self.block, self.slot)
        scope: dict[str, Json] = dict(extra)
        tasks: dict[str, dict[str, Json]] = {}
        for root, name, path, _ in references:
            if root == "tasks":
                if name is not None and name in names:
                    fields = tasks.setdefault(name, {})
                    for field in path[:1] or ("output", "state", "reason", "error", "run", "counts"):
                        if field not in fields:
                            fields[str(field)] = self.task_field(names[name], str(field))
            elif root in scope or root == "secrets":
                continue
            elif root == "params":
                scope["params"] = board.info.params
            elif root == "run":
                scope["run"] = self.run_scope()
            elif root == "event":
                scope["event"] = board.info.event
            else:
                self.item_scope(scope)
        if tasks:
            scope["tasks"] = tasks
        return scope

    def item_scope(self, scope: dict[str, Json]) -> None:
        """`item`, `item_index` of the innermost map; every enclosing map under its own name."""
        block, slot = self.block, self.slot
        if slot < 0:
            return
        innermost = True
        while block.parent is not None:
            index = slot // block.k
            if block.values is None:
                stored = self.answers.values.get(block.parent.key(block.head))
                block.values = (
                    stored.inputs.value if stored is not None and stored.inputs is not None else {"over": []}
                )
            value = maps.element(block.values, index)
            spec = self.board.plan.tasks[block.owner].map
            assert spec is not None
            scope.setdefault(spec.as_, value)
            scope.setdefault(f"{spec.as_}_index", index)
            if innermost:
                scope["item"], scope["item_index"] = value, index
            innermost = False
            block, slot = block.parent, block.head

    def task_field(self, node: int, field: str) -> Json:
        board = self.board
        at, spot = board.instance(self.block, max(self.slot, 0), node)
        state = TaskState(at.state[spot])
        below = at.children.get(spot)
        if field == "state":
            return state.word
        if field == "counts":
            return counts_of(below)
        if field == "output" and below is not None:
            if state is not TaskState.SUCCEEDED:
                return None
            return [self.output_of(below, item) for item in range(0, below.n * below.k, below.k)]
        if field == "output":
            return self.output_of(at, spot)
        key = at.key(spot)
        stored = self.answers.values.get(key)
        row = board.decision.rows.get(key)
        if field == "run":
            return stored.child if stored is not None else row.child if row is not None else None
        if field == "reason":
            return row.reason if row is not None else stored.reason if stored is not None else None
        if field == "error":
            error = (
                row.error if row is not None and row.error is not None else stored.error if stored else None
            )
            return error_scope(error, 0) if error is not None else None
        return None

    def output_of(self, block: Block, slot: int) -> Json:
        state = block.state[slot]
        if state != TaskState.SUCCEEDED and state != TaskState.SKIPPED:
            return None
        key = block.key(slot)
        fresh = self.board.fresh.get(key, 0)
        if isinstance(fresh, bytes):
            return json.loads(fresh)
        if fresh is None:
            return None
        stored = self.answers.values.get(key)
        return stored.output if stored is not None else None

    def run_scope(self) -> dict[str, Json]:
        board = self.board
        scope = run_fields(board.plan.workflow.name, board.info, board.status.started_at)
        if board.phase != Section.MAIN:
            scope["state"] = ending.outcome(board)[0].word
            scope["failed"] = [
                written(board.plan.ids[key.task], key.map)
                for key in (
                    block.key(slot)
                    for block, slot in board.slots()
                    if block.state[slot] == TaskState.FAILED and slot not in block.children
                )
                if not board.static.is_group[key.task]
            ]
            scope["failed"] += [
                written(board.plan.ids[giver.node], block.key(slot).map)
                for region in sorted(board.blocks)
                for block in board.blocks[region]
                for giver, slot in failed_by_themselves(board.plan, block)
            ]
        return scope


def run_fields(workflow: str, info: RunInfo, started_at: float | None = None) -> dict[str, Json]:
    """`run` as expressions see it before the run's tasks have ended."""
    return {
        "id": info.id,
        "workflow": workflow,
        "version": info.version,
        "trigger": info.trigger,
        "scheduled_at": rfc3339(info.scheduled_at),
        "date": info.date,
        "started_at": rfc3339(started_at) if started_at is not None else None,
    }


def start_scope(workflow: str, info: RunInfo) -> dict[str, Json]:
    """What the keys of a run's concurrency see."""
    return {"params": dict(info.params), "run": run_fields(workflow, info), "event": info.event}


def counts_of(block: Block | None) -> dict[str, int] | None:
    if block is None:
        return None
    return {
        "total": block.n,
        "succeeded": block.succeeded,
        "failed": block.failed - block.cancelled,
        "skipped": block.skipped,
        "cancelled": block.cancelled,
    }


def error_scope(error: Error, attempt: int) -> dict[str, Json]:
    """`error` as expressions see it."""
    return {
        "kind": error.kind,
        "kinds": list(error.kinds) or [error.kind],
        "message": error.message,
        "exit_code": error.exit_code,
        "status": error.status,
        "reason": error.reason,
        "attempt": attempt,
    }


def rfc3339(at: float) -> str:
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="auto")
    return text.replace("+00:00", "Z")
