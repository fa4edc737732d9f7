"""Makes a failure small: the same script with ever more left out, as long as the same invariant breaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from headrace.testing.simulation.script import Asked, Script
from headrace.testing.simulation.shapes import Shape, shape, without
from headrace.testing.simulation.world import Verdict, simulate

TRIES = 400


def kind_of(verdict: Verdict) -> str | None:
    """Which promise was broken first: `I4`, `logged`, …; None: none was."""
    if not verdict.broken:
        return None
    found = re.match(r"[\d.]+ s: (\w+)", verdict.broken[0])
    return verdict.broken[0] if found is None else found[1]


def shrink(verdict: Verdict, told: Callable[[Script], object] = lambda script: None) -> Verdict:
    """The smallest that was found within so many tries. `told` is called with each script that is smaller and still fails."""
    kind, tries = kind_of(verdict), TRIES
    smaller = True
    while smaller:
        smaller = False
        for candidate in (*verdict.script.smaller(), *_fewer_tasks(verdict.script)):
            if tries <= 0:
                return verdict
            tries -= 1
            found = _tried(candidate)
            if found is not None and kind_of(found) == kind:
                verdict, smaller = found, True
                told(candidate)
                break
    return verdict


def _tried(script: Script) -> Verdict | None:
    try:
        return simulate(script)
    except Exception:  # of another kind than the failure that is looked for
        return None


def _fewer_tasks(script: Script) -> Iterator[Script]:
    for place, asked in enumerate(script.asked):
        whole: Shape | None = shape(asked.shape)
        for left_out in asked.less:
            whole = None if whole is None else without(whole, left_out)
        if whole is None:
            continue
        workflow = whole.plan.workflow
        for task in (*workflow.finally_, *workflow.on_failure, *reversed(workflow.tasks)):
            if without(whole, task.id) is not None:
                less = replace(script, asked=_put(script, place, (*asked.less, task.id)))
                yield less


def _put(script: Script, place: int, less: tuple[str, ...]) -> tuple[Asked, ...]:
    asked = list(script.asked)
    asked[place] = asked[place]._replace(less=less)
    return tuple(asked)
