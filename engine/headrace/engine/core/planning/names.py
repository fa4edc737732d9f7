"""What expressions name: every reference of every task is looked up, checked for scope, and becomes an edge where it is one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from headrace.engine.core.evaluation import Expression, Reference, Template
from headrace.engine.core.expressions import (
    ENDED_RUN_FIELDS,
    RUN_FIELDS,
    ExpressionProblem,
    check_names,
    has_template,
    parse_expression,
    parse_template,
)
from headrace.engine.core.plan import Rule, RuleExpression, Section
from headrace.engine.core.planning.findings import Findings
from headrace.engine.core.planning.lookup import Lookup
from headrace.engine.core.planning.nodes import Nodes
from headrace.engine.core.planning.slots import Slot, silent, slots
from headrace.engine.core.problems import Path
from headrace.engine.core.trigger_rules import RuleProblem, is_name, parse_rule, rule_named
from headrace.engine.core.workflow import Switch, Workflow

Check = Callable[[Expression], str | None]
"""A second look at an expression's syntax, by what will evaluate it: what is wrong, or None."""

ROOTS = ("params", "run", "event", "tasks")


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
    reader.workflow_keys()
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
        self.lookup = Lookup(nodes, findings)
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
            parsed = self.parse(slot, self.nodes.path(node), self.nodes.ids[node])
            if parsed is None:
                continue
            maps = [*own, *around] if slot.item else around
            if slot.inside and own:
                maps = [*own, *around]
            roots = [*ROOTS, *slot.extra, *looped, *(("secrets",) if slot.secrets else ())]
            if maps:
                read = [name for name in maps if name]  # one that could not be read is a problem of its own
                roots += ["item", "item_index", *read, *(f"{name}_index" for name in read)]
            self.references(node, slot, parsed, roots)
            if slot.path == ("when",) and own:
                mine = {"item", "item_index", own[0], f"{own[0]}_index"}
                if any(reference.root in mine for reference in parsed.references):
                    self.names.when_per_item.add(node)
            if slot.path[0] == "map" and slot.path != ("map", "label"):
                self.generated_map(node, parsed.references)

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
                    target = self.lookup.for_task(written, node, path, "names", waits=True)
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
                target = self.lookup.for_task(written, node, path, "chooses", waits=True)
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

    def generated_map(self, node: int, references: Iterable[Reference]) -> None:
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
            self.scope(template, ROOTS, ("output",), None, ended=True)
            for reference in template.references:
                if reference.root == "tasks" and reference.name is not None:
                    target = self.lookup.for_output(reference.name, -1, ("output",))
                    if target is not None:
                        self.names.output[reference.name] = target

    def workflow_keys(self) -> None:
        """Defaults of parameters, and the keys of concurrency."""
        for position, gate in enumerate(self.workflow.concurrency):
            path: Path = ("concurrency", position, "key")
            key = self.parse(Slot(path, gate.key, bare=True), (), None)
            if key is not None:
                self.scope(key, ("params", "run", "event"), path, None)
        for name, schema in self.workflow.params.items():
            if isinstance(schema, Mapping) and "default" in schema:
                path = ("params", name, "default")
                template = self.parse(Slot(path, schema["default"]), (), None)
                if template is not None:
                    self.scope(template, ("run", "event"), path, None)

    # -- pieces ------------------------------------------------------------------------------------------------------

    def parse(self, slot: Slot, path: Path, task: str | None) -> Expression | Template | None:
        """The slot's parsed form, or None when it is constant or wrong."""
        try:
            if slot.bare:
                parsed: Expression | Template = _expression(slot.source)
            elif not has_template(slot.source):
                return None
            elif isinstance(slot.source, str):
                parsed = _text(slot.source)
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
        self, node: int, slot: Slot, parsed: Expression | Template, roots: Collection[str]
    ) -> None:
        late = self.nodes.sections[node] != Section.MAIN
        here = (*self.nodes.path(node), *slot.path)
        self.scope(parsed, roots, here, self.nodes.ids[node], ended=late)
        for where, expression in _expressions(parsed):
            path = (*here, *where)
            for reference in expression.references:
                if reference.root != "tasks" or reference.name is None:
                    continue
                written = reference.name
                target = (
                    self.lookup.for_output(written, node, path)
                    if slot.inside
                    else self.lookup.for_task(written, node, path, "reads")
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
        parsed: Expression | Template,
        roots: Collection[str],
        path: Path,
        task: str | None,
        *,
        ended: bool = False,
    ) -> None:
        """Whether every name is one that may stand here. `ended`: the run's outcome is known by then."""
        told: set[str] = set()
        for where, expression in _expressions(parsed):
            for reference in dict.fromkeys(expression.references):
                elsewhere = _ELSEWHERE.get(reference.root) if reference.root not in roots else None
                if reference.root == "run" and not ended and reference.name not in (None, *RUN_FIELDS):
                    elsewhere = _LATE_FIELDS.get(reference.name or "")
                if elsewhere is not None:
                    message, hint = elsewhere
                    self.findings.problem("invalid_expression", message, (*path, *where), task, hint)
                    told.add(reference.root)
        known = {*roots, *told}
        for problem in check_names(parsed, known, self.workflow.params, None, ENDED_RUN_FIELDS):
            self.findings.problem(
                "invalid_expression", problem.message, (*path, *problem.path), task, problem.hint
            )

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


_expression = lru_cache(maxsize=4096)(parse_expression)  # large workflows say the same thing over and over
_text = lru_cache(maxsize=4096)(parse_template)

_INSIDE_A_MAP = "Give the task a `map`, or move it into a mapped group."
_ELSEWHERE: dict[str, tuple[str, str]] = {
    "secrets": (
        "a secret cannot stand here.",
        "Secrets stand only in with, env, headers, query, json and form, as a whole piece.",
    ),
    "item": ("`item` exists only inside a map.", _INSIDE_A_MAP),
    "item_index": ("`item_index` exists only inside a map.", _INSIDE_A_MAP),
    "error": ("`error` exists only in retry.rules.", "An upstream task's error is `tasks.<id>.error`."),
    "output": (
        "`output` exists only in poll and compensate.",
        "Another task's output is `tasks.<id>.output`.",
    ),
    "loop": ("`loop` exists only inside a group with a loop.", "Give the group a `loop`."),
    "message": ("`message` exists only in triggers.", "What a trigger brought is `event`."),
}
_LATE_FIELDS = {
    name: (f"`run.{name}` is not known yet.", "It exists in on_failure, finally and the workflow's output.")
    for name in ENDED_RUN_FIELDS - RUN_FIELDS
}


def _expressions(parsed: Expression | Template) -> Iterable[tuple[Path, Expression]]:
    if isinstance(parsed, Expression):
        return [((), parsed)]
    return [(path, part) for path, parts in parsed.pieces for part in parts if isinstance(part, Expression)]
