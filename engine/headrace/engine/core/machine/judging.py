"""Expressions: what they need, the scope they see, and what follows from their value.

All expressions that wait are judged together, so one request to the store serves them all. A judgement is
(what, block, slot, extra); its slot is marked JUDGING until it has been judged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from headrace.engine.core.canonical import canonical_json
from headrace.engine.core.decision import Need
from headrace.engine.core.evaluation import (
    Artifact,
    EvaluationError,
    Evaluator,
    Expression,
    Filled,
    Hole,
    Reference,
    Template,
)
from headrace.engine.core.events import AttemptFailed, Error, Picked
from headrace.engine.core.expressions import parse_template
from headrace.engine.core.keys import Key, written
from headrace.engine.core.machine import attempts, branching, ending, maps, readiness
from headrace.engine.core.machine.board import JUDGING, Block, Board
from headrace.engine.core.machine.static import templates_of
from headrace.engine.core.plan import Section
from headrace.engine.core.run import Answers
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Json

Judgement = tuple[str, Block, int, object]
_READS_STORE = frozenset(("output", "error", "reason", "run"))
_DECIDERS = ("gate", "switch")
"""Judged before all else that is due, so that what they skip is not looked at any more."""
_EMPTY: Template = Template(None)


def judge_all(board: Board, evaluator: Evaluator) -> Generator[Need, Answers, None]:
    """Judge everything that waits now. Yields once when values are needed that are not at hand."""
    batch = list(board.judgements)
    board.judgements.clear()
    outputs: set[Key] = set()
    load: set[Key] = set()
    inputs: set[Key] = set()
    cache: set[str] = set()
    for judgement in batch:
        collect(board, judgement, outputs, load, inputs, cache)
    answers = Answers()
    if outputs or inputs or cache:
        answers = yield Need(frozenset(outputs), frozenset(load), frozenset(inputs), frozenset(cache))
    batch.sort(key=lambda judgement: judgement[0] not in _DECIDERS)
    for what, block, slot, extra in batch:
        if slot >= 0:
            block.mark[slot] &= ~JUDGING
        JUDGES[what](Judge(board, evaluator, answers, block, slot), extra)


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
        case "retry":
            return list(templates.retry)
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
    board: Board, judgement: Judgement, outputs: set[Key], load: set[Key], inputs: set[Key], cache: set[str]
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
            if reference.root == "tasks" and reference.name is not None and reference.name in names:
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
    return what not in ("map", "when")


def lone(template: Template) -> bool:
    """Whether it is a single piece and nothing around it."""
    return len(template.pieces) == 1 and template.pieces[0][0] == ()


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

    def fail(self, error: EvaluationError) -> None:
        self.board.finish(
            self.block,
            self.slot,
            TaskState.FAILED,
            "expression_error",
            error=Error("expression_error", str(error), reason="expression_error", retryable=False),
        )

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
        info, status = board.info, board.status
        scope: dict[str, Json] = {
            "id": info.id,
            "workflow": board.plan.workflow.name,
            "version": info.version,
            "trigger": info.trigger,
            "scheduled_at": rfc3339(info.scheduled_at),
            "date": info.date,
            "started_at": rfc3339(status.started_at) if status.started_at is not None else None,
        }
        if board.phase is not Section.MAIN:
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
        return scope


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


# -- what follows from each kind of judgement ---------------------------------------------------------------------------


def _when(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    board, block, slot = judge.board, judge.block, judge.slot
    try:
        holds = judge.condition(judge.templates.when)
    except EvaluationError as error:
        judge.fail(error)
        return
    if not holds:
        board.finish(block, slot, TaskState.SKIPPED, "when")
    else:
        readiness.act(board, block, slot, block.node(slot))


def _map(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    try:
        value = judge.fill(judge.templates.map)
    except EvaluationError as error:
        judge.fail(error)
        return
    maps.expand(judge.board, judge.block, judge.slot, value.value)


def _gate(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    try:
        opened = judge.condition(judge.templates.gate)
    except EvaluationError as error:
        judge.fail(error)
        return
    branching.gate(judge.board, judge.block, judge.slot, opened)


def _switch(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    try:
        for case, then in judge.templates.cases:
            if judge.condition(case):
                chosen = then
                break
        else:
            chosen = judge.board.plan.tasks[judge.block.node(judge.slot)].work.default  # type: ignore[union-attr]
    except EvaluationError as error:
        judge.fail(error)
        return
    branching.switch(judge.board, judge.block, judge.slot, list(chosen))


def _sleep(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    board, block, slot = judge.board, judge.block, judge.slot
    try:
        text = judge.fill(judge.templates.sleep_until).value
        until = datetime.fromisoformat(text.replace("Z", "+00:00")) if isinstance(text, str) else None
    except EvaluationError as error:
        judge.fail(error)
        return
    except ValueError:
        until = None
    if until is None or until.tzinfo is None:
        judge.fail(
            EvaluationError(
                "sleep.until", f"{text!r} is no RFC 3339 time with a zone, like 2026-01-31T06:00:00Z."
            )
        )
        return
    readiness.wait_until(board, block, slot, until.timestamp())


def _child(judge: Judge, _: object) -> None:
    if judge.stale():
        return
    try:
        filled = judge.inputs()
    except EvaluationError as error:
        judge.fail(error)
        return
    readiness.start_child(judge.board, judge.block, judge.slot, filled)


def _inputs(judge: Judge, extra: object) -> None:
    assert isinstance(extra, Picked)
    board, block, slot = judge.board, judge.block, judge.slot
    if block.state[slot] >= TaskState.SUCCEEDED:
        attempts.unpicked(board, block, slot)
        return
    try:
        filled = judge.inputs()
        cache = board.plan.tasks[block.node(slot)].cache
        if cache is not None:
            key = filled if cache.key is None else judge.fill(judge.templates.cache_key)
            readiness.judge(
                board, "cache", block, slot, (extra, filled, cache_key(board, block.node(slot), key))
            )
            return
    except EvaluationError as error:
        attempts.unpicked(board, block, slot)
        judge.fail(error)
        return
    keep = not judge.templates.inputs.constant or board.replacement(extra.key) is not None
    attempts.dispatch(board, block, slot, extra, filled, keep=keep)


def cache_key(board: Board, node: int, key: Filled) -> str:
    """SHA-256 over the work itself, the cache's version and the key (by default the inputs)."""
    task = board.plan.tasks[node]
    assert task.cache is not None
    holes = [[list(hole.path), [str(part) for part in hole.parts]] for hole in key.holes]
    what = [board.plan.kinds[node].value, repr(task.work), task.cache.version, key.value, holes]
    return hashlib.sha256(canonical_json(what)).hexdigest()


