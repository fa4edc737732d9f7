"""What is never reached: tasks that cannot run, conditions that cannot hold, cases and rules behind one that always applies."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from headrace.engine.core.plan import Plan, Rule, Section
from headrace.engine.core.planning.conditions import Subject, certain, compared_states
from headrace.engine.core.planning.graph import reachable
from headrace.engine.core.planning.names import Names
from headrace.engine.core.planning.nodes import Nodes
from headrace.engine.core.planning.outcomes import HOLD_ALWAYS, outcomes, surely_succeeds
from headrace.engine.core.problems import did_you_mean
from headrace.engine.core.states import RunState, TaskState
from headrace.engine.core.verdicts import FAILED, UPSTREAM
from headrace.engine.core.workflow import Gate, Group, Kind, Switch, Task

Tell = Callable[..., None]
"""(code, node, message, hint, *path below the node)."""

_BUDGET = 1_000_000  # edges, or steps spent on following switches, beyond which nothing is judged any more

_STOPPED_BY_ONE_SKIP = frozenset(
    (Rule.ALL_SUCCESS, Rule.ALL_FAILED, Rule.ALL_DONE_MIN_ONE_SUCCESS, Rule.NONE_SKIPPED)
)
_STOPPED_BY_ALL_SKIPS = frozenset(
    (Rule.ONE_SUCCESS, Rule.ONE_FAILED, Rule.ONE_DONE, Rule.NONE_FAILED_MIN_ONE_SUCCESS)
)

_TASK_STATES = frozenset(state.word for state in TaskState)
_RUN_STATES = frozenset(state.word for state in RunState)
_FINAL = frozenset(state.word for state in TaskState if state.final)
_BY_RULE = {
    Rule.ALL_SUCCESS: frozenset(("succeeded",)),
    Rule.ALL_SKIPPED: frozenset(("skipped",)),
    Rule.ALL_FAILED: frozenset(("failed", "upstream_failed", "cancelled")),
    Rule.ALL_DONE: _FINAL,
    Rule.ALL_DONE_MIN_ONE_SUCCESS: _FINAL - {"skipped"},
    Rule.ALL_DONE_SETUP_SUCCESS: _FINAL,
    Rule.NONE_FAILED: frozenset(("succeeded", "skipped")),
    Rule.NONE_FAILED_MIN_ONE_SUCCESS: frozenset(("succeeded", "skipped")),
    Rule.NONE_SKIPPED: _FINAL - {"skipped"},
}
"""The states in which a direct upstream may be when the rule has held; any, where a rule is not here."""


class Unreachable:
    """Looks at one plan. `never` collects the nodes that do not run, for `rules` to go on from."""

    def __init__(self, plan: Plan, nodes: Nodes, names: Names, tell: Tell) -> None:
        self.plan, self.nodes, self.names, self.tell = plan, nodes, names, tell
        self.never: set[int] = set()
        self.closed: set[int] = set()  # gates that never open

    def all(self) -> None:
        for node, task in enumerate(self.plan.tasks):
            if task.when is not None:
                self.condition(node, task.when)
            if task.retry.rules:
                self.retry_rules(node, task)
            kind = self.plan.kinds[node]
            if kind is Kind.GATE or kind is Kind.SWITCH:
                self.branches(node, task)
        self.switches()
        self.rules()

    # -- conditions --------------------------------------------------------------------------------------------------

    def domains(self, node: int) -> Callable[[Subject], Collection[str] | None]:
        """The states that whatever an expression of a node names may have when that is judged."""
        plan = self.plan
        section, rule = plan.sections[node], Rule(plan.rules[node])

        def found(subject: Subject) -> Collection[str] | None:
            if subject == ("run",):
                return ("failed",) if section == Section.ON_FAILURE else ("succeeded", "failed", "cancelled")
            target = plan.names.get(node, {}).get(subject[1])
            if target is None:
                return None
            if plan.sections[target] < section:
                return _FINAL - self.impossible(target)
            if rule in _BY_RULE and target in plan.upstream(node):
                return _BY_RULE[rule] - self.impossible(target)
            return _TASK_STATES - self.impossible(target)

        return found

    def impossible(self, node: int) -> frozenset[str]:
        """States that a task can never be in, whatever people do."""
        plan = self.plan
        found = set()
        if surely_succeeds(plan.tasks[node]):
            found.add("failed")
        if not len(plan.upstream(node)) and plan.group[node] < 0:
            found.add("upstream_failed")
        return frozenset(found)

    def certainly(self, node: int, text: str) -> bool | None:
        return certain(text, self.domains(node))

    def words(self, node: int, text: str, *below: str | int) -> bool:
        """Tell of words that are no states. Whether there are any."""
        told = False
        for subject, word in dict.fromkeys(compared_states(text)):
            known = _RUN_STATES if subject == ("run",) else _TASK_STATES
            if word not in known:
                told = True
                which = "run" if subject == ("run",) else "task"
                self.tell(
                    "unknown_state",
                    node,
                    f'no {which} is ever in a state "{word}".',
                    did_you_mean(word, known) or _nearest(word) or f"States are {', '.join(sorted(known))}.",
                    *below,
                )
        return told

    def condition(self, node: int, text: str) -> None:
        name = self.plan.ids[node]
        misspelt = self.words(node, text, "when")
        if self.certainly(node, text) is False:
            self.never.add(node)
            if not misspelt:
                constant = text == "false"
                self.tell(
                    "never_runs",
                    node,
                    f'task "{name}" never runs: its `when` '
                    + ("is false." if constant else f"can never hold: {text}"),
                    "Remove it."
                    if constant
                    else "Write a condition that can be true, or choose another trigger_rule.",
                    "when",
                )

    def branches(self, node: int, task: Task) -> None:
        """A gate, or the cases of a switch."""
        if isinstance(task.work, Gate):
            misspelt = self.words(node, task.work.when, "gate")
            if self.certainly(node, task.work.when) is False:
                self.closed.add(node)
                if not misspelt:
                    self.tell(
                        "never_runs",
                        node,
                        f'nothing downstream of gate "{self.plan.ids[node]}" ever runs: it is always false.',
                        "Write a condition that can be true.",
                        "gate",
                    )
        elif isinstance(task.work, Switch) and task.work.python is None:
            self.cases(node, task.work)

    def cases(self, node: int, work: Switch) -> None:
        name = self.plan.ids[node]
        seen: dict[str, int] = {}
        for at, case in enumerate(work.cases):
            place = ("switch", "cases", at, "when")
            misspelt = self.words(node, case.when, *place)
            comes_to = self.certainly(node, case.when)
            before = seen.setdefault(case.when, at)
            if before < at:
                self.tell(
                    "never_reached",
                    node,
                    f'case {at + 1} of switch "{name}" is never reached: case {before + 1} has the same condition.',
                    "The first true case wins: remove one of the two.",
                    *place,
                )
            elif comes_to is False and not misspelt:
                self.tell(
                    "never_reached",
                    node,
                    f'case {at + 1} of switch "{name}" can never hold: {case.when}',
                    "Write a condition that can be true.",
                    *place,
                )
            elif comes_to is True:
                if at + 1 < len(work.cases):
                    what = f"what comes after case {at + 1} of switch"
                    below: tuple[str | int, ...] = ("switch", "cases", at + 1)
                elif work.default:
                    what, below = "the default of switch", ("switch", "default")
                else:
                    return
                self.tell(
                    "never_reached",
                    node,
                    f'{what} "{name}" is never reached: case {at + 1} always holds.',
                    "The first true case wins: give it a condition that may be false.",
                    *below,
                )
                return

    def retry_rules(self, node: int, task: Task) -> None:
        """Rules behind one that matches every error, or the same one."""
        seen: dict[str, int] = {}
        for at, rule in enumerate(task.retry.rules):
            text = "true" if rule.on is None else rule.on
            place = ("retry", "rules", at, *(() if rule.on is None else ("on",)))
            before = seen.setdefault(text, at)
            everything = before == at and certain(text, lambda subject: None) is True
            if before < at:
                self.tell(
                    "never_reached",
                    node,
                    f'retry rule {at + 1} of "{self.plan.ids[node]}" is never reached: rule {before + 1} matches the same '
                    "errors.",
                    "The first rule that matches wins.",
                    *place,
                )
            if everything and at + 1 < len(task.retry.rules):
                self.tell(
                    "never_reached",
                    node,
                    f'the retry rules of "{self.plan.ids[node]}" after the first {at + 1} are never reached: that one '
                    "matches every error.",
                    "The first rule that matches wins: put it last.",
                    "retry",
                    "rules",
                    at + 1,
                )
                return

    # -- switches ----------------------------------------------------------------------------------------------------

    def switches(self) -> None:
        """What no choice of a switch lets run."""
        steps = 0
        for switch, choices in self.names.chosen.items():
            stopped: set[int] | None = None
            for chosen in choices:
                skipped = self.skipped_after(switch, chosen)
                steps += len(skipped) + 1
                stopped = skipped if stopped is None else stopped & skipped
                if steps > _BUDGET:
                    return
                if not stopped:
                    break
            if not stopped:
                continue
            self.never |= stopped
            for node in sorted(stopped):
                if stopped.isdisjoint(self.plan.upstream(node)) and self.plan.group[node] not in stopped:
                    self.tell_of_switch(switch, node)

    def skipped_after(self, switch: int, chosen: Iterable[int]) -> set[int]:
        """What surely does not run when the switch chose this."""
        plan = self.plan
        direct = set(plan.downstream(switch))
        spared = reachable(chosen, self.following) | set(chosen)
        skipped = direct - spared
        pending = list(skipped)
        while pending:
            for target in self.following(pending.pop()):
                if target not in skipped and self.stopped(target, skipped):
                    skipped.add(target)
                    pending.append(target)
        return skipped

    def following(self, node: int) -> Iterator[int]:
        yield from self.plan.downstream(node)
        yield from self.plan.members.get(node, ())

    def stopped(self, node: int, skipped: set[int]) -> bool:
        if self.plan.group[node] in skipped:
            return True
        rule = self.plan.rules[node]
        upstream = self.plan.upstream(node)
        if rule in _STOPPED_BY_ONE_SKIP:
            return not skipped.isdisjoint(upstream)
        return rule in _STOPPED_BY_ALL_SKIPS and skipped.issuperset(upstream)

    def tell_of_switch(self, switch: int, node: int) -> None:
        ids = self.plan.ids
        if switch in self.plan.upstream(node):
            message = (
                f'task "{ids[node]}" never runs: it follows switch "{ids[switch]}", which never chooses it.'
            )
            hint = "Name it in a case or in the default."
        else:
            message = (
                f'task "{ids[node]}" never runs: whatever switch "{ids[switch]}" chooses, '
                f"one of its upstream tasks is skipped."
            )
            hint = "After a switch, join with `trigger_rule: none_failed_min_one_success`."
        self.tell("never_runs", node, message, hint)

    # -- rules -------------------------------------------------------------------------------------------------------

    def rules(self) -> None:
        """Tasks whose rule never holds, and handlers of failures in a run that cannot fail."""
        plan = self.plan
        handlers = Section.ON_FAILURE in plan.sections
        if len(plan.up) > _BUDGET or not (handlers or set(plan.rules) - HOLD_ALWAYS):
            return
        behind = reachable(self.closed, self.following)
        depth = self.nodes.depth
        found = outcomes(plan, lambda node: depth[node] if depth else 0, self.never | behind)
        for node in range(len(plan.ids)):
            if not found.holds[node] and node not in self.never and node not in behind:
                sources = plan.upstream(node)
                around = plan.group[node]
                if all(found.runs[source] for source in sources) and (around < 0 or found.runs[around]):
                    self.tell_of_rule(node, [plan.ids[source] for source in sources])
        if handlers and plan.workflow.deadline is None:
            loud = [node for node in plan.teardowns if plan.tasks[node].fails_run]
            deciding = [*plan.run_leaves, *loud]
            gives = any(isinstance(task.work, Group) and task.work.output is not None for task in plan.tasks)
            if not gives and not any(found.possible[node] & (FAILED | UPSTREAM) for node in deciding):
                self.tell_of_handlers([plan.ids[node] for node in deciding])

    def tell_of_rule(self, node: int, sources: list[str]) -> None:
        rule = Rule(self.plan.rules[node])
        shown = ", ".join(f'"{source}"' for source in sources[:3]) + (", …" if len(sources) > 3 else "")
        name = "its rule" if rule is Rule.EXPRESSION else f"{rule.name.lower()}"
        self.tell(
            "never_runs",
            node,
            f'task "{self.plan.ids[node]}" never runs: {name} can never hold, whatever {shown} may come to.',
            "Choose another trigger_rule, or wait for a task that can come to what the rule asks for.",
            "trigger_rule",
        )

    def tell_of_handlers(self, deciding: list[str]) -> None:
        first = next(n for n, section in enumerate(self.plan.sections) if section == Section.ON_FAILURE)
        shown = ", ".join(f'"{name}"' for name in deciding[:3]) + (", …" if len(deciding) > 3 else "")
        self.tell(
            "never_runs",
            first,
            f"nothing in `on_failure` ever runs: the run is decided by {shown}, which cannot fail.",
            "Let failures pass on to the end (none_failed instead of all_done), or handle them with one_failed.",
        )


def _nearest(word: str) -> str | None:
    """What people of other systems write."""
    meant = _ELSEWHERE.get(word.lower())
    return None if meant is None else f'Did you mean "{meant}"?'


_ELSEWHERE = {
    **dict.fromkeys(("success", "ok", "completed", "complete", "done", "passed"), "succeeded"),
    **dict.fromkeys(("error", "failure", "errored", "crashed"), "failed"),
    **dict.fromkeys(("omitted", "excluded", "skip"), "skipped"),
    **dict.fromkeys(("canceled", "aborted", "killed", "revoked"), "cancelled"),
}

__all__ = ["Unreachable"]
