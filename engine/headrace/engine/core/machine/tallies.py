"""What task runs came to, told to the tasks downstream, and the books of groups and maps that follow from it.

Everything here follows from the states alone: `Tallies.absorb` for every final state, in any order, gives the same board.
"""

from __future__ import annotations

from collections import deque

from headrace.engine.core.machine.block import RELEASED, Block
from headrace.engine.core.machine.static import Static
from headrace.engine.core.plan import Plan, Rule
from headrace.engine.core.states import TaskState
from headrace.engine.core.verdicts import FAILED, SETUP_SHOWN, SHOWN, SUCCEEDED, UPSTREAM

_WAITING = TaskState.WAITING


class Tallies:
    """The flat arrays of a run, and what is to be looked at because something in them changed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.static = Static.of(plan)

    def lay(self) -> None:
        """Nothing has ended."""
        static = self.static
        self.root = Block(self.plan.regions[0], None, 0, 0, 1, static.unmet[0])
        self.blocks: dict[int, list[Block]] = {0: [self.root]}
        self.open = list(static.open)  # unfinished slots of region 0 by section
        self.ending = False
        self.joint_left = static.joints[:]
        self.joint_seen = bytearray(len(static.joints))
        self.candidates: deque[tuple[Block, int]] = deque()
        self.exits: deque[tuple[Block, int]] = deque()
        self.releases: deque[Block] = deque()

    def hold_still(self) -> None:
        """Nothing follows from what has ended until everything is looked at again."""
        self.candidates.clear()
        self.releases.clear()
        self.exits.clear()
        self.ending = False

    def absorb(self, block: Block, slot: int, state: int) -> None:
        """What a final state changes on the board: tallies downstream, the books of its group and map, open counts."""
        shown = SHOWN[state]
        plan = self.plan
        if block.parent is None and self.static.plain[slot]:
            if plan.down_start[slot] != plan.down_start[slot + 1]:
                self.show_directly(block, slot, shown)
            section = plan.sections[slot]
            left = self.open[section] = self.open[section] - 1
            if not left:
                self.ending = True
            return
        if block.parent is not None and slot % block.k == 0:
            self.item_ended(block, slot, state, shown)
            return
        node = block.node(slot)
        unexpanded = slot not in block.children if node in plan.items else True
        if plan.down_start[node] != plan.down_start[node + 1]:
            self.show(block, slot, node, shown if unexpanded else 0, True)
        if block.parent is None:
            self.count_down(plan.sections[node])
        elif unexpanded and slot % block.k in self.static.leaves[block.region.index]:
            self.leaf_shown(block, shown)
        group = plan.group[node]
        if group >= 0:
            gslot = slot // block.k * block.k + block.local(group)
            if block.state[gslot] == _WAITING:
                block.unmet[gslot] -= 1
                if not block.unmet[gslot]:
                    self.exits.append((block, gslot))
        if self.static.is_group[node] and node not in plan.items:
            self.push_members(block, slot, node)

    def count_down(self, section: int) -> None:
        """A slot of region 0 has ended."""
        left = self.open[section] = self.open[section] - 1
        if not left:
            self.ending = True

    def push_members(self, block: Block, slot: int, group: int) -> None:
        """Have every member of a group looked at again: it was entered, or settled without being entered."""
        offset = slot // block.k * block.k
        for member in self.plan.members[group]:
            self.candidates.append((block, offset + block.local(member)))

    def show(self, block: Block, slot: int, node: int, shown: int, close: bool) -> None:
        """Tell the downstream tasks of a node what one of its task runs came to; `close`: no more will come."""
        plan, static = self.plan, self.static
        if close and block.parent is None and static.direct[node]:
            self.show_directly(block, node, shown)
            return
        home = block.region.index
        offset = slot - slot % block.k
        down = plan.down
        for edge in range(plan.down_start[node], plan.down_start[node + 1]):
            target = down[edge]
            bits = shown
            if static.has_setups[target] and node in plan.setups[target]:
                bits |= SETUP_SHOWN[shown]
            if plan.home[target] == home:
                self.tally(block, offset + block.local(target), target, bits, close)
                continue
            for inner in self.blocks.get(plan.home[target], ()):
                if inner.lies_in(block, slot // block.k):
                    local = inner.local(target)
                    for at in range(local, len(inner.state), inner.k):
                        self.tally(inner, at, target, bits, close)

    def show_directly(self, block: Block, node: int, shown: int) -> None:
        """`show` and `tally` for a node whose downstream tasks are all plain ones beside it: a step for each edge, and most
        runs consist of little else; a single step where those downstream wait for the very same tasks, for as long as all
        goes well."""
        plan, early = self.plan, self.static.early
        joint = self.static.joint[node]
        if joint >= 0:
            left = self.joint_left[joint] = self.joint_left[joint] - 1
            before = self.joint_seen[joint]
            self.joint_seen[joint] = bits = before | shown
            if left and shown == SUCCEEDED:
                return
            for target in plan.down[plan.down_start[node] : plan.down_start[node + 1]]:
                block.unmet[target] = left
                block.seen[target] |= bits
                self.candidates.append((block, target))
            return
        seen, unmet, candidates = block.seen, block.unmet, self.candidates
        failed = shown & (FAILED | UPSTREAM)
        for target in plan.down[plan.down_start[node] : plan.down_start[node + 1]]:
            before = seen[target]
            unmet[target] = left = unmet[target] - 1
            if before | shown != before:
                seen[target] = before | shown
                if not left or failed or early[target]:
                    candidates.append((block, target))
            elif not left or failed:
                candidates.append((block, target))

    def tally(self, block: Block, slot: int, node: int, bits: int, close: bool) -> None:
        before = block.seen[slot]
        block.seen[slot] = before | bits
        if close and self.static.is_group[node] and block.state[slot] == TaskState.WAITING:
            return  # an entered group counts members now
        if close:
            block.unmet[slot] -= 1
        if (
            not block.unmet[slot]
            or (before | bits != before and self.static.early[node])
            or (bits & (FAILED | UPSTREAM))
        ) or self.plan.rules[node] == Rule.EXPRESSION:
            self.candidates.append((block, slot))

    # -- books of a map -------------------------------------------------------------------------------------------------

    def item_ended(self, block: Block, slot: int, state: int, shown: int) -> None:
        assert block.parent is not None
        block.ended += 1
        if block.mark[slot] & RELEASED:
            block.live -= 1
        if state == TaskState.SUCCEEDED:
            block.succeeded += 1
        elif state == TaskState.SKIPPED:
            block.skipped += 1
        else:
            if state == TaskState.CANCELLED:
                block.cancelled += 1
            block.failed += 1
            if block.failed > block.allowed and not block.exceeded:
                block.exceeded = True
                held, block.held = block.held, 0
                for bit in (FAILED, UPSTREAM):
                    if held & bit:
                        self.leaf_shown(block, bit)
        if self.static.counted[block.owner]:
            self.show(block.parent, block.head, block.owner, 0, False)
        if self.static.is_group[block.owner]:
            self.push_members(block, slot, block.owner)
        else:
            self.leaf_shown(block, shown)
        self.releases.append(block)

    def leaf_shown(self, block: Block, shown: int) -> None:
        """A leaf of an item ended: the map shows it downstream, unless it is a failure that is tolerated so far."""
        while block.parent is not None:
            if shown & (FAILED | UPSTREAM) and block.allowed and not block.exceeded:
                block.held |= shown
                return
            if block.given & shown == shown:
                return
            block.given |= shown
            parent, head = block.parent, block.head
            node = parent.node(head)
            self.show(parent, head, node, shown, False)
            if parent.parent is None or head % parent.k not in self.static.leaves[parent.region.index]:
                return
            block = parent

    def tolerated(self, block: Block) -> None:
        """The map has ended within its tolerance: what was held back counts as succeeded."""
        if block.held and not block.exceeded:
            block.held = 0
            self.leaf_shown(block, SUCCEEDED)
