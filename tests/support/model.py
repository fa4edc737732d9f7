"""The reference model: what every task run of a workflow must come to, written only from the documents.

It is slow and plain on purpose: dictionaries by (id, path), one function per rule of docs/language.md (sections 5, 7, 8, 9)
and docs/trigger_rules.md, everything looked at again after every event until nothing changes. It is told what happens
(`start`, `begin`, `ended`, `fired`, `cancel`, `rerun`, ...) in the same order as the machine; `states()` must agree after
every event, and `begin` fails when a task run starts that may not.

Words for states are those of the language, and beside them: `ready` (pending, rule and condition satisfied), `again`
(ready for one more attempt, or handed back), `open` (a group that was entered, a map that was expanded, with something
in it that is not final) and `over` (one with nothing such left).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from headrace.engine.core.workflow import Gate, Noop, Retry, Sleep, Switch, Workflow
from tests.support.model_graph import FINALLY, MAIN, ON_FAILURE, Graph, Node
from tests.support.model_rules import FAIL, OPEN, RUN, SKIP, WAIT, Chance, F, K, S, U, judge, judge_expression

Path = tuple[int, ...]
Run = tuple[str, Path]
"""A task run: full id, and the indexes of the maps around it, its own last."""

C = "cancelled"
FINAL = frozenset((S, F, K, U, C))
BAD = frozenset((F, U, C))
NOT_STARTED = frozenset(("pending", "ready"))


class ConditionFailed(Exception):
    """An expression that fails: reason `expression_error`."""


def written(run: Run) -> str:
    """`price[7]`, `each.encode[2,1]`, or the id alone."""
    id, path = run
    return f"{id}[{','.join(map(str, path))}]" if path else id


class Model:
    """One run of one workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.graph = Graph.of(workflow)
        self.state: dict[Run, str] = {}  # what is missing is pending
        self.output: dict[Run, Any] = {}
        self.items: dict[Run, list[Any]] = {}  # the head of an expanded map → its elements
        self.chosen: dict[Run, set[str]] = {}  # a switch that has decided → full ids
        self.closed: set[Run] = set()  # gates that came to false
        self.attempts: dict[Run, int] = {}
        self.handed: set[Run] = (
            set()
        )  # whose attempt a worker gave back: it goes out again with the same number
        self.passed: set[Run] = set()  # whose `when` came to true
        self.due: list[Run] = []
        self.judging: Run | None = None
        self.section: str | None = None  # None: not started, or over
        self.run_state = "queued"
        self.cancelled = False
        self.killed = False
        self.generation = 1

    # -- what happens ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.run_state, self.section = "running", MAIN
        self.settle()

    def begin(self, run: Run, attempt: int) -> None:
        """An attempt was sent to a worker. Fails when it may not have been."""
        assert self.at(run) in ("ready", "again"), f"{written(run)} started although {self.at(run)}"
        self.state[run] = "running"
        expected = self.attempts.get(run, 0) + (run not in self.handed)
        assert attempt == expected, f"{written(run)}: attempt {attempt}, not {expected}"
        self.handed.discard(run)
        self.attempts[run] = attempt

    def handed_back(self, run: Run) -> None:
        """The worker will not start it: it waits in the line again and no attempt was spent."""
        self.state[run] = "again"
        self.handed.add(run)
        self.settle()

    def ended(
        self, run: Run, how: str, output: Any = None, *, kinds: tuple[str, ...] = ("ValueError",)
    ) -> None:
        """The attempt under way succeeded, failed (with an error of these kinds) or was skipped."""
        assert self.at(run) == "running", f"{written(run)} ended although {self.at(run)}"
        node = self.graph.nodes[run[0]]
        if how == F:
            how = self.after_failure(node.task.retry, self.attempts[run], kinds)
        elif how == S:
            how = self.succeeded(node, run, output)
        self.state[run] = how
        self.settle()

    def fired(self, run: Run, kind: str) -> None:
        """A timer fell due: a retry's delay, or a sleep."""
        if kind == "retry" and self.at(run) == "retrying":
            self.state[run] = "again"
        elif kind == "sleep" and self.at(run) == "waiting":
            self.state[run] = S
        self.settle()

    def cancel(self, *, kill: bool = False) -> None:
        """What has not started is cancelled, what runs is stopped; teardowns and `finally` still come, unless killed."""
        if self.section is None or (self.cancelled and not kill):
            return
        self.cancelled, self.killed = True, kill
        for run in self.runs():
            node = self.graph.nodes[run[0]]
            spared = not kill and (node.teardown or node.section != MAIN)
            if self.at(run) not in FINAL | {"open", "over"} and not spared:
                self.state[run] = C
        self.settle()

    def rerun(self) -> None:
        """A new generation: what failed and all downstream of it begins again, and so do the handlers. With a teardown its
        setups do too, as it has undone them."""
        if self.section is not None or self.run_state == "queued":
            return
        reset = self.followed({run for run in self.runs() if self.has_failed(run)})
        handlers = [run for run in self.runs() if self.graph.nodes[run[0]].section != MAIN]
        if not reset and not any(self.at(run) in BAD for run in handlers):
            return
        reset |= set(handlers)
        for run in sorted(reset, key=lambda run: -len(run[1])):
            self.reopen(run)
        for run in reset:
            self.forget(run)
        self.generation += 1
        self.cancelled = self.killed = False
        self.run_state, self.section = "running", MAIN
        self.settle()

    def has_failed(self, run: Run) -> bool:
        """Groups are not meant, their members are; a map of groups that never expanded has none."""
        node = self.graph.nodes[run[0]]
        encloses = node.is_group and (not node.mapped or self.is_item(run) or run in self.items)
        return node.section == MAIN and self.at(run) in BAD and not encloses

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

    def heads(self, node: Node) -> set[Run]:
        return {run for run in self.runs_of(node) if not self.is_item(run)}

    def seen_by(self, run: Run, source: Node) -> set[Run]:
        """The task runs of an upstream that this one sees."""
        return {r for r in self.heads(source) if r[1] == run[1][: len(source.maps)]}

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
        for book in (self.state, self.output, self.items, self.chosen, self.attempts):
            book.pop(run, None)
        for marks in (self.closed, self.passed, self.handed):
            marks.discard(run)

    # -- looking -----------------------------------------------------------------------------------------------------

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

    # -- to the next rest --------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Decide again and again until nothing changes: first what follows without any expression, then all expressions
        that are due, those of gates and switches first, then what follows from them; at last the next section."""
        while True:
            self.due = []
            if self.looked_again():
                continue
            if self.due:
                deciders = (Gate, Switch)
                for run in sorted(
                    self.due, key=lambda run: not isinstance(self.graph.nodes[run[0]].task.work, deciders)
                ):
                    self.judging = run
                    self.put(run, self.decided(run))
                    self.judging = None
            elif not self.next_section():
                return

    def looked_again(self) -> bool:
        """One look at every task run; True when something has changed."""
        before = dict(self.state)
        self.fail_fast()
        for run in self.runs():
            if self.at(run) in ("pending", "ready", "again", "open"):
                self.put(run, self.decided(run))
        return self.state != before

    def put(self, run: Run, after: str | None) -> None:
        if after is not None:
            self.state[run] = after

    def judged(self, run: Run) -> bool:
        """Whether the expression that this task run has come to may be evaluated now; it is due if not. One at a time."""
        if self.judging == run:
            self.judging = None
            return True
        self.due.append(run)
        return False

    def decided(self, run: Run) -> str | None:
        """The state that this task run gets now; None: none yet."""
        id, path = run
        node = self.graph.nodes[id]
        if self.at(run) == "open":
            return "over" if self.finished(run) else None
        if self.at(run) == "again":
            return None
        stopped = self.by_branch(node, run) or self.by_group(node, path)
        if stopped == WAIT:
            return None
        if stopped is not None:
            return stopped
        if self.at(run) == "ready" or node.section != self.section:
            return None
        if self.is_item(run):
            return self.entered(node, run) if self.has_room(run) else None
        verdict = self.by_rule(node, path)
        if verdict == WAIT:
            return None
        if self.cancelled and (verdict == FAIL or not (node.teardown or node.section != MAIN)):
            return C
        if verdict != RUN:
            return verdict
        return self.expanded(node, run) if node.mapped else self.entered(node, run)

    def by_group(self, node: Node, path: Path) -> str | None:
        """A group that is not entered has all its tasks skipped, failed or cancelled with it."""
        if not node.around:
            return None
        group = node.around[-1]
        state = self.at((group.id, path[: len(group.maps) + group.mapped]))
        if state in NOT_STARTED:
            return WAIT
        if state == F:  # its condition could not be judged: its roots take the failure
            inner = {n.id for n in self.graph.nodes.values() if group in n.around}
            return U if self.graph.up[node.id] & inner else F
        return state if state in FINAL else None

    def by_branch(self, node: Node, run: Run) -> str | None:
        """A closed gate skips what is downstream however far, a switch the direct downstreams that it did not choose and
        that follow nothing it chose (the peers' diamond); never teardowns."""
        if node.teardown:
            return None
        around = {node.id, *(group.id for group in node.around)}
        for gate, where in self.closed:
            work = self.graph.nodes[gate].task.work
            assert isinstance(work, Gate)
            reach = self.graph.up[node.id] if work.respect_trigger_rules else self.graph.above(node)
            if gate in reach and self.same_item(gate, where, run):
                return K
        for (switch, where), chosen in self.chosen.items():
            if (
                switch in self.graph.up[node.id]
                and self.same_item(switch, where, run)
                and not around & chosen
                and not any(self.graph.above(self.graph.nodes[id]) & chosen for id in around)
            ):
                return K
        return None

    def same_item(self, id: str, where: Path, run: Run) -> bool:
        """Whether what a task run in a map decided concerns this one: they are in the same item, or it is further in."""
        visible = self.graph.visible(self.graph.nodes[id], self.graph.nodes[run[0]])
        return visible and run[1][: len(where)] == where

    # -- rules -------------------------------------------------------------------------------------------------------

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

    # -- entering ----------------------------------------------------------------------------------------------------

    def entered(self, node: Node, run: Run) -> str | None:
        """The rule holds (or the item's turn has come): judge `when`, and do what the engine does by itself."""
        try:
            wanted = self.wanted(node, run)
            if not wanted:
                return K if wanted is False else None
            match node.task.work:
                case Noop():
                    return S
                case Gate(when=when):
                    if not self.judged(run):
                        return None
                    self.output[run] = self.condition(when, node, run)
                    if not self.output[run]:
                        self.closed.add(run)
                    return S
                case Switch(python=None, cases=cases, default=default):
                    if not self.judged(run):
                        return None
                    taken = (case.then for case in cases if self.condition(case.when, node, run))
                    return self.succeeded(node, run, list(next(taken, default)))
                case Sleep():
                    return "waiting"
        except ConditionFailed:
            return F
        return "open" if node.is_group else "ready"

    def wanted(self, node: Node, run: Run) -> bool | None:
        """What `when` says; None while it is not judged."""
        if node.task.when is None or run in self.passed or not self.judged_here(node, run):
            return True
        if not self.judged(run):
            return None
        if self.condition(node.task.when, node, run):
            self.passed.add(run)
            return True
        return False

    def judged_here(self, node: Node, run: Run) -> bool:
        """`when` is judged once, before expansion; per item when it names the item."""
        names_item = node.mapped and "item" in (node.task.when or "")
        return names_item == self.is_item(run)

    def succeeded(self, node: Node, run: Run, output: Any) -> str:
        """An attempt or a switch came to an end well: its output counts, and a switch's choice is looked at."""
        if isinstance(node.task.work, Switch):
            wanted = [output] if isinstance(output, str) else output if isinstance(output, list) else []
            if output is not None and not isinstance(output, str | list):
                return F
            chosen = set()
            for id in wanted:
                target = next(
                    (
                        n
                        for n in self.graph.nodes.values()
                        if node.id in self.graph.up[n.id] and self.names(id, node, n)
                    ),
                    None,
                )
                if target is None:
                    return F
                chosen.add(target.id)
            self.chosen[run] = chosen
        self.output[run] = output
        return S

    def names(self, id: Any, reader: Node, target: Node) -> bool:
        try:
            return isinstance(id, str) and self.graph.find(id, reader) is target
        except KeyError:
            return False

    def expanded(self, node: Node, head: Run) -> str | None:
        """The rule of a mapped node holds: judge `when`, then make its items."""
        assert node.task.map is not None
        try:
            wanted = self.wanted(node, head)
            if not wanted:
                return K if wanted is False else None
            if not self.judged(head):
                return None
            elements = self.value(node.task.map.over, node, head)
        except ConditionFailed:
            return F
        if not isinstance(elements, list) or len(elements) > node.task.map.max_items:
            return F
        self.items[head] = elements
        if not elements:
            return S if node.task.on_empty == "succeed" else K
        return "open"

    def has_room(self, item: Run) -> bool:
        """Items enter in their order, no more at once than `max_parallel`."""
        id, path = item
        head = id, path[:-1]
        most = self.graph.nodes[id].task.max_parallel
        if self.at(head) != "open":
            return False
        items = [(id, (*head[1], i)) for i in range(len(self.items[head]))]
        if any(self.at(other) == "pending" for other in items[: path[-1]]):
            return False
        entered = [other for other in items if self.at(other) != "pending" and not self.finished(other)]
        return most is None or len(entered) < most

    def fail_fast(self) -> None:
        """Items that have not started are cancelled, with all in them, once the tolerance is exceeded."""
        for head, elements in self.items.items():
            if not self.graph.nodes[head[0]].task.fail_fast or not self.exceeded(head):
                continue
            for item in [(head[0], (*head[1], i)) for i in range(len(elements))]:
                if not self.has_started(item):
                    self.cancel_within(item)

    def cancel_within(self, run: Run) -> None:
        if self.at(run) == "open":
            for inner in self.inside(run):
                self.cancel_within(inner)
        elif self.at(run) in NOT_STARTED or self.untried(run):
            self.state[run] = C

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

    def has_started(self, item: Run) -> bool:
        """Whether anything in it has got further than being entered, or ready."""
        if self.at(item) == "open":
            return any(self.has_started(inner) for inner in self.inside(item))
        return self.at(item) not in NOT_STARTED and not self.untried(item)

    def untried(self, run: Run) -> bool:
        """Handed back by the worker that was to begin its first attempt."""
        return self.at(run) == "again" and run in self.handed and self.attempts[run] == 1

    def finished(self, run: Run) -> bool:
        """Final, or entered with all in it final."""
        state = self.at(run)
        if state == "open":
            return all(self.finished(inner) for inner in self.inside(run))
        return state in FINAL or state == "over"

    def inside(self, run: Run) -> list[Run]:
        """What a group, an item of one, or an expanded map consists of, one level down."""
        id, path = run
        node = self.graph.nodes[id]
        if run in self.items:
            return [(id, (*path, i)) for i in range(len(self.items[run]))]
        return [(member.id, path) for member in self.graph.members(node)]

    # -- values ------------------------------------------------------------------------------------------------------

    def condition(self, text: str, node: Node, run: Run) -> bool:
        """The few conditions that the strategies write."""
        if text in ("true", "false"):
            return text == "true"
        left, operator, right = text.split(" ")
        value = self.path(left, node, run)
        words: dict[str, Any] = {"null": None}
        wanted = words[right] if right in words else int(right) if right.isdigit() else right.strip("'")
        same = type(value) is type(wanted) and value == wanted
        return same if operator == "==" else not same

    def value(self, template: Any, node: Node, run: Run) -> Any:
        if isinstance(template, str) and template.startswith("${{"):
            return self.path(template.strip("${} "), node, run)
        return template

    def path(self, text: str, node: Node, run: Run) -> Any:
        """`item`, `tasks.x.output`, `tasks.x.state`, or a field of an output that has none, which fails."""
        if text == "item":
            for group in (node, *reversed(node.around)):
                if group.mapped and len(run[1]) > len(group.maps):
                    return self.items[group.id, run[1][: len(group.maps)]][run[1][len(group.maps)]]
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

    # -- retries -----------------------------------------------------------------------------------------------------

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

    # -- the end of the run ------------------------------------------------------------------------------------------

    def next_section(self) -> bool:
        """When all of a section is final the next one begins; True if something may be decided again."""
        if self.section is None:
            return False
        runs = [run for run in self.runs() if self.graph.nodes[run[0]].section == self.section]
        if not all(self.finished(run) for run in runs):
            return False
        if self.section == MAIN:
            self.section = ON_FAILURE
            if self.judge_outcome() != F or self.killed:
                for run in self.runs():
                    if self.graph.nodes[run[0]].section == ON_FAILURE and self.at(run) not in FINAL:
                        self.state[run] = C if self.killed else K
            return True
        if self.section == ON_FAILURE:
            self.section = FINALLY
            return True
        self.section = None
        self.run_state = self.judge_outcome()
        return False

    def judge_outcome(self) -> str:
        """By the leaves and by what says `fails_run` among the handlers; a cancel counts until the run is final."""
        loud = [n for n in self.graph.nodes.values() if n.section != MAIN and n.task.fails_run]
        if any(self.fails(node, ()) for node in [*self.graph.run_leaves(), *loud]):
            return F
        return C if self.cancelled else S

    def fails(self, node: Node, path: Path) -> bool:
        """A leaf that failed, tolerated items apart; one that was cancelled counts unless the run was."""
        return any(
            chance <= BAD and not (self.cancelled and self.at(run) == C)
            for run, chance in self.counted_runs(node.id, path)
        )


__all__ = ["FAIL", "SKIP", "Model", "Run", "written"]
