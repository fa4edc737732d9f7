"""Planning: nodes, regions, edges and facts of workflows that are right."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.engine.core.plan import Both, Compare, Either, Facts, Holds, Measure, Not, Plan, Rule, Section
from headrace.engine.core.planning import PlanLimits, build_plan
from headrace.engine.core.problems import InvalidWorkflow
from headrace.engine.core.workflow import (
    Cache,
    Case,
    Gate,
    Group,
    Http,
    Json,
    Map,
    Noop,
    PythonCall,
    Retry,
    RetryRule,
    Shell,
    Sleep,
    Switch,
    Task,
    Workflow,
)


def task(id: str, *depends_on: str, **keys: object) -> Task:
    return replace(Task(id, PythonCall("m:f"), depends_on), **keys)  # type: ignore[arg-type]


def group(
    id: str, *tasks: Task, depends_on: tuple[str, ...] = (), output: Json = None, **keys: object
) -> Task:
    return replace(Task(id, Group(tasks, output), depends_on), **keys)  # type: ignore[arg-type]


def plan_of(*tasks: Task, **keys: object) -> Plan:
    return build_plan(replace(Workflow("w", tasks), **keys))[0]  # type: ignore[arg-type]


def upstream(plan: Plan) -> dict[str, list[str]]:
    return {
        id: [plan.ids[u] for u in plan.upstream(n)] for id, n in plan.index.items() if len(plan.upstream(n))
    }


OVER = Map(over=[1, 2])


class TestOrder:
    def test_nodes_are_in_order_of_section_and_id_whatever_order_they_are_written_in(self) -> None:
        plan = plan_of(task("b"), task("c"), task("a"), finally_=(task("A"),), on_failure=(task("Z"),))
        assert plan.ids == ("a", "b", "c", "Z", "A")
        assert [Section(s) for s in plan.sections[2:]] == [Section.MAIN, Section.ON_FAILURE, Section.FINALLY]
        assert plan.index == {id: node for node, id in enumerate(plan.ids)}

    def test_members_of_a_plain_group_stand_among_the_others(self) -> None:
        plan = plan_of(task("h"), group("g", task("z"), task("a")), task("g_2"))
        assert plan.ids == ("g", "g.a", "g.z", "g_2", "h")
        assert plan.members == {0: (1, 2)}
        assert list(plan.group) == [-1, 0, 0, -1, -1]
        assert len(plan.regions) == 1

    def test_regions_are_numbered_breadth_first(self) -> None:
        inner = group("in", task("i"), map=OVER)
        plan = plan_of(group("b", task("y"), inner, map=OVER), task("a", map=OVER), task("c"))
        assert plan.ids == ("a", "b", "c", "b.in", "b.y", "b.in.i")
        assert [(r.owner, r.parent, r.level, r.base, tuple(r.nodes)) for r in plan.regions] == [
            (-1, -1, 0, 0, (0, 1, 2)),
            (0, 0, 1, 3, (0,)),
            (1, 0, 1, 3, (1, 3, 4)),
            (3, 2, 2, 5, (3, 5)),
        ]
        assert list(plan.home) == [0, 0, 0, 2, 2, 3]
        assert plan.items == {0: 1, 1: 2, 3: 3}


class TestEdges:
    def test_a_reference_is_an_edge_and_each_edge_stands_once(self) -> None:
        plan = plan_of(
            task("a"),
            task("b"),
            task(
                "c",
                "a",
                with_={"x": ["${{ tasks.a.output }} and ${{ tasks.b.output.n }}"]},
                when="tasks.b.output.ok",
            ),
        )
        assert upstream(plan) == {"c": ["a", "b"]}
        assert list(plan.downstream(0)) == [2]
        assert plan.names == {2: {"a": 0, "b": 1}}

    @pytest.mark.parametrize(
        "reader",
        [
            Task("z", Shell(argv=("${{ tasks.a.output }}",))),
            Task("z", Shell(run="x"), env={"E": "${{ tasks.a.output }}"}),
            Task("z", Http("https://h/${{ tasks.a.output }}")),
            Task("z", Http("u", headers={"A": "${{ tasks.a.output }}"})),
            Task("z", Http("u", has_json=True, json={"k": "${{ tasks.a.output }}"})),
            Task("z", Sleep(until="${{ tasks.a.output }}")),
            Task("z", Gate("tasks.a.output > 1")),
            Task("z", Switch((Case("tasks.a.output > 1"),))),
            Task("z", Noop(), map=Map(zip={"k": "${{ tasks.a.output }}"})),
            Task("z", Noop(), map=Map(over=[1], label="${{ tasks.a.output }}")),
            Task("z", PythonCall("m:f"), cache=Cache(timedelta(1), key="${{ tasks.a.output }}")),
            Task(
                "z", PythonCall("m:f"), retry=Retry(2, rules=(RetryRule("error.status == tasks.a.output"),))
            ),
            Task("z", Noop(), trigger_rule="done(a)"),
        ],
        ids=lambda reader: type(reader.work).__name__,
    )
    def test_wherever_it_stands(self, reader: Task) -> None:
        plan = plan_of(task("a"), reader)
        assert upstream(plan) == {"z": ["a"]}
        assert plan.names == {1: {"a": 0}}

    def test_but_not_at_the_end_of_a_run(self) -> None:
        plan = plan_of(
            task("a"),
            on_failure=(task("alarm", with_={"x": "${{ tasks.a.error }} ${{ run.failed }}"}),),
            finally_=(task("close", with_={"x": "${{ tasks.alarm.state }}"}), task("last", "close")),
            output="${{ tasks.a.output }}",
        )
        assert upstream(plan) == {"last": ["close"]}
        assert plan.names == {1: {"a": 0}, 2: {"alarm": 1}}
        assert plan.section_names == {"a": 0}

    def test_a_switch_is_upstream_of_what_it_names(self) -> None:
        plan = plan_of(
            Task("s", Switch((Case("true", ("a",)), Case("true", ("b", "a"))), ("c",))), *map(task, "abc")
        )
        assert upstream(plan) == {"a": ["s"], "b": ["s"], "c": ["s"]}
        assert plan.names[plan.index["s"]] == {"a": 0, "b": 1, "c": 2}

    def test_a_switch_in_python_knows_its_downstream_as_it_is_written_beside_it(self) -> None:
        plan = plan_of(group("g", Task("s", Switch(python="m:f")), task("a", "s"), task("b", "a")))
        assert plan.names == {plan.index["g.s"]: {"a": plan.index["g.a"]}}

    def test_a_rule_expression_names_its_sources(self) -> None:
        rule = 'success(a) && !failed("b") || rate(c) >= 0.5'
        plan = plan_of(task("a"), task("b"), task("c"), task("z", trigger_rule=rule))
        assert upstream(plan) == {"z": ["a", "b", "c"]}
        assert plan.rules[3] == Rule.EXPRESSION
        assert plan.rule_expressions[3] == Either(
            (Both((Holds("success", 0), Not(Holds("failed", 1)))), Compare(Measure("rate", 2), ">=", 0.5))
        )


class TestGroups:
    def test_to_wait_for_a_group_is_to_wait_for_its_leaves(self) -> None:
        plan = plan_of(
            task("a"),
            group("g", task("m"), task("n", "m"), task("o", "m"), depends_on=("a",)),
            task("z", "g"),
            task("y", "g.m"),
        )
        assert upstream(plan) == {
            "g": ["a"],
            "g.n": ["g.m"],
            "g.o": ["g.m"],
            "y": ["g.m"],
            "z": ["g.n", "g.o"],
        }
        assert plan.group_leaves == {plan.index["g"]: (plan.index["g.n"], plan.index["g.o"])}

    def test_of_inner_groups_too(self) -> None:
        inner = group("in", task("i"), task("j"))
        plan = plan_of(group("g", inner, task("k", "in.i")), task("z", "g"))
        assert upstream(plan) == {"g.k": ["g.in.i"], "z": ["g.in.j", "g.k"]}

    def test_a_task_that_waits_for_an_inner_group_makes_all_its_leaves_inner(self) -> None:
        deep = group("deep", group("in", task("i"), task("j")), task("l"))
        plan = plan_of(group("g", deep, task("k", "deep.in")), task("z", "g"))
        assert upstream(plan) == {"g.k": ["g.deep.in.i", "g.deep.in.j"], "z": ["g.deep.l", "g.k"]}

    def test_of_a_mapped_group_its_head(self) -> None:
        plan = plan_of(task("a"), group("g", task("m", "a"), task("n", "m"), map=OVER), task("z", "g"))
        assert upstream(plan) == {"g.m": ["a"], "g.n": ["g.m"], "z": ["g"]}
        assert plan.regions[1].leaves == (2,)

    def test_a_region_ends_with_the_leaves_of_its_item(self) -> None:
        inner = group("in", task("i"), task("j", "i"), depends_on=("m",))
        mapped = task("p", "m", map=OVER)
        plan = plan_of(group("g", task("m"), inner, mapped, map=OVER))
        region = plan.regions[1]
        assert [plan.ids[region.nodes[local]] for local in region.leaves] == ["g.in.j", "g.p"]

    def test_an_id_means_the_nearest(self) -> None:
        inner = group("in", task("b", with_={"x": "${{ tasks.a.output }}", "y": "${{ tasks.c.output }}"}))
        plan = plan_of(task("a"), task("c"), group("g", task("a"), inner))
        assert upstream(plan) == {"g.in.b": ["c", "g.a"]}
        assert plan.names[plan.index["g.in.b"]] == {"a": plan.index["g.a"], "c": plan.index["c"]}

    def test_the_output_of_a_group_speaks_of_its_members_and_is_no_edge(self) -> None:
        plan = plan_of(
            task("a"), group("g", task("m"), map=OVER, output="${{ tasks.m.output }} ${{ tasks.a.output }}")
        )
        assert upstream(plan) == {}
        assert plan.names == {1: {"m": 2, "a": 0}}

    def test_teardowns_are_no_leaves_of_their_group(self) -> None:
        inner = (task("up"), task("work", "up"), task("down", "work", teardown_of=("up",)))
        plan = plan_of(group("g", *inner), task("z", "g"))
        assert upstream(plan)["z"] == ["g.work"]

    def test_unless_they_fail_the_run(self) -> None:
        inner = (task("up"), task("work", "up"), task("down", "work", teardown_of=("up",), fails_run=True))
        plan = plan_of(group("g", *inner), task("z", "g"))
        assert upstream(plan)["z"] == ["g.down"]


class TestTeardowns:
    def test_without_depends_on_it_waits_for_everything_downstream_of_its_setups(self) -> None:
        plan = plan_of(
            task("up"),
            task("a", "up"),
            task("b", "a"),
            task("other"),
            task("down", teardown_of=("up",)),
            task("down2", teardown_of=("up",)),
        )
        assert upstream(plan)["down"] == ["a", "b", "up"]
        assert upstream(plan)["down2"] == ["a", "b", "up"]
        assert plan.setups == {
            plan.index["down"]: {plan.index["up"]},
            plan.index["down2"]: {plan.index["up"]},
        }
        assert plan.rules[plan.index["down"]] == Rule.ALL_DONE_SETUP_SUCCESS

    def test_with_it_for_that_alone(self) -> None:
        plan = plan_of(task("up"), task("a", "up"), task("b", "a"), task("down", "a", teardown_of=("up",)))
        assert upstream(plan)["down"] == ["a", "up"]

    def test_through_groups_and_maps(self) -> None:
        mapped = group("mg", task("m"), task("n", "up"), map=OVER)
        plain = group("g", task("i"), task("j", "i"), depends_on=("up",))
        plan = plan_of(task("up"), mapped, plain, task("z", "mg"), task("down", teardown_of=("up",)))
        assert upstream(plan)["down"] == ["g.i", "g.j", "mg", "up", "z"]

    def test_inside_a_map_it_stays_in_its_item(self) -> None:
        inner = (task("up"), task("a", "up"), task("down", teardown_of=("up",)))
        plan = plan_of(group("g", *inner, map=OVER), task("z", "g"))
        assert upstream(plan) == {"g.a": ["g.up"], "g.down": ["g.a", "g.up"], "z": ["g"]}

    def test_without_setups(self) -> None:
        plan = plan_of(task("a"), task("down", "a", teardown_of=()))
        assert plan.setups == {}
        assert plan.teardowns == {1}

    def test_the_run_is_decided_by_what_only_teardowns_follow(self) -> None:
        plan = plan_of(task("up"), task("a", "up"), task("b"), task("down", teardown_of=("up",)))
        assert [plan.ids[n] for n in plan.run_leaves] == ["a", "b"]
        fails = plan_of(
            task("up"), task("a", "up"), task("b"), task("down", teardown_of=("up",), fails_run=True)
        )
        assert [fails.ids[n] for n in fails.run_leaves] == ["b", "down"]

    def test_groups_leave_the_decision_to_their_leaves_and_maps_take_it(self) -> None:
        plan = plan_of(
            group("g", task("m"), task("n", "m")), group("h", task("i"), map=OVER), finally_=(task("f"),)
        )
        assert [plan.ids[n] for n in plan.run_leaves] == ["g.n", "h"]
        assert plan.regions[0].leaves == plan.run_leaves


class TestFacts:
    def test_of_a_chain(self) -> None:
        chain = [task("t0"), *(task(f"t{n}", f"t{n - 1}") for n in range(1, 5))]
        assert plan_of(*chain).facts == Facts(5, 4, 5, 1, ("t0",), ("t4",), ("t0", "t1", "t2", "t3", "t4"))

    def test_groups_count_by_their_roots_and_leaves(self) -> None:
        plan = plan_of(
            task("a"),
            group("g", task("m"), task("n"), depends_on=("a",), map=OVER),
            group("h", task("i"), task("j"), depends_on=("g",)),
        )
        assert plan.facts == Facts(5, 6, 3, 2, ("a",), ("h.i", "h.j"), ("a", "g.m", "h.i"))
        assert [plan.level[plan.index[id]] for id in ("a", "g", "g.m", "h", "h.j")] == [0, 1, 1, 2, 2]

    def test_ten_thousand_in_a_row_take_no_recursion(self) -> None:
        chain = [task("t00000"), *(task(f"t{n:05d}", f"t{n - 1:05d}") for n in range(1, 10_000))]
        assert plan_of(*chain).facts.depth == 10_000


class TestMaps:
    def test_when_is_judged_per_item_when_it_names_the_item(self) -> None:
        plan = plan_of(
            task("a", map=OVER, when="params.x > 1"),
            task("b", map=OVER, when="item > 1"),
            task("c", map=replace(OVER, as_="file"), when="file.ok"),
            task("d", map=OVER, when="item_index > 0"),
            group(
                "g",
                task("e", map=replace(OVER, as_="inner"), when="outer > 1"),
                map=replace(OVER, as_="outer"),
            ),
            params={"x": {}},
        )
        assert {plan.ids[node] for node in plan.when_per_item} == {"b", "c", "d"}

    def test_items_of_all_maps_around_are_in_sight(self) -> None:
        inner = task(
            "e", map=replace(OVER, as_="b"), with_={"x": "${{ a }}${{ b }}${{ item }}${{ item_index }}"}
        )
        plan_of(group("g", inner, map=replace(OVER, as_="a")))

    def test_a_map_over_an_output_waits_for_it(self) -> None:
        plan = plan_of(task("a"), task("b", map=Map(over="${{ tasks.a.output.files }}")))
        assert upstream(plan) == {"b": ["a"]}


class TestLimits:
    def test_too_many_tasks(self) -> None:
        with pytest.raises(InvalidWorkflow) as caught:
            build_plan(Workflow("w", (group("g", *map(task, "abc")),)), limits=PlanLimits(tasks=3))
        assert [problem.code for problem in caught.value.problems] == ["too_large"]
        build_plan(Workflow("w", (group("g", *map(task, "abc")),)), limits=PlanLimits(tasks=4))

    @pytest.mark.parametrize("wide", ["written", "groups", "teardown"])
    def test_too_many_edges(self, wide: str) -> None:
        many = [f"t{n}" for n in range(10)]
        tasks = {
            "written": (*map(task, many), task("z", *many)),
            "groups": (group("g", *map(task, many)), group("h", *map(task, many), depends_on=("g",))),
            "teardown": (task("up"), *(task(id, "up") for id in many), task("down", teardown_of=("up",))),
        }[wide]
        edges = build_plan(Workflow("w", tasks))[0].facts.edges
        with pytest.raises(InvalidWorkflow) as caught:
            build_plan(Workflow("w", tasks), limits=PlanLimits(edges=edges - 1))
        assert [problem.code for problem in caught.value.problems] == ["too_large"]
        build_plan(Workflow("w", tasks), limits=PlanLimits(edges=edges))


def test_a_plan_read_again_is_the_same_plan() -> None:
    workflow = Workflow("w", (task("a"), group("g", task("m", "a"), map=OVER), task("z", "g")))
    assert build_plan(workflow, checked=True)[0] == build_plan(workflow)[0]
