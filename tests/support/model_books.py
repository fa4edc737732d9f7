"""The books of the reference model: every task run there is, its state, and what it counts as for those that wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.engine.core.workflow import Workflow
from tests.support.model_graph import Graph, Node
from tests.support.model_rules import OPEN, Chance, F, K, S, U, judge, judge_expression

Path = tuple[int, ...]
Run = tuple[str, Path]
"""A task run: full id, and the indexes of the maps around it, its own last."""

C = "cancelled"
FINAL = frozenset((S, F, K, U, C))
BAD = frozenset((F, U, C))
NOT_STARTED = frozenset(("pending", "ready"))


def written(run: Run) -> str:
    """`price[7]`, `each.encode[2,1]`, or the id alone."""
    id, path = run
    return f"{id}[{','.join(map(str, path))}]" if path else id


class Books:
    """What is known of one run."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.graph = Graph.of(workflow)
        self.state: dict[Run, str] = {}  # what is missing is pending
        self.output: dict[Run, Any] = {}
        self.items: dict[Run, list[Any]] = {}  # the head of an expanded map → its elements
        self.chosen: dict[Run, set[str]] = {}  # a switch that has decided → full ids
        self.closed: set[Run] = set()  # gates that came to false
        self.attempts: dict[Run, int] = {}
        self.gathered: dict[Run, set[object]] = {}  # who has agreed, which signals have come
        self.polled: dict[
            Run, int
        ] = {}  # the attempt that a poll last found wanting: retries count from there
        self.handed: set[Run] = set()  # whose attempt a worker gave back: it keeps its number
        self.passed: set[Run] = set()  # whose `when` came to true
        self.due: list[Run] = []
        self.judging: Run | None = None
        self.section: str | None = None  # None: not started, or over
        self.run_state = "queued"
        self.cancelled = False
        self.killed = False
        self.generation = 1

    # -- looking ---------------------------------------------------------------------------------------------------------

    def at(self, run: Run) -> str:
        return self.state.get(run, "pending")

    def states(self) -> dict[str, str]:
        """By written id, without groups; an expanded map stands by its items."""
        return {
            written(run): self.at(run)
            for run in self.runs()
            if not self.graph.nodes[run[0]].is_group and not self.items.get(run)
        }

    def ready(self) -> set[Run]:
        return {run for run in self.runs() if self.at(run) in ("ready", "again")}

    def under_way(self) -> set[Run]:
        return {run for run in self.runs() if self.at(run) == "running"}

    def runs(self) -> list[Run]:
        """Every task run there is by now: heads of maps before their items, upstreams before downstreams."""
        return [run for node in self.graph.order for run in self.runs_of(node)]

    def runs_of(self, node: Node) -> Iterator[Run]:
        paths: list[Path] = [()]
        for outer in node.maps:
            paths = [(*p, i) for p in paths for i in range(len(self.items.get((outer.id, p), ())))]
        for path in paths:
            yield node.id, path
            for i in range(len(self.items.get((node.id, path), ()))):
                yield node.id, (*path, i)

    def is_item(self, run: Run) -> bool:
        return len(run[1]) > len(self.graph.nodes[run[0]].maps)

    def same_item(self, id: str, where: Path, run: Run) -> bool:
        """Whether what a task run in a map decided concerns this one: they are in the same item, or it is further in."""
        visible = self.graph.visible(self.graph.nodes[id], self.graph.nodes[run[0]])
        return visible and run[1][: len(where)] == where

    def heads(self, node: Node) -> set[Run]:
        return {run for run in self.runs_of(node) if not self.is_item(run)}

    def seen_by(self, run: Run, source: Node) -> set[Run]:
        """The task runs of an upstream that this one sees."""
        return {r for r in self.heads(source) if r[1] == run[1][: len(source.maps)]}

    # -- what lies in what -----------------------------------------------------------------------------------------------

    def inside(self, run: Run) -> list[Run]:
        """What a group, an item of one, or an expanded map consists of, one level down."""
        id, path = run
        node = self.graph.nodes[id]
        if run in self.items:
            return [(id, (*path, i)) for i in range(len(self.items[run]))]
        return [(member.id, path) for member in self.graph.members(node)]

    def finished(self, run: Run) -> bool:
        """Final, or entered with all in it final."""
        state = self.at(run)
        if state == "open":
            return all(self.finished(inner) for inner in self.inside(run))
        return state in FINAL or state == "over"

    def has_started(self, item: Run) -> bool:
        """Whether anything in it has got further than being entered, or ready."""
        if self.at(item) == "open":
            return any(self.has_started(inner) for inner in self.inside(item))
        return self.at(item) not in NOT_STARTED and not self.untried(item)

    def untried(self, run: Run) -> bool:
        """Handed back by the worker that was to begin its first attempt."""
        return self.at(run) == "again" and run in self.handed and self.attempts[run] == 1

    # -- rules -----------------------------------------------------------------------------------------------------------

    def by_rule(self, node: Node, path: Path) -> str:
        rule = node.task.trigger_rule
        if not rule.isidentifier():
            return judge_expression(rule, lambda name: self.source(name, node, path))
        upstream = sorted(self.graph.up[node.id])
        seen = [self.plain(chance) for id in upstream for chance in self.counted(id, path)]
        setups = self.graph.setups.get(node.id)
        torn = (
            None
            if setups is None
            else [self.plain(c) for id in sorted(setups) for c in self.counted(id, path)]
        )
        return judge(rule, seen, torn)

    def source(self, name: str, node: Node, path: Path) -> tuple[list[Chance] | None, bool]:
        """The task runs of what a rule expression names: a map's items, a plain group's leaves."""
        found = self.graph.find(name, node)
        if not found.plain_group:
            return self.task_runs(found, path)
        parts = [self.task_runs(self.graph.nodes[leaf], path)[0] for leaf in sorted(self.graph.leaves(found))]
        return (None if None in parts else [chance for part in parts for chance in part or ()]), False

    def task_runs(self, node: Node, path: Path) -> tuple[list[Chance] | None, bool]:
        head = node.id, path[: len(node.maps)]
        if self.items.get(head):
            return self.item_chances(node, head), False
        if node.mapped and self.at(head) in NOT_STARTED:
            return None, False
        return [self.chance(head)], self.items.get(head) == []

    def item_chances(self, node: Node, head: Run) -> list[Chance]:
        """The task runs of a map are its items; one of a group failed when a leaf did, and was skipped when all were."""
        found: list[Chance] = []
        for i in range(len(self.items[head])):
            item = node.id, (*head[1], i)
            states = {state for _, chance in self.counted_item(node, item) for state in chance}
            if not self.finished(item):
                found.append(OPEN)
            elif self.item_failed(node, item):
                doubtful = self.tolerance(node, head) and not self.exceeded(head)
                failed = frozenset((F if states & {F, U} else C,))
                found.append(failed if not doubtful else frozenset((S,)) if self.finished(head) else OPEN)
            else:
                found.append(frozenset((K,)) if states == {K} else frozenset((S,)))
        return found

    def counted(self, id: str, path: Path) -> list[Chance]:
        """What each task run of this upstream may count as for a reader at `path`."""
        return [chance for _, chance in self.counted_runs(id, path)]

    @staticmethod
    def plain(chance: Chance) -> Chance:
        """For a rule that is a word, a cancelled upstream counts as failed."""
        return frozenset((F,)) if chance == {C} else chance

    def counted_runs(self, id: str, path: Path) -> list[tuple[Run, Chance]]:
        node = self.graph.nodes[id]
        head = id, path[: len(node.maps)]
        if not self.items.get(head):
            return [(head, self.chance(head))]
        items = [self.counted_item(node, (id, (*head[1], i))) for i in range(len(self.items[head]))]
        every = [pair for item in items for pair in item]
        if not self.finished(head):  # a map is waited for as a whole: all its items have to be over
            every.append((head, OPEN))
        if self.exceeded(head) or not self.tolerance(node, head):
            return every
        shown = frozenset((S,)) if self.finished(head) else OPEN
        return [(run, shown if chance <= BAD else chance) for run, chance in every]

    def counted_item(self, node: Node, item: Run) -> list[tuple[Run, Chance]]:
        if not node.is_group:
            return [(item, self.chance(item))]
        leaves = sorted(self.graph.leaves(node))
        return [pair for leaf in leaves for pair in self.counted_runs(leaf, item[1])]

    def chance(self, run: Run) -> Chance:
        state = self.at(run)
        return frozenset((state,)) if state in FINAL else OPEN

    def tolerance(self, node: Node, head: Run) -> int:
        """How many items may fail: a number, or a share rounded down."""
        tolerate = node.task.tolerate
        return int(len(self.items[head]) * tolerate) if isinstance(tolerate, float) else tolerate

    def exceeded(self, head: Run) -> bool:
        """Whether more items have failed than may."""
        node = self.graph.nodes[head[0]]
        items = [(head[0], (*head[1], i)) for i in range(len(self.items.get(head, ())))]
        return sum(self.item_failed(node, item) for item in items) > self.tolerance(node, head)

    def item_failed(self, node: Node, item: Run) -> bool:
        """An item of a map is over, and it, or a leaf of it, has failed."""
        if not self.finished(item):
            return False
        return any(chance <= BAD for _, chance in self.counted_item(node, item))
