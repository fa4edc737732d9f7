"""Graphs as integer arrays: rows of edges, waves of Kahn's algorithm, cycles. Nothing here recurses.

A `Rows` keeps, for each node, its upstreams ascending and each once: row n is `to[start[n]:start[n + 1]]`.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple


class Rows(NamedTuple):
    """Edges by node, in compressed rows."""

    start: array[int]
    to: array[int]

    def row(self, node: int) -> array[int]:
        return self.to[self.start[node] : self.start[node + 1]]

    def __len__(self) -> int:
        return len(self.start) - 1


def rows(sources: Iterable[Iterable[int]]) -> Rows:
    """Rows from an iterable of each node's neighbours, which are sorted and taken once."""
    start, to = array("i", (0,)), array("i")
    for row in sources:
        to.extend(sorted(set(row)))
        start.append(len(to))
    return Rows(start, to)


def reverse(up: Rows) -> Rows:
    """The same edges from the other end. Rows come out ascending."""
    nodes = len(up)
    counts = [0] * (nodes + 1)
    for source in up.to:
        counts[source + 1] += 1
    total = 0
    for node, count in enumerate(counts):
        total += count
        counts[node] = total
    start = array("i", counts)
    to = array("i", bytes(4 * len(up.to)))
    begin = 0
    for node in range(nodes):
        end = up.start[node + 1]
        for source in up.to[begin:end]:
            at = counts[source]
            to[at] = node
            counts[source] = at + 1
        begin = end
    return Rows(start, to)


class Order(NamedTuple):
    """What Kahn's algorithm finds. A node's level is 1 + the largest level of its upstreams; roots have 0."""

    levels: array[int]  # -1: on a cycle, or downstream of one
    waves: int  # number of levels: nodes on the longest path
    width: int  # nodes on the fullest level
    residue: int  # nodes without a level


def order(up: Rows, down: Rows) -> Order:
    """Levels of all nodes, by Kahn's algorithm in waves."""
    start, to = down
    waiting = [up.start[n + 1] - up.start[n] for n in range(len(up))]
    levels = array("i", (-1,)) * len(up)
    wave = [node for node, count in enumerate(waiting) if not count]
    level = width = done = 0
    while wave:
        done += len(wave)
        width = max(width, len(wave))
        following: list[int] = []
        for node in wave:
            levels[node] = level
            for target in to[start[node] : start[node + 1]]:
                left = waiting[target] - 1
                waiting[target] = left
                if not left:
                    following.append(target)
        level += 1
        wave = following
    return Order(levels, level, width, len(up) - done)


def longest_path(up: Rows, levels: Sequence[int]) -> list[int]:
    """One of the longest paths, by nodes; of several the one that ends, then comes from, the smallest index."""
    if not levels:
        return []
    node = levels.index(max(levels))
    path = [node]
    for level in range(levels[node] - 1, -1, -1):
        node = next(source for source in up.row(node) if levels[source] == level)
        path.append(node)
    path.reverse()
    return path


def cycles(
    up: Rows, down: Rows, levels: Sequence[int], components: Callable[[Rows, Sequence[int]], list[list[int]]]
) -> list[list[int]]:
    """One short cycle of every strongly connected component, each from its smallest node on, in order of these.

    `components` finds the components of more than one node among the nodes given: see `tarjan`.
    """
    tangled = _trim(up, down, levels)
    found = [_through(min(component), down, set(component)) for component in components(down, tangled)]
    return sorted(found)


def _trim(up: Rows, down: Rows, levels: Sequence[int]) -> list[int]:
    """The nodes that have no level, without those that are merely downstream of a cycle."""
    left = {node for node, level in enumerate(levels) if level < 0}
    following = {node: sum(target in left for target in down.row(node)) for node in left}
    ends = [node for node, count in following.items() if not count]
    while ends:
        node = ends.pop()
        left.discard(node)
        for source in up.row(node):
            if source in left:
                following[source] -= 1
                if not following[source]:
                    ends.append(source)
    return sorted(left)


def _through(first: int, down: Rows, inside: set[int]) -> list[int]:
    """A shortest cycle through `first` that stays inside its component."""
    came: dict[int, int] = {}
    queue = deque((first,))
    while queue:
        node = queue.popleft()
        for target in down.row(node):
            if target == first:
                path = [node]
                while path[-1] != first:
                    path.append(came[path[-1]])
                path.reverse()
                return path
            if target in inside and target not in came:
                came[target] = node
                queue.append(target)
    raise AssertionError("a strongly connected component without a cycle")


def tarjan(down: Rows, nodes: Sequence[int]) -> list[list[int]]:
    """The strongly connected components of more than one node among `nodes`, without recursion."""
    allowed = set(nodes)
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    open_: set[int] = set()
    found: list[list[int]] = []
    for root in nodes:
        if root in number:
            continue
        walk = [(root, iter(down.row(root)))]
        number[root] = low[root] = len(number)
        stack.append(root)
        open_.add(root)
        while walk:
            node, targets = walk[-1]
            for target in targets:
                if target not in allowed:
                    continue
                if target not in number:
                    number[target] = low[target] = len(number)
                    stack.append(target)
                    open_.add(target)
                    walk.append((target, iter(down.row(target))))
                    break
                if target in open_:
                    low[node] = min(low[node], number[target])
            else:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[node])
                if low[node] == number[node]:
                    component: list[int] = []
                    while not component or component[-1] != node:
                        component.append(stack.pop())
                        open_.discard(component[-1])
                    if len(component) > 1:
                        found.append(component)
    return found


def reachable(sources: Iterable[int], down: Callable[[int], Iterable[int]]) -> set[int]:
    """Everything downstream of the sources, without these unless they are downstream of one another."""
    seen: set[int] = set()
    pending = list(sources)
    while pending:
        for target in down(pending.pop()):
            if target not in seen:
                seen.add(target)
                pending.append(target)
    return seen