def _cache(judge: Judge, extra: object) -> None:
    assert isinstance(extra, tuple)
    event, filled, key = extra
    board, block, slot = judge.board, judge.block, judge.slot
    if block.state[slot] >= TaskState.SUCCEEDED:
        attempts.unpicked(board, block, slot)
        return
    if key in judge.answers.cache:
        attempts.unpicked(board, block, slot)
        row = board.finish(block, slot, TaskState.SUCCEEDED, "cached", output=judge.answers.cache[key])
        row.inputs = filled
        return
    attempts.dispatch(board, block, slot, event, filled, keep=True)
    board.live[block.key(slot)].cache_key = key


def _again(judge: Judge, extra: object) -> None:
    board, block, slot = judge.board, judge.block, judge.slot
    if block.state[slot] >= TaskState.SUCCEEDED:
        if isinstance(extra, Picked):
            attempts.unpicked(board, block, slot)
        return
    stored = judge.answers.values.get(block.key(slot))
    filled = stored.inputs if stored is not None and stored.inputs is not None else None
    if filled is None:  # judged, but lost before it was stored: judge again
        if isinstance(extra, Picked):
            readiness.judge(board, "inputs", block, slot, extra)
            return
        filled = Filled({})
    if isinstance(extra, Picked):
        attempts.dispatch(board, block, slot, extra, filled, keep=False)
    else:
        attempts.send_again(board, block, slot, filled)


def _retry(judge: Judge, extra: object) -> None:
    assert isinstance(extra, AttemptFailed)
    live = judge.board.live.get(extra.key)
    if live is None or judge.block.state[judge.slot] not in (TaskState.DISPATCHED, TaskState.RUNNING):
        return
    task = judge.board.plan.tasks[extra.key.task]
    scope = error_scope(extra.error, extra.attempt)
    for rule, expression in zip(task.retry.rules, judge.templates.retry, strict=True):
        try:
            matches = expression is None or judge.condition(expression, error=scope)
        except EvaluationError:
            matches = False
        if matches:
            attempts.settle_failure(judge.board, judge.block, judge.slot, extra, rule)
            return
    attempts.settle_failure(judge.board, judge.block, judge.slot, extra, None)


def _exit(judge: Judge, _: object) -> None:
    board, block, slot = judge.board, judge.block, judge.slot
    if block.state[slot] != TaskState.WAITING:
        return
    try:
        output, artifact = result_of(judge.fill(judge.templates.output))
    except EvaluationError as error:
        judge.fail(error)
        return
    row = board.finish(block, slot, TaskState.SUCCEEDED, output=output)
    if artifact is not None:
        row.artifact = artifact
        if board.static.read[block.node(slot)]:
            board.fresh[block.key(slot)] = artifact


def result_of(filled: Filled) -> tuple[bytes | None, Artifact | None]:
    """A filled output: its JSON text, or the reference that it is. Raises EvaluationError."""
    match filled.holes:
        case ():
            value = filled.value
            if value is None:
                return None, None
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), None
        case (Hole((), (Artifact() as artifact,)),):
            return None, artifact
    raise EvaluationError("output", "an output cannot hold a secret, or a value too large to be loaded.")


def _output(judge: Judge, _: object) -> None:
    try:
        output, artifact = result_of(judge.fill(run_output(judge.board)))
    except EvaluationError as error:
        ending.close(judge.board, wrong=str(error))
        return
    ending.close(judge.board, output, artifact)


JUDGES: dict[str, Callable[[Judge, object], None]] = {
    "when": _when,
    "map": _map,
    "gate": _gate,
    "switch": _switch,
    "sleep": _sleep,
    "child": _child,
    "inputs": _inputs,
    "cache": _cache,
    "again": _again,
    "retry": _retry,
    "exit": _exit,
    "output": _output,
}
