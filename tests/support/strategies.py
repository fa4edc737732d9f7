"""Random workflows with all features mixed, and scripts of what their bodies do."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from headrace.engine.core.plan import RULE_NAMES
from headrace.engine.core.planning import build_plan
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.core.workflow import (
    Approval,
    Case,
    Gate,
    Group,
    Limits,
    Map,
    Noop,
    Poll,
    PythonCall,
    Retry,
    RetryRule,
    Signal,
    Sleep,
    Switch,
    Task,
    Workflow,
)
from tests.support.pilot import Outcome

TEARDOWN_RULE = "all_done_setup_success"
_RULES = tuple(rule for rule in RULE_NAMES if rule != TEARDOWN_RULE)
_RETRY_RULES = (
    RetryRule("error.attempt == 1", "retry"),
    RetryRule("error.attempt == 2", "skip"),
    RetryRule("error.attempt == 2", "fail"),
    RetryRule("'ValueError' in error.kinds", "retry", timedelta(seconds=3)),
    RetryRule("'KeyError' in error.kinds", "fail"),
    RetryRule(None, "fail"),
    RetryRule(None, "skip"),
)


@dataclass
class Sketch:
    """What has been drawn so far: how many nodes may still come, and which of them tasks may name."""

    draw: st.DrawFn
    left: int
    number: int = 0
    lists: set[str] = field(default_factory=set)  # ids whose output a map reads

    def chance(self, percent: int) -> bool:
        return self.draw(st.integers(0, 99)) < percent

    def pick(self, values: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(values))

    def some(self, values: Sequence[Any], most: int = 3, least: int = 0) -> list[Any]:
        if not values:
            return []
        few = min(least, len(values))
        return self.draw(st.lists(st.sampled_from(values), min_size=few, max_size=most, unique_by=id))


@st.composite
def workflows(draw: st.DrawFn, most: int = 12) -> Workflow:
    """A valid workflow of at most `most` nodes."""
    sketch = Sketch(draw, draw(st.integers(1, most)))
    tasks = _tasks(sketch, (), depth=0, maps=0, plain=False)
    after: dict[str, tuple[Task, ...]] = {"on_failure": (), "finally_": ()}
    for section in ("on_failure", "finally_"):
        if sketch.chance(20):
            sketch.left = draw(st.integers(1, 3))
            handlers = _tasks(sketch, (), depth=2, maps=0, plain=True)
            after[section] = _sorted([replace(task, fails_run=sketch.chance(30)) for task in handlers])
    limits = Limits(active_tasks=draw(st.integers(1, 3)) if sketch.chance(10) else None)
    workflow = Workflow(
        "w",
        _sorted(tasks),
        limits=limits,
        on_failure=after["on_failure"],
        finally_=after["finally_"],
    )
    try:
        build_plan(workflow)
    except InvalidWorkflow:  # a teardown waits for all that follows its setups: that may close a circle
        assume(False)
    return workflow


@st.composite
def layered(draw: st.DrawFn) -> Workflow:
    """Layers, each task of which waits for every task of the layer before: of these graphs real ones often consist."""
    sketch = Sketch(draw, 0)
    tasks: list[Task] = []
    above: tuple[str, ...] = ()
    for depth in range(draw(st.integers(2, 4))):
        layer = [
            Task(
                f"l{depth}_{number}",
                _work(sketch, sketch.pick(("python",) * 6 + ("noop", "gate")), [], (), [], 0, 0, False),
                depends_on=above,
                trigger_rule=sketch.pick(
                    ("all_success", "all_success", "all_done", "one_success", "none_failed")
                ),
            )
            for number in range(draw(st.integers(2, 3)))
        ]
        tasks += [replace(task, retry=_retry(sketch)) if sketch.chance(15) else task for task in layer]
        above = tuple(task.id for task in layer)
    return Workflow("w", _sorted(tasks))


def _sorted(tasks: Sequence[Task]) -> tuple[Task, ...]:
    return tuple(sorted(tasks, key=lambda task: task.id))


def _tasks(sketch: Sketch, outer: tuple[Task, ...], depth: int, maps: int, plain: bool) -> list[Task]:
    """The tasks of one level, upstreams first. `outer`: tasks further out that may be waited for."""
    tasks: list[Task] = []
    wanted = sketch.draw(st.integers(1, max(1, sketch.left if depth == 0 else min(4, sketch.left))))
    while wanted > 0 and (sketch.left > 0 or not tasks):
        sketch.left -= 1
        wanted -= 1
        tasks.append(_task(sketch, tasks, outer, depth, maps, plain))
    return _with_choices(sketch, tasks)


def _task(
    sketch: Sketch, siblings: list[Task], outer: tuple[Task, ...], depth: int, maps: int, plain: bool
) -> Task:
    sketch.number += 1
    name = f"t{sketch.number}"
    waited_for = [other for other in siblings if other.teardown_of is None or other.depends_on]
    near = sketch.some(waited_for, least=int(sketch.chance(80)))
    far = sketch.some(outer, 1, least=1) if sketch.chance(40) else []
    named = [*near, *far]
    depends_on = tuple(task.id for task in named)
    keys: dict[str, Any] = {"depends_on": depends_on}
    group = depth < 2 and not plain and sketch.left > 0 and sketch.chance(25)
    kind = (
        "group"
        if group
        else sketch.pick(
            ("python",) * 7 + ("noop", "gate", "switch", "choice", "sleep", "approval", "signal")
        )
    )
    if sketch.chance(45) and kind not in ("gate", "switch"):
        keys["trigger_rule"] = _rule(sketch, named)
    mapped = (kind in ("python", "group", "noop")) and maps < 3 and not plain and sketch.chance(30)
    if mapped:
        keys["map"] = Map(over=_elements(sketch, named))
        if isinstance(keys["map"].over, str) and keys.get("trigger_rule") == "always":
            keys["trigger_rule"] = "all_done"
        keys["tolerate"] = sketch.pick((0, 0, 1, 2, 0.5))
        keys["fail_fast"] = sketch.chance(25)
        keys["max_parallel"] = sketch.pick((None, None, 1, 2))
        keys["on_empty"] = sketch.pick(("skip", "succeed"))
    if sketch.chance(25):
        keys["when"] = _condition(sketch, named, items=mapped or maps > 0)
    task = Task(
        name, _work(sketch, kind, named, outer, siblings, depth, maps + mapped, items=maps > 0), **keys
    )
    if kind in ("python", "choice") and sketch.chance(30):
        task = replace(task, retry=_retry(sketch))
    if kind == "python" and sketch.chance(20):
        task = replace(task, poll=_poll(sketch))
    simple = (
        []
        if plain
        else [other for other in siblings if other.teardown_of is None and not isinstance(other.work, Gate)]
    )
    if kind == "python" and not mapped and simple and sketch.chance(15):
        setups = sketch.some(simple, 2)
        waits = (
            () if sketch.chance(50) else tuple(id for id in depends_on if id not in {s.id for s in setups})
        )
        task = replace(
            task,
            teardown_of=tuple(setup.id for setup in setups),
            depends_on=waits,
            trigger_rule=TEARDOWN_RULE,
            fails_run=sketch.chance(20),
            when=None,
        )
    return task


def _work(
    sketch: Sketch,
    kind: str,
    named: list[Task],
    outer: tuple[Task, ...],
    siblings: list[Task],
    depth: int,
    maps: int,
    items: bool,
) -> Any:
    match kind:
        case "noop":
            return Noop()
        case "gate":
            return Gate(_condition(sketch, named, items), sketch.chance(40))
        case "switch":
            cases = tuple(
                Case(_condition(sketch, named, items)) for _ in range(sketch.draw(st.integers(0, 2)))
            )
            return Switch(cases)
        case "choice":
            return Switch(python="bodies:choose")
        case "sleep":
            return Sleep(timedelta(seconds=sketch.draw(st.integers(1, 5))))
        case "approval":
            ends = ("fail", "skip", "continue")
            return Approval(
                approvers=sketch.pick((1, 1, 2)),
                expires=sketch.pick((None, timedelta(seconds=3))),
                on_expiry=sketch.pick(ends),
                on_reject=sketch.pick(ends),
            )
        case "signal":
            several = tuple(Signal("go") for _ in range(sketch.pick((1, 2, 3))))
            expires = sketch.pick((None, timedelta(seconds=3)))
            on_expiry = sketch.pick(("fail", "skip", "continue"))
            if len(several) == 1:
                return Signal("go", expires=expires, on_expiry=on_expiry)
            if sketch.chance(50):
                return Signal(expires=expires, on_expiry=on_expiry, any=several)
            return Signal(expires=expires, on_expiry=on_expiry, all=several)
        case "group":
            around = (*outer, *siblings)
            return Group(_sorted(_tasks(sketch, around, depth + 1, maps, plain=False)))
    return PythonCall("bodies:body")


def _elements(sketch: Sketch, named: list[Task]) -> Any:
    sources = [task for task in named if isinstance(task.work, PythonCall) or task.map is not None]
    if sources and sketch.chance(40):
        source = sketch.pick(sources)
        sketch.lists.add(source.id)
        return f"${{{{ tasks.{source.id}.output }}}}"
    return list(range(sketch.draw(st.integers(0, 3))))


def _condition(sketch: Sketch, named: list[Task], items: bool) -> str:
    forms = ["true", "false"]
    readable = [task for task in named if not isinstance(task.work, Group)]
    if readable:
        source = sketch.pick(readable)
        forms += [f"tasks.{source.id}.output == 1", f"tasks.{source.id}.output != null"]
        if isinstance(source.work, PythonCall):
            forms.append(f"tasks.{source.id}.output.no == 1")
        if source.map is None:
            forms.append(f"tasks.{source.id}.state == 'succeeded'")
    if items:
        forms += ["item != 1", "item == 1"]
    return str(sketch.pick(forms))


def _rule(sketch: Sketch, named: list[Task]) -> str:
    if not named or sketch.chance(80):
        return str(sketch.pick(_RULES))
    atoms = []
    for _ in range(sketch.draw(st.integers(1, 3))):
        source = sketch.pick(named).id
        atoms.append(
            sketch.pick(
                (
                    f"success({source})",
                    f"!success({source})",
                    f"failed({source})",
                    f"!failed({source})",
                    f"skipped({source})",
                    f"done({source})",
                    f"rate({source}) >= 0.5",
                    f"rate({source}) < 0.7",
                    f'count({source}, "failed") > 1',
                    f'count({source}, "succeeded") == 1',
                )
            )
        )
    text = str(atoms[0])
    for atom in atoms[1:]:
        text += sketch.pick((" && ", " || ")) + atom
    return text


def _retry(sketch: Sketch) -> Retry:
    return Retry(
        attempts=sketch.draw(st.integers(1, 3)),
        delay=timedelta(seconds=sketch.draw(st.integers(0, 2))),
        jitter=sketch.pick(("none", "full")),
        rules=tuple(sketch.some(_RETRY_RULES, 2)),
    )


def _poll(sketch: Sketch) -> Poll:
    """Bodies give "early" at first; a condition that never held would never end."""
    until = sketch.pick(("output != 'early'",) * 6 + ("true", "output", "output.no == 1"))
    return Poll(timedelta(seconds=sketch.draw(st.integers(1, 3))), until)


def _with_choices(sketch: Sketch, tasks: list[Task]) -> list[Task]:
    """Switches name tasks that come after them."""
    done = list(tasks)
    for at, task in enumerate(tasks):
        if isinstance(task.work, Switch) and task.work.python is None:
            later = [other.id for other in tasks[at + 1 :] if other.teardown_of is None]
            cases = tuple(replace(case, then=tuple(sketch.some(later, 2))) for case in task.work.cases)
            done[at] = replace(task, work=Switch(cases, tuple(sketch.some(later, 2))))
    return done


# -- what bodies do ------------------------------------------------------------------------------------------------------


class Script:
    """Outcomes drawn from a seed, the same for the same task run however often it is asked. `choices` are the ids that
    a switch may name; `lists` the tasks whose output a map reads, `polls` those that poll."""

    def __init__(
        self,
        seed: int,
        choices: Mapping[str, Sequence[str]],
        lists: frozenset[str],
        polls: frozenset[str] = frozenset(),
    ) -> None:
        self.seed, self.choices, self.lists, self.polls = seed, choices, lists, polls

    def outcome(self, name: str) -> Outcome:
        """What the body of `price[7]` does when it runs."""
        draw = random.Random(f"{self.seed}:{name}")
        id = name.split("[")[0]
        if id in self.choices:
            wanted = [c for c in self.choices[id] if draw.random() < 0.5]
            output: Any = draw.choice((wanted, wanted, wanted[0] if wanted else [], ["nothing"], None, 3))
        elif id in self.lists and draw.random() < 0.85:
            output = list(range(draw.randrange(4)))
        else:
            output = draw.choice((1, 2, None, True, "x"))
        state = draw.choices(("succeeded", "failed", "skipped"), (70, 22, 8))[0]
        fails = draw.choice((0, 0, 0, 1, 2))
        return Outcome(state, output, fails, draw.choice((0, 1, 2)) if id in self.polls else 0)


def spelled(workflow: Workflow) -> str:
    """The workflow in a few lines, for the message of a failing test."""
    lines: list[str] = []
    for section in ("tasks", "on_failure", "finally_"):
        for task in getattr(workflow, section):
            _spell(task, "" if section == "tasks" else f"{section}: ", lines)
    return "\n".join([*lines, f"limits: {workflow.limits}"])


def _spell(task: Task, indent: str, lines: list[str]) -> None:
    plain = Task(task.id, task.work)
    names = [name for name in Task.__dataclass_fields__ if name not in ("id", "work")]
    keys = {name: getattr(task, name) for name in names if getattr(task, name) != getattr(plain, name)}
    if isinstance(task.work, Group):
        lines.append(f"{indent}{task.id}: group {keys}")
        for member in task.work.tasks:
            _spell(member, f"{indent}| ", lines)
    else:
        lines.append(f"{indent}{task.id}: {task.work} {keys}")
