"""What expressions name: every reference of every task is looked up, checked for scope, and becomes an edge where it is one."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from headrace.engine.core.evaluation import Expression, Reference, Template
from headrace.engine.core.expressions import ExpressionProblem, parse_expression, parse_template
from headrace.engine.core.plan import Rule, RuleExpression, Section
from headrace.engine.core.planning.findings import Findings
from headrace.engine.core.planning.nodes import Nodes
from headrace.engine.core.planning.slots import Slot, silent, slots
from headrace.engine.core.problems import Path
from headrace.engine.core.trigger_rules import RuleProblem, is_name, parse_rule, rule_named
from headrace.engine.core.workflow import Json, Switch, Workflow

Check = Callable[[Expression], str | None]
"""A second look at an expression's syntax, by what will evaluate it: what is wrong, or None."""

TASK_FIELDS = ("output", "state", "reason", "error", "run", "counts")
RUN_FIELDS = ("id", "workflow", "version", "trigger", "scheduled_at", "date", "started_at")
LATE_RUN_FIELDS = (*RUN_FIELDS, "state", "failed")  # on_failure, finally and the run's output see these too
ROOTS = ("params", "run", "event", "tasks")

_EXPRESSION_MARK = "${{"
_BARE_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)


@dataclass(slots=True)
class Names:
    """What planning learnt from expressions, rules and switches."""

    rules: bytearray
    rule_expressions: dict[int, RuleExpression] = field(default_factory=dict)
    named: dict[int, dict[str, int]] = field(default_factory=dict)  # node → id as written → node
    output: dict[str, int] = field(default_factory=dict)  # the same for the workflow's output
    upstream: dict[int, dict[int, Path]] = field(default_factory=dict)  # node → upstream by reference → where
    chosen: dict[int, list[tuple[int, ...]]] = field(
        default_factory=dict
    )  # switch → choices, the default last
    choosers: dict[int, list[int]] = field(default_factory=dict)  # node → switches that name it
    when_per_item: set[int] = field(default_factory=set)
    states: list[tuple[int, int, Path]] = field(
        default_factory=list
    )  # node, upstream whose state it reads, where


def look_up(workflow: Workflow, nodes: Nodes, findings: Findings, check: Check | None) -> Names:
    """Every expression, rule and switch of the workflow, looked up."""
    names = Names(bytearray(len(nodes)))
    reader = _Reader(workflow, nodes, names, findings, check)
    for node, task in enumerate(nodes.tasks):
        if task.teardown_of is not None:
            names.rules[node] = Rule.ALL_DONE_SETUP_SUCCESS
        if not silent(task):
            reader.task(node)
    reader.workflow_output()
    reader.parameters()
    return names


