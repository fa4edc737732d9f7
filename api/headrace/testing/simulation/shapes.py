"""Random workflows with every feature that runs, each drawn from its number: the same number is the same workflow for ever.

Plans are built once a process and number, and used by all worlds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from random import Random
from typing import Any, NamedTuple

from headrace.engine.core.canonical import canonical_json, to_document
from headrace.engine.core.limits import STRATEGIES
from headrace.engine.core.plan import RULE_NAMES, Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.core.workflow import (
    EMPTY,
    Approval,
    Cache,
    Case,
    Child,
    Concurrency,
    Gate,
    Group,
    Limits,
    Map,
    Noop,
    Poll,
    Pool,
    Priority,
    PythonCall,
    Retry,
    RetryRule,
    Signal,
    Sleep,
    Switch,
    Task,
    Timeouts,
    Work,
    Workflow,
)

SHAPES = 1_500
"""Different workflows; below CHILDREN are those that others call."""

WAITING = 300
"""Further ones, from the number SHAPES on, with tasks that people and signals end."""
FIRST_CROWD = SHAPES + WAITING
CROWDS = 100
"""Further ones, from that number on, whose runs have concurrency keys."""

CHILDREN = 6
POOLS = {"small": 1, "wide": 3}
BODY, LISTING, CHOICE, SECRET = "bodies:body", "bodies:listing", "bodies:choose", "bodies:secret"
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


class Shape(NamedTuple):
    """A workflow, planned. `choices`: by the index of a switch that a function decides, the ids that it may name. `children`:
    the numbers of the shapes that it calls."""

    number: int
    plan: Plan
    document: bytes
    choices: dict[int, tuple[str, ...]]
    children: tuple[int, ...]


@cache
def shape(number: int) -> Shape:
    """The workflow of that number."""
    attempt = 0
    while True:
        random = Random(number * 1_000 + attempt)
        workflow = _workflow(random, number)
        try:
            return planned(number, workflow)
        except InvalidWorkflow:  # a teardown waits for all that follows its setups: that may close a circle
            attempt += 1


def planned(number: int, workflow: Workflow) -> Shape:
    """The shape of a workflow. Raises InvalidWorkflow."""
    plan, _ = build_plan(workflow)
    choices = {}
    for node, task in enumerate(plan.tasks):
        if isinstance(task.work, Switch) and task.work.python is not None:
            choices[node] = tuple(plan.ids[down].rsplit(".", 1)[-1] for down in plan.downstream(node))
    called = {task.work.name for task in plan.tasks if isinstance(task.work, Child)}
    children = tuple(sorted(int(name[1:]) for name in called))
    return Shape(number, plan, canonical_json(to_document(plan.workflow)), choices, children)


def without(whole: Shape, task: str) -> Shape | None:
    """The shape less one task of its top level and all mention of it; None where that makes no workflow."""
    workflow = whole.plan.workflow
    kept = {
        section: tuple(_forget(each, task) for each in getattr(workflow, section) if each.id != task)
        for section in ("tasks", "on_failure", "finally_")
    }
    if not kept["tasks"]:
        return None
    try:
        return planned(whole.number, replace(workflow, **kept))  # type: ignore[arg-type]
    except InvalidWorkflow:
        return None


def _forget(task: Task, gone: str) -> Task:
    work = task.work
    if isinstance(work, Switch):
        cases = tuple(replace(case, then=tuple(id for id in case.then if id != gone)) for case in work.cases)
        work = replace(work, cases=cases, default=tuple(id for id in work.default if id != gone))
    elif isinstance(work, Group):
        work = replace(work, tasks=tuple(_forget(member, gone) for member in work.tasks))
    setups = None if task.teardown_of is None else tuple(id for id in task.teardown_of if id != gone)
    depends = tuple(id for id in task.depends_on if id != gone)
    return replace(task, work=work, depends_on=depends, teardown_of=setups)


@dataclass
class _Sketch:
    """What has been drawn so far: how many nodes may still come, and which of them tasks may name."""

    random: Random
    left: int
    leaf: bool
    waits: bool = False
    number: int = 0
    lists: set[str] = field(default_factory=set)  # ids whose output a map reads

    def chance(self, percent: int) -> bool:
        return self.random.random() * 100 < percent

    def pick(self, values: Sequence[Any]) -> Any:
        return self.random.choice(values)

    def some(self, values: Sequence[Any], most: int = 3, least: int = 0) -> list[Any]:
        if not values:
            return []
        count = self.random.randint(min(least, len(values)), min(most, len(values)))
        return self.random.sample(values, count)


def _workflow(random: Random, number: int) -> Workflow:
    leaf = number < CHILDREN
    sketch = _Sketch(
        random,
        random.choice((1, 2, 3)) if leaf else random.choice((1, 2, 3, 4, 5, 6, 8, 11)),
        leaf,
        SHAPES <= number < FIRST_CROWD,
    )
    tasks = _tasks(sketch, (), depth=0, maps=0, plain=False)
    after: dict[str, tuple[Task, ...]] = {"on_failure": (), "finally_": ()}
    for section in ("on_failure", "finally_"):
        if sketch.chance(15):
            sketch.left = random.randint(1, 2)
            handlers = _tasks(sketch, (), depth=2, maps=0, plain=True)
            after[section] = _sorted([replace(task, fails_run=sketch.chance(30)) for task in handlers])
    limits = Limits(
        active_tasks=random.randint(1, 3) if sketch.chance(10) else None,
        active_runs=random.randint(1, 2) if sketch.chance(10) and not leaf else None,
    )
    concurrency = _concurrency(sketch) if number >= FIRST_CROWD else ()
    return Workflow(
        f"w{number}",
        _sorted([_listing(task, sketch.lists) for task in tasks]),
        limits=limits,
        concurrency=concurrency,
        priority=sketch.pick((Priority.NORMAL, Priority.NORMAL, Priority.HIGH, Priority.LOW)),
        deadline=timedelta(seconds=random.randint(5, 30)) if sketch.chance(6) else None,
        on_failure=after["on_failure"],
        finally_=after["finally_"],
    )


def _concurrency(sketch: _Sketch) -> tuple[Concurrency, ...]:
    """One key or two, which runs have alike by what their ids end with."""
    keys = sketch.some(("'all'", "run.id.matches('[0-7]$')", "run.id.matches('[0369cf]$')"), 2, least=1)
    return tuple(
        Concurrency(key, sketch.pick((1, 1, 1, 2, 3)), sketch.pick(("queue", "queue", *STRATEGIES)))
        for key in keys
    )


def _sorted(tasks: Sequence[Task]) -> tuple[Task, ...]:
    return tuple(sorted(tasks, key=lambda task: task.id))


def _listing(task: Task, lists: set[str]) -> Task:
    if isinstance(task.work, Group):
        return replace(task, work=Group(tuple(_listing(member, lists) for member in task.work.tasks)))
    if task.id in lists and isinstance(task.work, PythonCall):
        return replace(task, work=PythonCall(LISTING))
    return task


def _tasks(sketch: _Sketch, outer: tuple[Task, ...], depth: int, maps: int, plain: bool) -> list[Task]:
    """The tasks of one level, upstreams first. `outer`: tasks further out that may be waited for."""
    tasks: list[Task] = []
    most = max(1, sketch.left if depth == 0 else min(4, sketch.left))
    wanted = most if depth == 0 else sketch.random.randint(1, most)
    while wanted > 0 and (sketch.left > 0 or not tasks):
        sketch.left -= 1
        wanted -= 1
        tasks.append(_task(sketch, tasks, outer, depth, maps, plain))
    return _with_choices(sketch, tasks)


def _task(
    sketch: _Sketch, siblings: list[Task], outer: tuple[Task, ...], depth: int, maps: int, plain: bool
) -> Task:
    sketch.number += 1
    name = f"t{sketch.number}"
    waited_for = [other for other in siblings if other.teardown_of is None or other.depends_on]
    near = sketch.some(waited_for, least=int(sketch.chance(80)))
    far = sketch.some(outer, 1, least=1) if sketch.chance(40) else []
    named = [*near, *far]
    depends_on = tuple(task.id for task in named)
    keys: dict[str, Any] = {"depends_on": depends_on}
    group = depth < 2 and not plain and sketch.left > 0 and sketch.chance(22)
    kinds: tuple[str, ...] = ("python",) * 8 + ("noop", "gate", "switch", "choice", "sleep")
    if sketch.waits:
        kinds += ("approval", "approval", "signal", "signal", "signal")
    kind = "group" if group else sketch.pick(kinds if sketch.leaf or plain else (*kinds, "child"))
    if sketch.chance(25) and kind not in ("gate", "switch"):
        keys["trigger_rule"] = _rule(sketch, named)
    mapped = (kind in ("python", "group", "noop")) and maps < 2 and not plain and sketch.chance(25)
    if mapped:
        keys["map"] = Map(over=_elements(sketch, named))
        if isinstance(keys["map"].over, str) and keys.get("trigger_rule") == "always":
            keys["trigger_rule"] = "all_done"
        keys["tolerate"] = sketch.pick((0, 0, 1, 2, 0.5))
        keys["fail_fast"] = sketch.chance(25)
        keys["max_parallel"] = sketch.pick((None, None, 1, 2))
        keys["on_empty"] = sketch.pick(("skip", "succeed"))
    if sketch.chance(12):
        keys["when"] = _condition(sketch, named, items=mapped or maps > 0)
    task = Task(
        name, _work(sketch, kind, named, outer, siblings, depth, maps + mapped, items=maps > 0), **keys
    )
    if kind in ("python", "choice"):
        task = _with_policies(sketch, task, named, mapped)
    simple = (
        []
        if plain
        else [other for other in siblings if other.teardown_of is None and not isinstance(other.work, Gate)]
    )
    if kind == "python" and not mapped and simple and sketch.chance(12):
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
            with_=task.with_ if task.work == PythonCall(SECRET) else EMPTY,
        )
    return task


def _with_policies(sketch: _Sketch, task: Task, named: list[Task], mapped: bool) -> Task:
    seconds = timedelta
    random = sketch.random
    keys: dict[str, Any] = {}
    if sketch.chance(35):
        keys["retry"] = Retry(
            attempts=random.randint(1, 3),
            delay=seconds(seconds=random.randint(0, 2)),
            jitter=sketch.pick(("none", "full")),
            rules=tuple(sketch.some(_RETRY_RULES, 2)),
        )
    keys["timeouts"] = Timeouts(
        queue=seconds(seconds=random.randint(4, 15)) if sketch.chance(6) else None,
        attempt=seconds(seconds=random.randint(1, 4)) if sketch.chance(25) else None,
        total=seconds(seconds=random.randint(4, 20)) if sketch.chance(6) else None,
        heartbeat=seconds(seconds=sketch.pick((4, 6, 8, 30))),
        grace=seconds(seconds=sketch.pick((0, 1, 2))),
    )
    if sketch.chance(8):
        keys["pool"] = Pool(sketch.pick(tuple(POOLS)))
    if sketch.chance(8):
        keys["on_lost"] = "fail"
    if sketch.chance(8):
        keys["priority"] = sketch.pick((Priority.HIGH, Priority.LOW))
    if sketch.chance(8):
        keys["queue"] = "other"
    if isinstance(task.work, PythonCall) and sketch.chance(10):
        # what a body gives depends on the attempt, so each of these comes to an end
        until = sketch.pick(
            ("output != null", "output != null", "output != 1", "output == true", "output.no == 1")
        )
        keys["poll"] = Poll(seconds(seconds=random.randint(1, 3)), until)
    if isinstance(task.work, PythonCall) and not mapped:
        if sketch.chance(6):
            keys["cache"] = Cache(seconds(seconds=sketch.pick((5, 3600))), key=sketch.pick(("a", "b")))
        elif sketch.chance(6):
            keys["with_"] = {"token": "${{ secrets.canary }}"}
            task = replace(task, work=PythonCall(SECRET))
        else:
            sources = [one for one in named if isinstance(one.work, PythonCall)]
            if sources and sketch.chance(30):
                keys["with_"] = {"value": f"${{{{ tasks.{sketch.pick(sources).id}.output }}}}"}
    return replace(task, **keys)


def _work(
    sketch: _Sketch,
    kind: str,
    named: list[Task],
    outer: tuple[Task, ...],
    siblings: list[Task],
    depth: int,
    maps: int,
    items: bool,
) -> Work:
    match kind:
        case "noop":
            return Noop()
        case "gate":
            return Gate(_condition(sketch, named, items), sketch.chance(40))
        case "switch":
            count = sketch.random.randint(0, 2)
            return Switch(tuple(Case(_condition(sketch, named, items)) for _ in range(count)))
        case "choice":
            return Switch(python=CHOICE)
        case "sleep":
            return Sleep(timedelta(seconds=sketch.random.randint(1, 5)))
        case "approval":
            ends = ("fail", "skip", "continue")
            return Approval(
                approvers=sketch.pick((1, 1, 2)),
                expires=timedelta(seconds=5) if sketch.chance(25) else None,
                on_expiry=sketch.pick(ends),
                on_reject=sketch.pick(ends),
            )
        case "signal":
            return _signal(sketch)
        case "child":
            called = f"w{sketch.random.randrange(CHILDREN)}"
            return Child(
                called, wait=sketch.chance(85), on_cancel=sketch.pick(("cancel", "cancel", "abandon"))
            )
        case "group":
            around = (*outer, *siblings)
            return Group(_sorted(_tasks(sketch, around, depth + 1, maps, plain=False)))
    return PythonCall(BODY)


def _signal(sketch: _Sketch) -> Signal:
    expires = timedelta(seconds=5) if sketch.chance(25) else None
    on_expiry = sketch.pick(("fail", "skip", "continue"))
    ones = [
        Signal(
            sketch.pick(("go", "stop")),
            key=sketch.pick((None, "'k'", "run.id")),
            match=sketch.pick((None, None, "payload == 1")),
            lookback=timedelta(seconds=sketch.pick((0, 0, 2, 600))),
        )
        for _ in range(sketch.pick((1, 1, 2, 3)))
    ]
    if len(ones) == 1:
        return replace(ones[0], expires=expires, on_expiry=on_expiry)
    several = tuple(ones)
    if sketch.chance(50):
        return Signal(expires=expires, on_expiry=on_expiry, any=several)
    return Signal(expires=expires, on_expiry=on_expiry, all=several)


def _elements(sketch: _Sketch, named: list[Task]) -> Any:
    sources = [task for task in named if isinstance(task.work, PythonCall) or task.map is not None]
    if sources and sketch.chance(40):
        source = sketch.pick(sources)
        sketch.lists.add(source.id)
        return f"${{{{ tasks.{source.id}.output }}}}"
    return list(range(sketch.random.randint(0, 3)))


def _condition(sketch: _Sketch, named: list[Task], items: bool) -> str:
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


def _rule(sketch: _Sketch, named: list[Task]) -> str:
    if not named or sketch.chance(80):
        return str(sketch.pick(_RULES))
    atoms = []
    for _ in range(sketch.random.randint(1, 3)):
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


def _with_choices(sketch: _Sketch, tasks: list[Task]) -> list[Task]:
    """Switches name tasks that come after them."""
    done = list(tasks)
    for at, task in enumerate(tasks):
        if isinstance(task.work, Switch) and task.work.python is None:
            later = [other.id for other in tasks[at + 1 :] if other.teardown_of is None]
            cases = tuple(replace(case, then=tuple(sketch.some(later, 2))) for case in task.work.cases)
            done[at] = replace(task, work=Switch(cases, tuple(sketch.some(later, 2))))
    return done
