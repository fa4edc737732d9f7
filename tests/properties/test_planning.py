"""Planning against plain models of itself: random graphs, random nests of groups and maps."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.engine.core.canonical import canonical_json, from_document, plan_hash, to_document
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan, graph, networks
from headrace.engine.core.planning.edges import edges_between_tasks
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.core.workflow import Group, Map, Noop, Task, Workflow

Digraph = list[set[int]]

# -- our own arrays and networkx ------------------------------------------------------------------------------------------


@st.composite
def digraphs(draw: st.DrawFn) -> Digraph:
    """Upstreams by node, without loops to itself; half of them without any cycle."""
    count = draw(st.integers(1, 14))
    backwards = draw(st.booleans())
    return [
        draw(st.sets(st.integers(0, count - 1 if backwards else max(node - 1, 0)), max_size=4)) - {node}
        for node in range(count)
    ]


@given(digraphs())
def test_arrays_and_networkx_agree_on_levels(upstream: Digraph) -> None:
    up = graph.rows(upstream)
    down = graph.reverse(up)
    assert graph.order(up, down) == networks.order(down)


@given(digraphs())
def test_arrays_and_networkx_agree_on_cycles(upstream: Digraph) -> None:
    up = graph.rows(upstream)
    down = graph.reverse(up)
    levels = graph.order(up, down).levels
    ours = graph.cycles(up, down, levels, graph.tarjan)
    assert ours == graph.cycles(up, down, levels, networks.components)
    components = nx.strongly_connected_components(networks.network(down, range(len(up))))
    tangled = [component for component in components if len(component) > 1]
    assert len(ours) == len(tangled)
    for cycle in ours:
        assert len(set(cycle)) == len(cycle)
        assert all(a in upstream[b] for a, b in pairwise((*cycle, cycle[0])))
        assert any(component.issuperset(cycle) for component in tangled)


@given(digraphs())
def test_rows_reversed_twice_are_the_same(upstream: Digraph) -> None:
    up = graph.rows(upstream)
    assert [set(up.row(node)) for node in range(len(up))] == upstream
    assert graph.reverse(graph.reverse(up)) == up


@given(digraphs())
def test_the_longest_path_is_a_path_and_the_longest(upstream: Digraph) -> None:
    up = graph.rows(upstream)
    levels = graph.order(up, graph.reverse(up)).levels
    if -1 in levels:
        return
    path = graph.longest_path(up, levels)
    assert all(a in upstream[b] for a, b in pairwise(path))
    assert len(path) == nx.dag_longest_path_length(networks.network(graph.reverse(up), range(len(up)))) + 1


@given(digraphs())
def test_a_plan_is_refused_exactly_when_there_is_a_cycle(upstream: Digraph) -> None:
    tasks = tuple(
        Task(f"t{node:02d}", Noop(), tuple(f"t{source:02d}" for source in sorted(sources)))
        for node, sources in enumerate(upstream)
    )
    up = graph.rows(upstream)
    order = graph.order(up, graph.reverse(up))
    if order.residue:
        with pytest.raises(InvalidWorkflow) as refused:
            build_plan(Workflow("w", tasks))
        assert {problem.code for problem in refused.value.problems} == {"cycle"}
    else:
        plan, _ = build_plan(Workflow("w", tasks))
        assert (plan.up_start, plan.up) == up
        assert (plan.facts.depth, plan.facts.width) == (order.waves, order.width)


# -- groups and maps against a model made of sets --------------------------------------------------------------------------


@dataclass
class Model:
    """A nest of tasks as a tree of full ids, with the edges as written."""

    parent: dict[str, str] = field(default_factory=dict)  # "" is the workflow itself
    groups: set[str] = field(default_factory=set)
    mapped: set[str] = field(default_factory=set)
    edges: set[tuple[str, str]] = field(default_factory=set)

    def inside(self, group: str) -> set[str]:
        """All tasks below a group, groups apart."""
        return {
            id for id in self.parent if id not in self.groups and (not group or id.startswith(f"{group}."))
        }

    def task_edges(self, group: str) -> set[tuple[str, str]]:
        """The edges among the tasks of a group, by definition: every end that is a group is all its leaves or roots."""
        found: set[tuple[str, str]] = set()
        for source, target in self.edges:
            if not group or (source.startswith(f"{group}.") and target.startswith(f"{group}.")):
                found |= {(a, b) for a in self.leaves(source) for b in self.roots(target)}
        return found

    def leaves(self, id: str) -> set[str]:
        return self.inside(id) - {source for source, _ in self.task_edges(id)} if id in self.groups else {id}

    def roots(self, id: str) -> set[str]:
        return self.inside(id) - {target for _, target in self.task_edges(id)} if id in self.groups else {id}


@st.composite
def nests(draw: st.DrawFn) -> tuple[Workflow, Model]:
    """Workflows with groups and maps up to the depth allowed, acyclic because each task waits only for earlier ones."""
    model = Model()

    def fill(group: str, depth: int, visible: list[tuple[str, str]]) -> tuple[Task, ...]:
        """`visible`: (id as written, full id) of what members may wait for, besides their earlier siblings."""
        tasks: list[Task] = []
        for position in range(draw(st.integers(1, 4 if depth else 5))):
            local = f"{'abcd'[depth]}{position}"
            full = f"{group}.{local}" if group else local
            model.parent[full] = group
            chosen = draw(st.lists(st.sampled_from(visible), max_size=2)) if visible else []
            model.edges |= {(source, full) for _, source in chosen}
            mapped = draw(st.integers(0, 4)) == 0
            if mapped:
                model.mapped.add(full)
            depends_on = tuple(dict.fromkeys(written for written, _ in chosen))
            before = set(model.parent)
            if depth < 3 and draw(st.integers(0, 2)) == 0:
                model.groups.add(full)
                work: Group | Noop = Group(fill(full, depth + 1, list(visible)))
            else:
                work = Noop()
            tasks.append(Task(local, work, depends_on, map=Map(over=[1, 2]) if mapped else None))
            visible = [*visible, (local, full)]
            if full in model.groups and not mapped:  # one can look into a plain group, as far as the next map
                visible += [
                    (id[len(group) + 1 :] if group else id, id)
                    for id in sorted(set(model.parent) - before)
                    if not any(id.startswith(f"{m}.") for m in model.mapped if m.startswith(f"{full}."))
                ]
        return tuple(tasks)

    def levels_of_maps(id: str) -> int:
        return sum(id == m or id.startswith(f"{m}.") for m in model.mapped)

    tasks = fill("", 0, [])
    while any(levels_of_maps(id) > 3 for id in model.parent):
        deepest = max(model.mapped, key=levels_of_maps)
        model.mapped.discard(deepest)
        tasks = _without_map(tasks, deepest.split("."))
    return Workflow("w", tasks), model


def _without_map(tasks: tuple[Task, ...], path: list[str]) -> tuple[Task, ...]:
    changed = []
    for task in tasks:
        if task.id == path[0] and len(path) == 1:
            task = replace(task, map=None)
        elif task.id == path[0] and isinstance(task.work, Group):
            task = replace(task, work=Group(_without_map(task.work.tasks, path[1:])))
        changed.append(task)
    return tuple(changed)


@given(nests())
@settings(deadline=None)
def test_facts_are_those_of_the_model(nest: tuple[Workflow, Model]) -> None:
    workflow, model = nest
    plan, _ = build_plan(workflow)
    edges = model.task_edges("")
    between = edges_between_tasks(plan)
    assert {
        (plan.ids[source], plan.ids[node]) for node in range(len(plan.ids)) for source in between.row(node)
    } == edges
    whole = nx.DiGraph(sorted(edges))
    whole.add_nodes_from(model.inside(""))
    waves = list(nx.topological_generations(whole))
    assert plan.facts.tasks == len(whole)
    assert plan.facts.edges == len(edges)
    assert plan.facts.depth == len(waves) == len(plan.facts.critical_path)
    assert plan.facts.width == max(map(len, waves))
    assert set(plan.facts.roots) == {id for id, degree in whole.in_degree() if not degree}
    assert set(plan.facts.leaves) == {id for id, degree in whole.out_degree() if not degree}


@given(nests())
@settings(deadline=None)
def test_every_node_has_one_place(nest: tuple[Workflow, Model]) -> None:
    workflow, model = nest
    plan, _ = build_plan(workflow)
    assert set(plan.ids) == set(model.parent)
    assert {plan.ids[node] for node in plan.items} == model.mapped
    for node, id in enumerate(plan.ids):
        assert (plan.ids[plan.group[node]] if plan.group[node] >= 0 else "") == model.parent[id]
        region = plan.regions[plan.home[node]]
        local = node - region.base + (region.index > 0)
        assert region.nodes[local] == node
    placed = [
        node for region in plan.regions for node in (region.nodes[1:] if region.index else region.nodes)
    ]
    assert placed == list(range(len(plan.ids)))
    for region in plan.regions:
        names = [plan.ids[node] for node in region.nodes]
        assert names[region.index > 0 :] == sorted(names[region.index > 0 :])
        if region.index:
            assert region.nodes[0] == region.owner
            assert plan.home[region.owner] == region.parent < region.index
            assert region.level == plan.regions[region.parent].level + 1
            ends = {_seen_from(plan, region.index, leaf) for leaf in model.leaves(plan.ids[region.owner])}
            assert {region.nodes[local] for local in region.leaves} == ends


def _seen_from(plan: Plan, region: int, leaf: str) -> int:
    """The task itself, or the mapped node of the region that holds it."""
    node = plan.index[leaf]
    while plan.home[node] != region and node != plan.regions[region].owner:
        node = plan.regions[plan.home[node]].owner
    return node


@given(nests())
@settings(deadline=None)
def test_edges_cross_regions_inwards_only(nest: tuple[Workflow, Model]) -> None:
    workflow, _ = nest
    plan, _ = build_plan(workflow)
    for node in range(len(plan.ids)):
        row = plan.upstream(node)
        assert list(row) == sorted(set(row))
        for source in row:
            region = plan.home[node]
            while region > plan.home[source]:
                region = plan.regions[region].parent
            assert region == plan.home[source]
            assert source not in plan.members or source in plan.items
            assert node in plan.downstream(source)
    assert len(plan.up) == len(plan.down)


@given(nests(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_writing_changes_nothing(nest: tuple[Workflow, Model], random: object) -> None:
    def shuffled(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        found = [
            replace(task, work=Group(shuffled(task.work.tasks))) if isinstance(task.work, Group) else task
            for task in tasks
        ]
        random.shuffle(found)  # type: ignore[attr-defined]
        return tuple(found)

    workflow, _ = nest
    plan, _ = build_plan(workflow)
    again, _ = build_plan(replace(workflow, tasks=shuffled(workflow.tasks)))
    assert (again.hash, again.ids, again.up, again.regions) == (plan.hash, plan.ids, plan.up, plan.regions)


@given(nests())
@settings(deadline=None)
def test_a_stored_workflow_gives_the_same_plan(nest: tuple[Workflow, Model]) -> None:
    workflow, _ = nest
    stored = from_document(json.loads(canonical_json(to_document(workflow))))
    assert plan_hash(stored) == plan_hash(workflow)
    plan, again = build_plan(workflow)[0], build_plan(stored, checked=True)[0]
    assert (again.ids, again.up, again.down, again.regions) == (plan.ids, plan.up, plan.down, plan.regions)
    assert again.facts == plan.facts
