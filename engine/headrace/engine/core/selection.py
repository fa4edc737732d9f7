"""A selection: the part of a graph that a run is of (docs/design/selection.md).

`resolve` turns what a person wrote into the ids that run, at the door, before anything is stored. Those ids are a fact of
the run. `narrowed` makes the plan that deciding goes by: all numbers and ids as they were, and no edge touches what is left
out, so every rule sees only what is selected.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace

from headrace.engine.core.plan import Holds, Measure, Plan, Rule, RuleExpression, Section
from headrace.engine.core.planning.templates import compiled
from headrace.engine.core.problems import InvalidWorkflow, Problem, did_you_mean
from headrace.engine.core.workflow import Kind


def resolve(plan: Plan, select: Sequence[str], exclude: Sequence[str] = ()) -> tuple[str, ...]:
    """The full ids of the tasks that run, and of the groups around them, in the plan's order; `on_failure` and `finally` are
    not among them, for they always run. Without `select`: all but `exclude`.

    Raises InvalidWorkflow (invalid_parameter) with all that is wrong; a path is ("select" | "exclude", position).
    """
    problems: list[Problem] = []
    wanted = _union(plan, select, "select", problems) if select else _main(plan)
    unwanted = _union(plan, exclude, "exclude", problems)
    if problems:
        raise InvalidWorkflow(problems)
    chosen = {node for node in wanted - unwanted if plan.kinds[node] is not Kind.GROUP}
    if not chosen - plan.teardowns:
        hint = "Name tasks that are not excluded." if select else "Exclude less."
        raise InvalidWorkflow([_problem("Nothing is selected.", hint, ("select" if select else "exclude",))])
    chosen |= _kept_teardowns(plan, chosen)
    for node in tuple(chosen):
        chosen.update(_around(plan, node))
    problems.extend(_missed(plan, chosen))
    if problems:
        raise InvalidWorkflow(problems)
    return tuple(plan.ids[node] for node in sorted(chosen))


def narrowed(plan: Plan, selected: Iterable[str]) -> Plan:
    """The plan without what is not selected. An edge through what is left out is kept from end to end, unless it begins at a
    switch, which chooses among its own downstream tasks only."""
    kept = {plan.index[name] for name in selected if name in plan.index}
    left = frozenset(_main(plan) - kept)
    if not left:
        return plan
    before = _Before(plan, left)
    up: list[tuple[int, ...]] = []
    for node in range(len(plan.ids)):
        own = set() if node in left else {source for source in plan.upstream(node) if source not in left}
        if node not in left:
            own |= {source for source in before.through(node) if plan.kinds[source] is not Kind.SWITCH}
        up.append(tuple(sorted(own)))
    down: list[list[int]] = [[] for _ in up]
    for node, sources in enumerate(up):
        for source in sources:
            down[source].append(node)

    quiet = {node for node in plan.teardowns if not plan.tasks[node].fails_run}

    def ends(inside: set[int], home: int) -> tuple[int, ...]:
        """Of these nodes the selected ones that no other of them waits for; as the planner has it, teardowns do not count unless
        they fail the run or there is nothing else."""
        last = [
            node
            for node in sorted(inside - left)
            if plan.home[node] == home
            and (plan.kinds[node] is not Kind.GROUP or node in plan.items)
            and not any(after in inside and after not in quiet for after in down[node])
        ]
        return tuple(node for node in last if node not in quiet) or tuple(last)

    run_leaves = ends(_main(plan), 0)
    regions = [replace(plan.regions[0], leaves=run_leaves), *plan.regions[1:]]
    group_leaves = dict(plan.group_leaves)
    for group in plan.members:
        inside = _members(plan, group)
        if group in left or inside.isdisjoint(left):
            continue
        if group in plan.group_leaves:
            group_leaves[group] = ends(inside, plan.home[group])
        else:
            region = plan.regions[plan.items[group]]
            leaves = tuple(leaf - region.base + 1 for leaf in ends(inside, region.index))
            regions[region.index] = replace(region, leaves=leaves)
    rules = bytearray(plan.rules)
    for node in left:
        rules[node] = Rule.ALWAYS
    return replace(
        plan,
        rules=bytes(rules),
        up_start=_starts(up),
        up=array("i", (source for row in up for source in row)),
        down_start=_starts(down),
        down=array("i", (target for row in down for target in row)),
        group_leaves=group_leaves,
        regions=tuple(regions),
        setups={
            node: rest for node, those in plan.setups.items() if node not in left and (rest := those - left)
        },
        teardowns=plan.teardowns - left,
        run_leaves=run_leaves,
        left_out=left,
        memo={},
    )


_NONE: frozenset[int] = frozenset()


class _Before:
    """What is selected and lies directly before a node when one looks through what is left out."""

    def __init__(self, plan: Plan, left: frozenset[int]) -> None:
        self._plan, self._left = plan, left
        self._known: dict[int, frozenset[int]] = {}

    def through(self, node: int) -> set[int]:
        """Of a node that is selected: what is reached only through nodes that are not."""
        found: set[int] = set()
        for source in self._plan.upstream(node):
            if source in self._left:
                found |= self.of(source)
        found.discard(node)
        return found

    def of(self, node: int) -> frozenset[int]:
        """Of a node that is left out. A stack of our own: chains are longer than Python's."""
        stack = [node]
        begun: set[int] = set()  # a member waits for its group, and that for what its members wait for
        while stack:
            at = stack[-1]
            sources = list(self._sources(at))
            begun.add(at)
            open_ = [s for s in sources if s in self._left and s not in self._known and s not in begun]
            if at in self._known:
                stack.pop()
            elif open_:
                stack.extend(open_)
            else:
                found: set[int] = set()
                for source in sources:
                    found |= self._known.get(source, _NONE) if source in self._left else {source}
                self._known[at] = frozenset(found)
                stack.pop()
        return self._known[node]

    def _sources(self, node: int) -> Iterator[int]:
        yield from self._plan.upstream(node)
        group = self._plan.group[node]
        if group in self._left:
            yield group
        if node in self._plan.members:  # all that its members wait for outside of it
            inside = _members(self._plan, node)
            for member in inside:
                yield from (source for source in self._plan.upstream(member) if source not in inside)


