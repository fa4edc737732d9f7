"""Which task an id means to whoever writes it, or a problem that says why it means none."""

from __future__ import annotations

from headrace.engine.core.plan import Section
from headrace.engine.core.planning.findings import Findings
from headrace.engine.core.planning.nodes import Nodes
from headrace.engine.core.problems import Path

_SECTION_WORDS = {Section.MAIN: "tasks", Section.ON_FAILURE: "on_failure", Section.FINALLY: "finally"}


class Lookup:
    """Looks ids up in the nodes of one workflow and reports what cannot be found or used."""

    def __init__(self, nodes: Nodes, findings: Findings) -> None:
        self.nodes, self.findings = nodes, findings

    def for_task(self, written: str, node: int, path: Path, verb: str, *, waits: bool = False) -> int | None:
        """What `written` means in task `node`; never the task itself or a group around it.

        `waits`: as one that it waits for, which must belong to the same section of the run.
        """
        nodes = self.nodes
        name, section = nodes.ids[node], Section(nodes.sections[node])
        target = self._find(written, nodes.group[node], nodes.home[node], path, name, verb)
        if target is None:
            return None
        if target == node or target in nodes.enclosing(node):
            itself = "itself" if target == node else f'"{nodes.ids[target]}", the group that holds it'
            self.findings.problem("self_dependency", f'task "{name}" {verb} {itself}.', path, name)
            return None
        there = Section(nodes.sections[target])
        if there > section or (waits and there != section):
            here = _SECTION_WORDS[section]
            self.findings.problem(
                "unknown_dependency",
                f'task "{name}" of `{here}` {verb} "{nodes.ids[target]}" of `{_SECTION_WORDS[there]}`.',
                path,
                name,
                f"The tasks of `{here}` may wait for each other only."
                if waits
                else f"`{_SECTION_WORDS[there]}` runs later than `{here}`.",
            )
            return None
        return target

    def for_output(self, written: str, group: int, path: Path) -> int | None:
        """What `written` means in the output of a group, or of the workflow (group -1)."""
        nodes = self.nodes
        if group < 0:
            return self._find(written, group, 0, path, None, "reads")
        region = nodes.items.get(group, nodes.home[group])
        return self._find(written, group, region, path, nodes.ids[group], "reads")

    def _find(
        self, written: str, group: int, region: int, path: Path, task: str | None, verb: str
    ) -> int | None:
        nodes = self.nodes
        target = nodes.find(written, group)
        who = "the output" if task is None else f'task "{task}"'
        if target is None:
            self.findings.problem(
                "unknown_dependency",
                f'{who} {verb} "{written}", which is not defined.',
                path,
                task,
                self.findings.nearest(written, lambda: nodes.names_near(group)),
            )
            return None
        if not nodes.visible(target, region):
            outer = next(m for m in nodes.maps(target) if nodes.visible(m, region))
            self.findings.problem(
                "not_visible",
                f'{who} {verb} "{nodes.ids[target]}", which lies inside the map "{nodes.ids[outer]}".',
                path,
                task,
                f'There is one per item; "{nodes.ids[outer]}" ends when all have, and its output lists theirs.',
            )
            return None
        return target