class _Reader:
    def __init__(
        self, workflow: Workflow, nodes: Nodes, names: Names, findings: Findings, check: Check | None
    ) -> None:
        self.workflow, self.nodes, self.names, self.findings, self.check = (
            workflow,
            nodes,
            names,
            findings,
            check,
        )
        self.checked: dict[str, str | None] = {}

    # -- one task ----------------------------------------------------------------------------------------------------

    def task(self, node: int) -> None:
        task = self.nodes.tasks[node]
        self.rule(node)
        if isinstance(task.work, Switch):
            self.switch(node, task.work)
        own = [task.map.as_] if task.map is not None else []
        around = [spec.as_ for m in self.nodes.maps(node) if (spec := self.nodes.tasks[m].map) is not None]
        looped = ("loop",) if any(self._loops(group) for group in self.nodes.enclosing(node)) else ()
        for slot in slots(task):
            expression = self.parse(slot, self.nodes.path(node), self.nodes.ids[node])
            if expression is None:
                continue
            maps = [*own, *around] if slot.item else around
            if slot.inside and own:
                maps = [*own, *around]
            roots = [*ROOTS, *slot.extra, *looped, *(("secrets",) if slot.secrets else ())]
            if maps:
                roots += ["item", "item_index", *maps, *(f"{name}_index" for name in maps)]
            self.references(node, slot, expression.references, roots)
            if slot.path == ("when",) and own:
                mine = {"item", "item_index", own[0], f"{own[0]}_index"}
                if any(reference.root in mine for reference in expression.references):
                    self.names.when_per_item.add(node)
            if slot.path[0] == "map" and slot.path != ("map", "label"):
                self.generated_map(node, slot, expression.references)

    def _loops(self, group: int) -> bool:
        return getattr(self.nodes.tasks[group].work, "loop", None) is not None

    def rule(self, node: int) -> None:
        text = self.nodes.tasks[node].trigger_rule
        if text == "all_success":
            return
        path = (*self.nodes.path(node), "trigger_rule")
        try:
            if is_name(text):
                self.names.rules[node] = rule_named(text)
                return
            self.names.rules[node] = Rule.EXPRESSION
            named: dict[str, int] = {}
            sources: list[str] = []

            def source(written: str) -> int:
                if written not in named:
                    sources.append(written)
                    named[written] = -1
                    target = self.target(written, node, path, "names")
                    if target is not None:
                        named[written] = target
                return named[written]

            rule = parse_rule(text, source)
        except RuleProblem as problem:
            self.findings.problem(
                "invalid_trigger_rule", problem.message, path, self.nodes.ids[node], problem.hint
            )
            return
        self.names.rule_expressions[node] = rule
        for written in sources:
            if named[written] >= 0:
                self.remember(node, written, named[written], path)
                self.names.upstream.setdefault(node, {}).setdefault(named[written], path)

    def switch(self, node: int, work: Switch) -> None:
        choices: list[tuple[Path, tuple[str, ...]]] = [
            (("switch", "cases", at, "then"), case.then) for at, case in enumerate(work.cases)
        ]
        choices.append((("switch", "default"), work.default))
        found: list[tuple[int, ...]] = []
        for place, ids in choices:
            targets = []
            for position, written in enumerate(ids):
                path = (*self.nodes.path(node), *place, position)
                target = self.target(written, node, path, "chooses")
                if target is None:
                    continue
                if self.nodes.home[target] != self.nodes.home[node]:
                    self.findings.problem(
                        "not_visible",
                        f'"{self.nodes.ids[node]}" is decided per item, so it cannot choose "{written}", which lies '
                        "outside the map.",
                        path,
                        self.nodes.ids[node],
                        "Choose among the tasks of the same group.",
                    )
                    continue
                self.remember(node, written, target, path)
                choosers = self.names.choosers.setdefault(target, [])
                if node not in choosers:
                    choosers.append(node)
                targets.append(target)
            found.append(tuple(targets))
        if work.python is None:
            self.names.chosen[node] = found

    def generated_map(self, node: int, slot: Slot, references: Iterable[Reference]) -> None:
        if self.names.rules[node] == Rule.ALWAYS and any(r.root == "tasks" for r in references):
            self.findings.problem(
                "invalid_trigger_rule",
                f'"{self.nodes.ids[node]}" cannot start "always": its map comes from another task\'s output.',
                (*self.nodes.path(node), "trigger_rule"),
                self.nodes.ids[node],
                "Use all_done, which waits for that task whatever its outcome.",
            )

    # -- the workflow's own ------------------------------------------------------------------------------------------

    def workflow_output(self) -> None:
        template = self.parse(Slot(("output",), self.workflow.output), (), None)
        if template is not None:
            self.scope(template.references, ROOTS, LATE_RUN_FIELDS, ("output",), None)
            for reference in template.references:
                if reference.root == "tasks" and reference.name is not None:
                    target = self.task_named(reference.name, -1, 0, ("output",), None, "reads")
                    if target is not None:
                        self.names.output[reference.name] = target

    def parameters(self) -> None:
        for name, schema in self.workflow.params.items():
            if isinstance(schema, Mapping) and "default" in schema:
                path = ("params", name, "default")
                template = self.parse(Slot(path, schema["default"]), (), None)
                if template is not None:
                    self.scope(template.references, ("run", "event"), RUN_FIELDS, path, None)

    # -- pieces ------------------------------------------------------------------------------------------------------

    def parse(self, slot: Slot, path: Path, task: str | None) -> Expression | Template | None:
        """The slot's parsed form, or None when it is constant or wrong."""
        try:
            if slot.bare:
                parsed: Expression | Template = parse_expression(slot.source)
            elif not _templated(slot.source):
                return None
            else:
                parsed = parse_template(slot.source)
        except ExpressionProblem as problem:
            for each in (problem, *problem.others):
                self.findings.problem(
                    "invalid_expression", each.message, (*path, *slot.path, *each.path), task, each.hint
                )
            return None
        if self.check is not None:
            for where, expression in _expressions(parsed):
                if expression.lone is not None:
                    continue
                if expression.text not in self.checked:
                    self.checked[expression.text] = self.check(expression)
                wrong = self.checked[expression.text]
                if wrong is not None:
                    self.findings.problem("invalid_expression", wrong, (*path, *slot.path, *where), task)
        return parsed

    def references(
        self, node: int, slot: Slot, references: Iterable[Reference], roots: Iterable[str]
    ) -> None:
        path = (*self.nodes.path(node), *slot.path)
        late = self.nodes.sections[node] != Section.MAIN
        self.scope(references, roots, LATE_RUN_FIELDS if late else RUN_FIELDS, path, self.nodes.ids[node])
        for reference in references:
            if reference.root != "tasks" or reference.name is None:
                continue
            written = reference.name
            target = (
                self.inner_target(written, node, path)
                if slot.inside
                else self.target(written, node, path, "reads")
            )
            if target is None:
                continue
            self.remember(node, written, target, path)
            if slot.edges and not late:
                self.names.upstream.setdefault(node, {}).setdefault(target, path)
                if reference.path[:1] == ("state",):
                    self.names.states.append((node, target, path))

    def scope(
        self,
        references: Iterable[Reference],
        roots: Iterable[str],
        run_fields: Collection[str],
        path: Path,
        task: str | None,
    ) -> None:
        """Whether every name is one that may stand here."""
        roots = tuple(dict.fromkeys(roots))
        for reference in dict.fromkeys(references):
            root, name = reference.root, reference.name
            wrong = None
            if root not in roots:
                wrong = _UNKNOWN_ROOTS.get(root) or (
                    f'Nothing here is called "{root}".',
                    self.findings.nearest(root, roots) or f"There are {', '.join(roots)}.",
                )
            elif root == "params" and name is not None and name not in self.workflow.params:
                known = self.workflow.params
                some = f"It has {', '.join(known)}." if known else "It declares none."
                wrong = (
                    f'The workflow has no parameter "{name}".',
                    self.findings.nearest(name, known) or some,
                )
            elif root == "run" and name is not None and name not in run_fields:
                some = f"It has {', '.join(run_fields)}."
                if name in LATE_RUN_FIELDS:
                    some = "It is known in on_failure and finally only."
                wrong = (f'`run` has no field "{name}".', self.findings.nearest(name, run_fields) or some)
            elif root == "tasks" and reference.path and reference.path[0] not in TASK_FIELDS:
                first = str(reference.path[0])
                wrong = (
                    f'A task has no field "{first}" (in `{_written(reference)}`).',
                    self.findings.nearest(first, TASK_FIELDS)
                    or f"It has {', '.join(TASK_FIELDS)}; what it gave is under output.",
                )
            if wrong is not None:
                self.findings.problem("invalid_expression", wrong[0], path, task, wrong[1])

    def remember(self, node: int, written: str, target: int, path: Path) -> None:
        known = self.names.named.setdefault(node, {})
        if known.setdefault(written, target) != target:
            ids = self.nodes.ids
            self.findings.problem(
                "invalid_expression",
                f'"{written}" would mean both "{ids[known[written]]}" and "{ids[target]}" in "{ids[node]}".',
                path,
                ids[node],
                "Give one of them another id.",
            )

    # -- tasks by id -------------------------------------------------------------------------------------------------

    def target(self, written: str, node: int, path: Path, verb: str) -> int | None:
        """The task that an id means to `node`, or None with a problem. Never the node itself."""
        nodes = self.nodes
        target = self.task_named(
            written, nodes.group[node], nodes.home[node], path, nodes.ids[node], verb, nodes.sections[node]
        )
        if target is not None and (target == node or target in nodes.enclosing(node)):
            itself = "itself" if target == node else f'"{nodes.ids[target]}", the group that holds it'
            self.findings.problem(
                "self_dependency",
                f'"{nodes.ids[node]}" cannot wait for {itself}.',
                path,
                nodes.ids[node],
            )
            return None
        return target

    def inner_target(self, written: str, group: int, path: Path) -> int | None:
        """The task that an id means in the output of a group."""
        nodes = self.nodes
        region = nodes.items.get(group, nodes.home[group])
        return self.task_named(written, group, region, path, nodes.ids[group], "reads")

    def task_named(
        self,
        written: str,
        group: int,
        region: int,
        path: Path,
        task: str | None,
        verb: str,
        section: int = Section.FINALLY,
    ) -> int | None:
        nodes = self.nodes
        target = nodes.find(written, group)
        if target is None:
            self.findings.problem(
                "unknown_dependency",
                f'{_who(task)} {verb} "{written}", which is not defined.',
                path,
                task,
                self.findings.nearest(written, nodes.names_near(group)),
            )
        elif not nodes.visible(target, region):
            outer = next(
                (m for m in nodes.maps(target) if nodes.visible(m, region)), nodes.owners[nodes.home[target]]
            )
            self.findings.problem(
                "not_visible",
                f'{_who(task)} {verb} "{nodes.ids[target]}", which lies inside the map "{nodes.ids[outer]}".',
                path,
                task,
                f'From outside there is no one "{written}": use the output of "{nodes.ids[outer]}".',
            )
        elif nodes.sections[target] > section:
            where = "on_failure" if nodes.sections[target] == Section.ON_FAILURE else "finally"
            self.findings.problem(
                "unknown_dependency",
                f'{_who(task)} {verb} "{nodes.ids[target]}", which runs later, in {where}.',
                path,
                task,
            )
        else:
            return target
        return None