def _starts(rows: Sequence[Sequence[int]]) -> array[int]:
    starts = array("i", [0])
    for row in rows:
        starts.append(starts[-1] + len(row))
    return starts


# -- what was written ----------------------------------------------------------------------------------------------


def _union(plan: Plan, written: Sequence[str], field: str, problems: list[Problem]) -> set[int]:
    found: set[int] = set()
    for position, text in enumerate(written):
        found |= _matched(plan, text, (field, position), problems)
    return found


def _matched(plan: Plan, text: str, path: tuple[str, int], problems: list[Problem]) -> set[int]:
    """`a`, `group.task`, `tag:nightly`, each with `+` before it (and all upstream) or after it (and all downstream)."""
    word = text.strip()
    above, below = word.startswith("+"), len(word) > 1 and word.endswith("+")
    name = word[above : len(word) - below]
    if name.startswith("tag:"):
        tag = name.removeprefix("tag:")
        start = {node for node in _main(plan) if tag in plan.tasks[node].tags}
        if not start:
            tags = {tag for node in _main(plan) for tag in plan.tasks[node].tags}
            known = ", ".join(sorted(tags)[:10])
            hint = did_you_mean(tag, tags) or (f"Its tags: {known}." if known else "No task of it has a tag.")
            problems.append(_problem(f'No task has the tag "{tag}".', hint, path))
    elif name not in plan.index:
        hint = did_you_mean(name, plan.index) or "`headrace graph` lists its tasks."
        problems.append(_problem(f'"{name}" is no task of workflow "{plan.workflow.name}".', hint, path))
        return set()
    elif plan.sections[plan.index[name]] != Section.MAIN:
        message = f'"{name}" belongs to on_failure or finally, which are part of every run.'
        problems.append(_problem(message, "Leave it out here.", path))
        return set()
    else:
        start = {plan.index[name]}
    start = _closure(start, lambda node: plan.members.get(node, ()))
    found = set(start)
    if above:
        found |= _closure(start, lambda node: _beside(plan, node, plan.upstream))
    if below:
        found |= _closure(start, lambda node: _beside(plan, node, plan.downstream))
    return found & _main(plan)


