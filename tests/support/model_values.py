"""Expressions of the reference model: the few forms that the strategies write, judged by hand."""

from __future__ import annotations

import re
from typing import Any

from headrace.engine.core.workflow import Retry
from tests.support.model_books import Books, Run
from tests.support.model_graph import Node
from tests.support.model_rules import F, K, S


class ConditionFailed(Exception):
    """An expression that fails: reason `expression_error`."""


class Values(Books):
    """Conditions, templates, outputs, and the rules of retries."""

    def condition(self, text: str, node: Node, run: Run, given: Any = None) -> bool:
        """The few conditions that the strategies write. `given`: the `output` that a poll looks at."""
        if text in ("true", "false"):
            return text == "true"
        if text == "output":
            if not isinstance(given, bool):
                raise ConditionFailed(text)
            return given
        left, operator, right = text.split(" ")
        value = given if left == "output" else self.path(left, node, run)
        words: dict[str, Any] = {"null": None}
        wanted = words[right] if right in words else int(right) if right.isdigit() else right.strip("'")
        same = type(value) is type(wanted) and value == wanted
        return same if operator == "==" else not same

    def value(self, template: Any, node: Node, run: Run) -> Any:
        if isinstance(template, str) and template.startswith("${{"):
            return self.path(template.strip("${} "), node, run)
        return template

    def path(self, text: str, node: Node, run: Run) -> Any:
        """`item`, `output.no`, `tasks.x.output`, `tasks.x.state`, or a field of an output that has none, which fails."""
        if text == "item":
            for group in (node, *reversed(node.around)):
                if group.mapped and len(run[1]) > len(group.maps):
                    return self.items[group.id, run[1][: len(group.maps)]][run[1][len(group.maps)]]
            raise ConditionFailed(text)
        if text == "output.no":
            raise ConditionFailed(text)
        match = re.fullmatch(r'tasks(?:\.(\w+)|\["([^"]+)"\])\.(output|state)(\.\w+)?', text)
        assert match, text
        source = self.graph.find(match[1] or match[2], node)
        at = source.id, run[1][: len(source.maps)]
        if match[4]:
            raise ConditionFailed(text)
        if match[3] == "state":
            return self.at(at)
        return self.output_of(source, at)

    def output_of(self, node: Node, run: Run) -> Any:
        """Null unless it succeeded; of a map the list of its items' outputs, also when there are none."""
        if run in self.items:
            items = [(run[0], (*run[1], i)) for i in range(len(self.items[run]))]
            if items and not self.map_succeeded(node, run):
                return None
            return [self.output_of(node, item) for item in items]
        return None if node.is_group or self.at(run) != S else self.output.get(run)

    def map_succeeded(self, node: Node, head: Run) -> bool:
        """All its items are over, no more failed than may, and one did something."""
        states = [chance for _, chance in self.counted_runs(node.id, head[1])]
        return self.finished(head) and not self.exceeded(head) and any(chance != {K} for chance in states)

    def judged_here(self, node: Node, run: Run) -> bool:
        """`when` is judged once, before expansion; per item when it names the item."""
        names_item = node.mapped and "item" in (node.task.when or "")
        return names_item == self.is_item(run)

    def names(self, id: Any, reader: Node, target: Node) -> bool:
        try:
            return isinstance(id, str) and self.graph.find(id, reader) is target
        except KeyError:
            return False

    def after_failure(self, retry: Retry, attempt: int, kinds: tuple[str, ...]) -> str:
        """The first rule that matches says what comes; without one, another try while there are any left."""
        for rule in retry.rules:
            if rule.on is None or self.matches(rule.on, attempt, kinds):
                if rule.then == "fail":
                    return F
                if rule.then == "skip":
                    return K
                break
        return "retrying" if attempt < retry.attempts else F

    def matches(self, on: str, attempt: int, kinds: tuple[str, ...]) -> bool:
        """The few rules that the strategies write."""
        if on.startswith("error.attempt == "):
            return attempt == int(on.split()[-1])
        return on.removesuffix(" in error.kinds").strip("'") in kinds
