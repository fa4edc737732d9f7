"""The reference model: what every task run of a workflow must come to, written only from the documents.

It is slow and plain on purpose: dictionaries by (id, path), one function per rule of docs/language.md (sections 5, 7, 8, 9)
and docs/trigger_rules.md, everything looked at again after every event until nothing changes. It is told what happens
(`start`, `begin`, `ended`, `fired`, `cancel`, `rerun`, ...) in the same order as the machine; `states()` must agree after
every event, and `begin` fails when a task run starts that may not.

Words for states are those of the language, and beside them: `ready` (pending, rule and condition satisfied), `again`
(ready for one more attempt, or handed back), `polling` (waits to run again), `open` (a group that was entered, a map that was expanded, with something
in it that is not final) and `over` (one with nothing such left).
"""

from __future__ import annotations

from typing import Any

from headrace.engine.core.workflow import Approval, Gate, Noop, Signal, Sleep, Switch
from tests.support.model_books import BAD, FINAL, NOT_STARTED, C, Path, Run, written
from tests.support.model_graph import FINALLY, MAIN, ON_FAILURE, Node
from tests.support.model_reruns import Reruns
from tests.support.model_rules import FAIL, RUN, WAIT, F, K, S, U
from tests.support.model_values import ConditionFailed, Values

ENDS = {"fail": F, "skip": K, "continue": S}
"""What `on_expiry` and `on_reject` make of a wait."""


class Model(Values, Reruns):
    """One run of one workflow."""

    # -- what happens ----------------------------------------------------------------------------------------------------

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
            tries = self.attempts[run] - self.polled.get(run, 0)
            how = self.after_failure(node.task.retry, tries, kinds)
        elif how == S:
            how = self.after_success(node, run, output)
        self.state[run] = how
        self.settle()

    def fired(self, run: Run, kind: str) -> None:
        """A timer fell due: a retry's delay, the time between two polls, or a sleep."""
        if (kind, self.at(run)) in (("retry", "retrying"), ("poll", "polling")):
            self.state[run] = "again"
        elif kind == "sleep" and self.at(run) == "waiting":
            self.state[run] = S
        elif kind == "expiry" and self.at(run) == "waiting":
            work = self.graph.nodes[run[0]].task.work
            assert isinstance(work, Approval | Signal)
            self.state[run] = ENDS[work.on_expiry]
            self.output[run] = {"expired": True} if isinstance(work, Approval) else None
        self.settle()

    def said(self, run: Run, by: str, approved: bool) -> None:
        """A person agrees to an approval or rejects it: one rejection decides, of those who agree each counts once."""
        work = self.graph.nodes[run[0]].task.work
        if self.at(run) != "waiting" or not isinstance(work, Approval):
            return
        agreed = self.gathered.setdefault(run, set())
        if not approved:
            self.state[run] = ENDS[work.on_reject]
            self.output[run] = {"approved": False}
        else:
            agreed.add(by)
            if len(agreed) >= work.approvers:
                self.state[run] = S
                self.output[run] = {"approved": True}
        self.settle()

    def signalled(self, run: Run, place: int) -> None:
        """A signal has come that a task waits for: of several, all are needed, or any of them."""
        work = self.graph.nodes[run[0]].task.work
        if self.at(run) != "waiting" or not isinstance(work, Signal):
            return
        come = self.gathered.setdefault(run, set())
        come.add(place)
        if len(come) >= max(1, len(work.all)):
            self.state[run] = S
            self.output[run] = {"payload": None} if work.any else [None] * len(work.all) or None
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

    # -- to the next rest ------------------------------------------------------------------------------------------------

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

    # -- entering --------------------------------------------------------------------------------------------------------

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
                case Signal() | Approval():  # what they ask and seek is judged first
                    return "waiting" if self.judged(run) else None
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

    def after_success(self, node: Node, run: Run, output: Any) -> str:
        """A poll looks at what was given: the task has succeeded, or runs again later."""
        try:
            if node.task.poll is not None and not self.condition(node.task.poll.until, node, run, output):
                self.polled[run] = self.attempts[run]
                return "polling"
        except ConditionFailed:
            return F
        return self.succeeded(node, run, output)

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

    # -- the end of the run ----------------------------------------------------------------------------------------------

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


__all__ = ["FINAL", "Model", "Run", "written"]
