"""Reruns in the reference model: what follows what failed, and how it is forgotten."""

from __future__ import annotations

from tests.support.model_books import BAD, NOT_STARTED, Books, Run
from tests.support.model_graph import MAIN


class Reruns(Books):
    """What a new generation begins again."""

    def followed(self, start: set[Run]) -> set[Run]:
        found, front = set(start), list(start)
        while front:
            for run in self.after(front.pop()) - found:
                found.add(run)
                front.append(run)
        for node in self.graph.nodes.values():
            for setup in self.graph.setups.get(node.id, ()):
                found |= {
                    s for r in found if r[0] == node.id for s in self.seen_by(r, self.graph.nodes[setup])
                }
        for run in reversed(self.runs()):  # a group of which nothing is kept is entered anew
            node = self.graph.nodes[run[0]]
            if node.is_group and node.section == MAIN and run not in self.items:
                inside = self.inside(run)
                if (
                    inside
                    and all(inner in found for inner in inside)
                    and (not node.mapped or self.is_item(run))
                ):
                    found.add(run)
        return found

    def has_failed(self, run: Run) -> bool:
        """Groups are not meant, their members are; a map of groups that never expanded has none."""
        node = self.graph.nodes[run[0]]
        encloses = node.is_group and (not node.mapped or self.is_item(run) or run in self.items)
        return node.section == MAIN and self.at(run) in BAD and not encloses

    def after(self, run: Run) -> set[Run]:
        """What follows a task run directly; and what follows the maps around it, which end anew."""
        node = self.graph.nodes[run[0]]
        found: set[Run] = set()
        sources = [(node, run[1][: len(node.maps)])] + [(m, run[1][: len(m.maps)]) for m in node.maps]
        for source, path in sources:
            for other in self.graph.nodes.values():
                if source.id in self.graph.up[other.id]:
                    found |= {r for r in self.heads(other) if r[1][: len(path)] == path}
        if node.plain_group:
            found |= {(member.id, run[1]) for member in self.graph.members(node)}
        return found

    def reopen(self, run: Run) -> None:
        """The groups and maps around what begins again are no longer over."""
        id, path = run
        node = self.graph.nodes[id]
        around = [(g.id, path[: len(g.maps) + k]) for g in node.around for k in range(1 + g.mapped)]
        if self.is_item(run):
            around.append((id, path[:-1]))
        for outer in around:
            if self.at(outer) == "over":
                self.state[outer] = "open"

    def forget(self, run: Run) -> None:
        """As if it had never been decided, with all that it encloses."""
        for inner in self.inside(run) if run in self.items or self.graph.nodes[run[0]].is_group else ():
            if inner != run and self.at(run) not in NOT_STARTED:
                self.forget(inner)
        books = (
            self.state,
            self.output,
            self.items,
            self.chosen,
            self.attempts,
            self.gathered,
            self.polled,
        )
        for book in books:
            book.pop(run, None)
        for marks in (self.closed, self.passed, self.handed):
            marks.discard(run)
