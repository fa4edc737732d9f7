"""A rerun that goes on with another version of its workflow.

Task runs are known again by their ids. What the new version has in the same form keeps its result, unless the rerun
resets it; what only the new version has runs, and everything downstream of it; what only the old one had is left behind.
The rows that are kept are written anew under the numbers of the new plan, so that nobody has to look back across it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from headrace.engine.core.decision import Row
from headrace.engine.core.events import RerunAsked
from headrace.engine.core.keys import Key, written
from headrace.engine.core.machine import reruns, restoring
from headrace.engine.core.machine.board import Board
from headrace.engine.core.plan import Plan, Section
from headrace.engine.core.run import Generation, Moved, RunStatus
from headrace.engine.core.states import TaskState
from headrace.engine.core.workflow import Group


class Misfit(Exception):
    """The run cannot go on with that version; the text says what does not fit, where, and what to do."""


def moved(old: Board, asked: RerunAsked, plan: Plan, rows: Mapping[Key, Row]) -> Board:
    """The board of the new generation. Its kept rows are part of the decision. Raises Misfit; then nothing has changed."""
    assert asked.version is not None
    status, before = old.status, old.info.version
    heads, reset, kept = fit(old, asked.keys, plan, asked.version, rows)
    status.generation += 1
    status.generations.append(
        Generation(
            status.generation,
            tuple(sorted(reset)),
            asked.inputs,
            tuple(sorted(heads)) if asked.inputs is not None else (),
            Moved(asked.version, plan.hash, before, old.plan.hash),
        )
    )
    reruns.begin_again(status, old.at)
    board = Board(plan, replace(old.info, version=asked.version), status, old.grants)
    board.decision, board.at, board.cause = old.decision, old.at, old.cause
    restoring.lay(board, kept)
    board.note_run()
    board.decision.rows.update(kept)
    restoring.look_again(board)
    return board


def fit(
    old: Board, keys: tuple[Key, ...] | None, plan: Plan, version: int, rows: Mapping[Key, Row]
) -> tuple[set[Key], set[Key], dict[Key, Row]]:
    """Where a rerun on `plan` begins, all that it resets, and the rows that it keeps; by the numbers of `plan`.

    `keys` (None: all that failed) and `rows` go by the old plan. Raises Misfit.
    """
    numbers = _same(old.plan, plan)
    known = {Key(numbers[key.task], key.map): row for key, row in rows.items() if key.task in numbers}
    board = Board(plan, old.info, RunStatus(), old.grants)
    restoring.lay(board, known)
    asked = _failed(old, rows) if keys is None else keys
    heads = tuple(_head(old.plan, key, plan, numbers, version) for key in asked)
    for key in heads:
        if board.locate(key) is None:
            raise Misfit(
                f'version {version} has no task run "{written(plan.ids[key.task], key.map)}". '
                "Name task runs that it has, or start a new run of it."
            )
    pending = {block.key(slot) for block, slot in board.slots() if block.state[slot] == TaskState.PENDING}
    added = {key for key in pending if plan.ids[key.task] not in old.plan.index}
    if keys is None:
        added |= pending.intersection(heads)
    begun, reset = reruns.chosen(board, None if keys is None else heads, frozenset(added))
    if not reset:
        raise Misfit("No task of the run failed: name the tasks to run again.")
    for key in sorted(pending - reset):
        if not any(around in reset for around in restoring.around(plan, key)):
            name = plan.ids[key.task]
            raise Misfit(
                f'{_reshaped(old.plan, plan, name, version)} What it came to cannot be kept: name "{name}" among '
                "the tasks to run again."
            )
    return begun, reset, restoring.keep(plan, known, reset)


def _failed(old: Board, rows: Mapping[Key, Row]) -> list[Key]:
    sections = old.plan.sections
    return [
        key
        for key in sorted(rows)
        if rows[key].state is TaskState.FAILED and sections[key.task] == Section.MAIN
    ]


def _same(old: Plan, new: Plan) -> dict[int, int]:
    """Old number → new number of every node that both have in the same form."""
    return {
        node: other
        for node, name in enumerate(old.ids)
        if (other := new.index.get(name)) is not None and _form(old, node) == _form(new, other)
    }


def _form(plan: Plan, node: int) -> tuple[object, ...]:
    """What the key and the result of a task run depend on: its section, whether it is a group, the maps around it, its own."""
    maps = []
    region = plan.regions[plan.home[node]]
    while region.owner >= 0:
        maps.append(plan.ids[region.owner])
        region = plan.regions[region.parent]
    return plan.sections[node], isinstance(plan.tasks[node].work, Group), node in plan.items, tuple(maps)


def _head(old: Plan, key: Key, new: Plan, numbers: Mapping[int, int], version: int) -> Key:
    """The task run to begin at; one of another form begins anew as a whole."""
    name = old.ids[key.task]
    other = new.index.get(name)
    if other is None:
        raise Misfit(
            f'task "{name}" is to run again, and version {version} has no such task. '
            "Name tasks that it has, or start a new run of it."
        )
    if key.task in numbers:
        return Key(other, key.map)
    if new.home[other]:
        raise Misfit(
            f"{_reshaped(old, new, name, version)} Name the map around it among the tasks to run again."
        )
    return Key(other)


def _reshaped(old: Plan, new: Plan, name: str, version: int) -> str:
    words = ("lies in another section", "is a group", "is mapped", "lies in other maps")
    pairs = zip(words, _form(old, old.index[name]), _form(new, new.index[name]), strict=True)
    what, _, now = next(pair for pair in pairs if pair[1] != pair[2])
    if now is False:
        what = what.replace("is ", "is not ") + " any more"
    return f'task "{name}" {what} in version {version}, unlike in the version that ran.'
