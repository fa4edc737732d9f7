"""The same questions as `graph` answers, asked of networkx: the second opinion on every graph of ordinary size.

networkx is loaded when the first question is put, so that an engine that only re-reads plans checked before starts without.
At a million tasks it would take half a minute and 1.5 GiB; `MAX_EDGES` keeps it to where it is quick.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.engine.core.planning.graph import Order, Rows

if TYPE_CHECKING:
    import networkx as nx

MAX_EDGES = 100_000


def network(down: Rows, nodes: Sequence[int]) -> nx.DiGraph[int]:
    """The nodes and all edges between them."""
    import networkx as nx

    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(nodes)
    inside = set(nodes)
    graph.add_edges_from((node, target) for node in nodes for target in down.row(node) if target in inside)
    return graph


def order(down: Rows) -> Order:
    """As `graph.order`: checked and measured by networkx."""
    import networkx as nx

    graph = network(down, range(len(down)))
    levels = array("i", (-1,)) * len(down)
    waves = width = done = 0
    try:
        for wave in nx.topological_generations(graph):
            for node in wave:
                levels[node] = waves
            waves += 1
            width = max(width, len(wave))
            done += len(wave)
    except nx.NetworkXUnfeasible:
        pass  # what is left lies on a cycle or downstream of one: it keeps the level -1
    return Order(levels, waves, width, len(down) - done)


def components(down: Rows, nodes: Sequence[int]) -> list[list[int]]:
    """As `graph.tarjan`."""
    import networkx as nx

    found = nx.strongly_connected_components(network(down, nodes))
    return [sorted(component) for component in found if len(component) > 1]