def _beside(plan: Plan, node: int, step: Callable[[int], array[int]]) -> Iterator[int]:
    """One step up or down: of the node, of the groups around it; a group that is reached stands for its members."""
    for at in (node, *_around(plan, node)):
        for target in step(at):
            yield target
            yield from _closure({target}, lambda node: plan.members.get(node, ()))


def _closure(start: Iterable[int], step: Callable[[int], Iterable[int]]) -> set[int]:
    found = set(start)
    queue = list(found)
    while queue:
        for target in step(queue.pop()):
            if target not in found:
                found.add(target)
                queue.append(target)
    return found


def _main(plan: Plan) -> set[int]:
    return {node for node, section in enumerate(plan.sections) if section == Section.MAIN}


def _around(plan: Plan, node: int) -> list[int]:
    """The groups around a node, innermost first."""
    found = []
    while (node := plan.group[node]) >= 0:
        found.append(node)
    return found


def _members(plan: Plan, group: int) -> set[int]:
    """All nodes inside a group, at any depth."""
    return _closure(plan.members[group], lambda node: plan.members.get(node, ()))


def _kept_teardowns(plan: Plan, chosen: set[int]) -> set[int]:
    """A teardown comes with what it tears down; one that has no setups is always kept."""
    kept = {
        node
        for node in plan.teardowns
        if plan.sections[node] == Section.MAIN
        and (not plan.setups.get(node) or not chosen.isdisjoint(plan.setups[node]))
    }
    return _closure(kept, lambda node: plan.members.get(node, ()))


# -- what cannot do without what is left out -------------------------------------------------------------------------


def _missed(plan: Plan, chosen: set[int]) -> Iterator[Problem]:
    """Selected tasks that read the output of one that will not run, or whose rule names it."""
    for node in sorted(chosen):
        name = plan.ids[node]
        for target in sorted(_read(plan, node) - chosen):
            if plan.sections[target] != Section.MAIN:
                continue
            yield Problem(
                "invalid_parameter",
                f'Task "{name}" reads the output of "{plan.ids[target]}", which is not selected.',
                f'Select "{plan.ids[target]}" too, or "+{name}" with everything upstream.',
                ("select",),
                name,
            )
        if node in plan.rule_expressions:
            for target in sorted(_named(plan.rule_expressions[node]) - chosen):
                yield Problem(
                    "invalid_parameter",
                    f'The trigger rule of task "{name}" names "{plan.ids[target]}", which is not selected.',
                    f'Select "{plan.ids[target]}" too, or "+{name}" with everything upstream.',
                    ("select",),
                    name,
                )


def _read(plan: Plan, node: int) -> set[int]:
    """Nodes whose output the task's own expressions read. What a group gives as its output may lack parts of it."""
    names = plan.names.get(node)
    if not names:
        return set()
    made = compiled(plan, node)
    templates = (
        *(made.inputs, made.when, made.map, made.gate, made.sleep_until, made.cache_key, made.poll),
        *(case for case, _ in made.cases),
        *made.retry,
    )
    found = set()
    for template in templates:
        for root, name, path, _ in () if template is None else template.references:
            if root == "tasks" and name is not None and name in names and path[:1] in ((), ("output",)):
                found.add(names[name])
    return found


def _named(rule: RuleExpression) -> set[int]:
    """The nodes that a rule expression looks at."""
    if isinstance(rule, Holds | Measure):
        return {rule.source}
    found: set[int] = set()
    for field in fields(rule):
        part = getattr(rule, field.name)
        for one in part if isinstance(part, tuple) else (part,):
            if not isinstance(one, str | float | int):
                found |= _named(one)
    return found


def _problem(message: str, hint: str, path: tuple[str | int, ...]) -> Problem:
    return Problem("invalid_parameter", message, hint, path)
