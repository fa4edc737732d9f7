"""A layered layout of our own: columns by longest path, order within them by barycenters, then places.

Edges that cross several columns are led through invisible points in between, so that they pass between boxes instead of over
them; very dense graphs go without. All of it is deterministic, and no step takes more than a few passes over the edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_SWEEPS = 6
_MAX_POINTS = 50_000  # invisible points, beyond which long edges go straight


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns from left to right, rows as places on an endless ruler (1.0 is the height of a box and its gap)."""

    column: Sequence[int]  # by node
    row: Sequence[float]  # by node; the smallest is 0
    bends: Mapping[tuple[int, int], tuple[tuple[int, float], ...]]  # edge → (column, row) in between


def layered(levels: Sequence[int], edges: Iterable[tuple[int, int]], together: Sequence[int]) -> Layout:
    """Lay out nodes by their level. `together` gives for each node what it should stay near to: its group, or -1."""
    count = len(levels)
    column = list(levels)
    kin = list(together)
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    chains: dict[tuple[int, int], list[int]] = {}
    wanted = list(edges)
    long = sum(column[target] - column[source] - 1 for source, target in wanted) <= _MAX_POINTS
    for source, target in wanted:
        at = source
        if long and column[target] - column[source] > 1:
            points = list(range(len(column), len(column) + column[target] - column[source] - 1))
            chains[source, target] = points
            for step, point in enumerate(points, 1):
                column.append(column[source] + step)
                kin.append(kin[source] if kin[source] == kin[target] else -1)
                before.append([at])
                after[at].append(point)
                after.append([])
                at = point
        after[at].append(target)
        before[target].append(at)

    layers: list[list[int]] = [[] for _ in range(max(column, default=-1) + 1)]
    for node, level in enumerate(column):
        layers[level].append(node)
    place = [0.0] * len(column)
    for layer in layers:
        _settle(layer, place)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for layer in layers if forward else reversed(layers):
            _reorder(layer, before if forward else after, kin, place)
    rows = _rows(layers, before, after)
    return Layout(
        column[:count],
        rows[:count],
        {edge: tuple((column[p], rows[p]) for p in points) for edge, points in chains.items()},
    )


def _settle(layer: Sequence[int], place: list[float]) -> None:
    """Places within a column are even and centred, so that columns of different height compare."""
    for position, node in enumerate(layer):
        place[node] = position - (len(layer) - 1) / 2


def _reorder(
    layer: list[int], neighbours: Sequence[Sequence[int]], kin: Sequence[int], place: list[float]
) -> None:
    """Sort a column by the mean place of each node's neighbours; kin stay side by side, by the mean of theirs."""
    wish = {
        node: sum(place[n] for n in neighbours[node]) / len(neighbours[node])
        if neighbours[node]
        else place[node]
        for node in layer
    }
    sums: dict[int, tuple[float, int]] = {}
    for node in layer:
        if kin[node] >= 0:
            total, members = sums.get(kin[node], (0.0, 0))
            sums[kin[node]] = total + wish[node], members + 1
    means = {group: total / members for group, (total, members) in sums.items()}
    layer.sort(key=lambda node: (means.get(kin[node], wish[node]), kin[node], wish[node], node))
    _settle(layer, place)


def _rows(
    layers: Sequence[Sequence[int]], before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]
) -> list[float]:
    """Draw each node towards its neighbours as far as the order in its column and a distance of 1 allow."""
    rows = [0.0] * len(before)
    for layer in layers:
        _settle(layer, rows)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        neighbours = before if forward else after
        for layer in layers if forward else reversed(layers):
            wish = [
                sum(rows[n] for n in neighbours[node]) / len(neighbours[node])
                if neighbours[node]
                else rows[node]
                for node in layer
            ]
            taken: list[float] = []
            for want in wish:
                taken.append(max(want, taken[-1] + 1) if taken else want)
            drift = sum(want - row for want, row in zip(wish, taken, strict=True)) / len(layer)
            for node, row in zip(layer, taken, strict=True):
                rows[node] = row + drift
    least = min(rows, default=0.0)
    return [row - least for row in rows]