def _who(task: str | None) -> str:
    return "the output" if task is None else f'task "{task}"'


_UNKNOWN_ROOTS: dict[str, tuple[str, str]] = {
    "secrets": (
        "A secret cannot stand here.",
        "Secrets stand only in with, env, headers, query, json and form, as a whole piece.",
    ),
    "item": ("`item` exists only inside a map.", "Give the task a `map`, or move it into a mapped group."),
    "item_index": (
        "`item_index` exists only inside a map.",
        "Give the task a `map`, or move it into a mapped group.",
    ),
    "error": (
        "`error` exists only in retry.rules.",
        "An upstream task's error is `tasks.<id>.error`.",
    ),
    "output": (
        "`output` exists only in poll and compensate.",
        "Another task's output is `tasks.<id>.output`.",
    ),
    "loop": ("`loop` exists only inside a group with a loop.", "Give the group a `loop`."),
    "message": ("`message` exists only in triggers.", "What a trigger brought is `event`."),
}


def _written(reference: Reference) -> str:
    name = reference.name or ""
    path = "".join(
        f".{part}" if isinstance(part, str) and _BARE_WORD.match(part) else f"[{part!r}]"
        for part in reference.path
    )
    return f"tasks.{name}{path}" if _BARE_WORD.match(name) else f'tasks["{name}"]{path}'


def _expressions(parsed: Expression | Template) -> Iterable[tuple[Path, Expression]]:
    if isinstance(parsed, Expression):
        return [((), parsed)]
    return [(path, part) for path, parts in parsed.pieces for part in parts if isinstance(part, Expression)]


def _templated(value: Json) -> bool:
    """Whether any string in the value may hold an expression."""
    if isinstance(value, str):
        return _EXPRESSION_MARK in value
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if _EXPRESSION_MARK in item:
                return True
        elif isinstance(item, Mapping):
            pending += item.values()
        elif isinstance(item, list | tuple):
            pending += item
    return False
