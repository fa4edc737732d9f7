"""What `validate` warns of: workflows that are legal and will surprise their author."""

from __future__ import annotations

from headrace.engine.core.plan import Plan, Rule
from headrace.engine.core.planning.findings import Findings
from headrace.engine.core.planning.names import Names
from headrace.engine.core.planning.nodes import Nodes
from headrace.engine.core.planning.unreachable import Unreachable
from headrace.engine.core.problems import Path
from headrace.engine.core.workflow import Kind

_PASS_FAILURES_ON = frozenset((Rule.ALL_SUCCESS, Rule.NONE_FAILED, Rule.NONE_FAILED_MIN_ONE_SUCCESS))
_HIDE_FAILURES = frozenset(Rule) - _PASS_FAILURES_ON - {Rule.ONE_SUCCESS, Rule.ALL_DONE_SETUP_SUCCESS}
_KNOWN_STATES = {Rule.ALL_SUCCESS: "succeeded", Rule.ALL_SKIPPED: "skipped"}


def warn(plan: Plan, nodes: Nodes, names: Names, findings: Findings) -> None:
    """Add every warning that needs the finished plan."""
    _Warner(plan, nodes, names, findings).all()


class _Warner:
    def __init__(self, plan: Plan, nodes: Nodes, names: Names, findings: Findings) -> None:
        self.plan, self.nodes, self.names, self.findings = plan, nodes, names, findings

    def all(self) -> None:
        Unreachable(self.plan, self.nodes, self.names, self.tell).all()
        self.reference_in_rule()
        self.state_is_known()
        self.failure_hidden()

    def tell(self, code: str, node: int, message: str, hint: str, *below: str | int) -> None:
        path: Path = (*self.nodes.path(node), *below)
        self.findings.warning(code, message, path, self.plan.ids[node], hint)

    # -- rules and references ----------------------------------------------------------------------------------------

    def reference_in_rule(self) -> None:
        plan = self.plan
        for node, references in self.names.upstream.items():
            rule = plan.rules[node]
            if rule in (Rule.ALL_SUCCESS, Rule.ALWAYS, Rule.EXPRESSION) or node in plan.teardowns:
                continue
            written = {self.nodes.find(name, plan.group[node]) for name in plan.tasks[node].depends_on}
            for target, path in references.items():
                if target not in written:
                    self.findings.warning(
                        "reference_in_rule",
                        f'reading "{plan.ids[target]}" makes it an upstream task of "{plan.ids[node]}", '
                        f"so {Rule(rule).name.lower()} counts it too.",
                        path,
                        plan.ids[node],
                        "Name it in depends_on to say that this is meant.",
                    )

    def state_is_known(self) -> None:
        plan = self.plan
        for node, target, path in self.names.states:
            known = _KNOWN_STATES.get(Rule(plan.rules[node]))
            if known is not None:
                self.findings.warning(
                    "state_is_known",
                    f'"{plan.ids[node]}" starts only when "{plan.ids[target]}" has {known}, '
                    f"so its state is always {known} here.",
                    path,
                    plan.ids[node],
                    "To react to other states choose another trigger_rule, such as all_done.",
                )

    # -- failure_hidden ----------------------------------------------------------------------------------------------

    def failure_hidden(self) -> None:
        plan = self.plan
        leaves = set(plan.run_leaves)
        ends = [*leaves, *(g for g, inner in plan.group_leaves.items() if not leaves.isdisjoint(inner))]
        hiding = sorted(
            node for node in ends if plan.rules[node] in _HIDE_FAILURES and len(plan.upstream(node))
        )
        if not hiding:
            return
        told = self.told_failures()
        for node in hiding:
            hidden = [u for u in plan.upstream(node) if not told[u] and plan.kinds[u] is not Kind.NOOP]
            if hidden:
                rule = (
                    "its rule" if plan.rules[node] == Rule.EXPRESSION else Rule(plan.rules[node]).name.lower()
                )
                self.tell(
                    "failure_hidden",
                    node,
                    f'the run would succeed although "{plan.ids[hidden[0]]}" failed: only "{plan.ids[node]}" '
                    f"follows it, and {rule} does not pass a failure on.",
                    "An alarm belongs in on_failure, a cleanup in finally or in a teardown.",
                    "trigger_rule",
                )

    def told_failures(self) -> bytearray:
        """Per node, whether its failure fails the run: it is a leaf, or leads to one by rules that pass failures on."""
        plan = self.plan
        quiet = {node for node in plan.teardowns if not plan.tasks[node].fails_run}
        told = bytearray(len(plan.ids))
        for node in plan.run_leaves:
            told[node] = 1
        # From the ends up; a group, whose level is that of its first task, after its members.
        for node in sorted(range(len(plan.ids)), key=lambda n: (-plan.level[n], -self.depth(n))):
            if plan.home[node]:
                told[node] = 1  # the item's outcome is its map's: never blamed for hiding anything
            elif not told[node]:
                told[node] = any(told[leaf] for leaf in plan.group_leaves.get(node, ())) or any(
                    told[target] and (plan.rules[target] in _PASS_FAILURES_ON) and target not in quiet
                    for target in plan.downstream(node)
                )
        return told

    def depth(self, node: int) -> int:
        return self.nodes.depth[node] if self.nodes.depth else 0
