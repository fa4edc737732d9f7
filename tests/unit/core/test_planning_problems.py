"""What planning refuses and what it warns of: the code, the place in the document, and words that help."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.engine.core.evaluation import Expression
from headrace.engine.core.planning import build_plan
from headrace.engine.core.problems import InvalidWorkflow, Path, Problem
from headrace.engine.core.workflow import (
    Case,
    Concurrency,
    Gate,
    Group,
    Json,
    Map,
    Noop,
    Poll,
    PythonCall,
    Shell,
    Sleep,
    Switch,
    Task,
    Workflow,
)

OVER = Map(over=[1, 2])


def task(id: str, *depends_on: str, **keys: object) -> Task:
    return replace(Task(id, PythonCall("m:f"), depends_on), **keys)  # type: ignore[arg-type]


def group(id: str, *tasks: Task, output: Json = None, **keys: object) -> Task:
    return replace(Task(id, Group(tasks, output)), **keys)  # type: ignore[arg-type]


def problems_of(*tasks: Task, **keys: object) -> list[Problem]:
    with pytest.raises(InvalidWorkflow) as caught:
        build_plan(replace(Workflow("w", tasks), **keys))  # type: ignore[arg-type]
    return list(caught.value.problems)


def the_problem(*tasks: Task, **keys: object) -> Problem:
    (found,) = problems_of(*tasks, **keys)
    return found


def warnings_of(*tasks: Task, **keys: object) -> list[Problem]:
    return list(build_plan(replace(Workflow("w", tasks), **keys))[1])  # type: ignore[arg-type]


def test_no_tasks() -> None:
    assert the_problem().code == "empty_workflow"


def test_the_sentence_of_the_documentation() -> None:
    problem = the_problem(task("transform"), task("load", "transfrom"))
    assert (
        str(problem) == 'task "load" waits for "transfrom", which is not defined. Did you mean "transform"?'
    )
    assert (problem.code, problem.path, problem.task) == (
        "unknown_dependency",
        ("tasks", "load", "depends_on", 0),
        "load",
    )


def test_all_problems_come_at_once() -> None:
    codes = [p.code for p in problems_of(task("a", "b"), task("b", "a"), task("c", "c", "no"), task("1"))]
    assert sorted(codes) == ["cycle", "invalid_task_id", "self_dependency", "unknown_dependency"]


@pytest.mark.parametrize("bad", ["", "1a", "a b", "é", "a" * 251, "-a", ".a", "a/b", "a\n"])
def test_an_id_that_cannot_be_one(bad: str) -> None:
    problem = the_problem(task(bad))
    assert (problem.code, problem.path) == ("invalid_task_id", ("tasks", bad))


def test_a_written_id_may_not_be_the_full_id_of_another() -> None:
    problem = the_problem(group("g", task("a")), task("g.a"))
    assert problem.code == "duplicate_task"
    assert problem.task == "g.a"


def test_ids_are_unique_in_all_parts_of_a_workflow() -> None:
    problem = the_problem(task("a"), finally_=(task("a"),))
    assert (problem.code, problem.path) == ("duplicate_task", ("finally", "a"))


def test_nesting_has_an_end() -> None:
    three = group("a", group("b", group("c", task("d"))))
    build_plan(Workflow("w", (three,)))
    deep = the_problem(group("z", three))
    assert (deep.code, deep.task) == ("schema", "z.a.b.c")
    maps = group("a", group("b", task("d", map=OVER), map=OVER), map=OVER)
    build_plan(Workflow("w", (maps,)))
    deeper = group("a", group("b", group("c", task("d", map=OVER), map=OVER), map=OVER), map=OVER)
    assert the_problem(deeper).task == "a.b.c.d"


def test_an_empty_group() -> None:
    assert the_problem(group("g")).code == "schema"


class TestCycles:
    def test_are_written_out(self) -> None:
        problem = the_problem(task("a", "c"), task("b", "a"), task("c", "b"))
        assert problem.message.startswith("a → b → c → a is a cycle")
        assert problem.path == ("tasks", "a", "depends_on", 0)

    def test_one_for_each_component_and_none_for_what_merely_follows(self) -> None:
        found = problems_of(
            task("a", "b"),
            task("b", "a"),
            task("c", "b"),
            task("x", "z", "y"),
            task("y", "x"),
            task("z", "y"),
            task("q"),
        )
        assert [(p.code, p.message.split(" is")[0]) for p in found] == [
            ("cycle", "a → b → a"),
            ("cycle", "x → y → x"),
        ]

    def test_through_references_and_groups(self) -> None:
        found = problems_of(
            task("a", with_={"x": "${{ tasks.z.output }}"}),
            replace(group("g", task("m"), task("n", "m")), depends_on=("a",)),
            task("z", "g"),
        )
        assert [p.message.split(" is")[0] for p in found] == ["a → g.m → g.n → z → a"]

    def test_through_a_task_that_its_own_group_waits_for(self) -> None:
        found = problems_of(
            replace(group("g", task("m"), task("n", "m")), depends_on=("a",)), task("a", "g.m")
        )
        assert [p.message.split(" is")[0] for p in found] == ["a → g.m → a"]

    def test_long_ones_are_shortened(self) -> None:
        ring = [task(f"t{n:05d}", f"t{(n - 1) % 20_000:05d}") for n in range(20_000)]
        problem = the_problem(*ring)
        assert "(19,980 more)" in problem.message
        assert len(problem.message) < 500

    def test_a_ring_beyond_networkx(self) -> None:
        ring = [task(f"t{n:06d}", f"t{(n - 1) % 100_001:06d}") for n in range(100_001)]
        assert the_problem(*ring).code == "cycle"


class TestVisibility:
    def test_nobody_sees_into_a_map(self) -> None:
        inside = group("g", task("m"), map=OVER)
        for reader in (task("z", "g.m"), task("z", with_={"x": '${{ tasks["g.m"].output }}'})):
            problem = the_problem(inside, reader)
            assert problem.code == "not_visible"
            assert '"g"' in (problem.hint or "")

    def test_not_even_the_output(self) -> None:
        problem = the_problem(group("g", task("m"), map=OVER), output='${{ tasks["g.m"].output }}')
        assert (problem.code, problem.path) == ("not_visible", ("output",))

    def test_but_siblings_in_the_item_do(self) -> None:
        build_plan(Workflow("w", (group("g", group("h", task("m")), task("n", "h.m"), map=OVER),)))

    def test_a_switch_inside_chooses_inside(self) -> None:
        inner = Task("s", Switch((Case("true", ("out",)),)))
        assert the_problem(group("g", inner, map=OVER), task("out")).code == "not_visible"

    def test_a_member_cannot_wait_for_its_group(self) -> None:
        problem = the_problem(group("g", task("m", "g")))
        assert (problem.code, problem.path) == (
            "self_dependency",
            ("tasks", "g", "tasks", "m", "depends_on", 0),
        )

    @pytest.mark.parametrize(
        ("keys", "where"),
        [
            ({"on_failure": (task("alarm", "a"),)}, ("on_failure", "alarm", "depends_on", 0)),
            ({"finally_": (task("close", "a"),)}, ("finally", "close", "depends_on", 0)),
            (
                {"finally_": (task("close", trigger_rule="failed(a)"),)},
                ("finally", "close", "trigger_rule"),
            ),
            (
                {"finally_": (Task("close", Switch((Case("true", ("a",)),))),)},
                ("finally", "close", "switch", "cases", 0, "then", 0),
            ),
            (
                {
                    "finally_": (task("close"),),
                    "on_failure": (task("alarm", with_={"x": "${{ tasks.close.state }}"}),),
                },
                ("on_failure", "alarm", "with", "x"),
            ),
        ],
    )
    def test_the_parts_of_a_run_keep_to_themselves(self, keys: dict[str, object], where: Path) -> None:
        problem = the_problem(task("a"), **keys)
        assert (problem.code, problem.path) == ("unknown_dependency", where)


class TestScope:
    @pytest.mark.parametrize(
        ("reader", "path", "says"),
        [
            (task("z", when="tasks.a.outptu"), ("when",), 'Did you mean "output"?'),
            (task("z", when="tasks.aa.output"), ("when",), 'Did you mean "a"?'),
            (task("z", when="params.dya"), ("when",), 'Did you mean "day"?'),
            (task("z", when="run.state == 'x'"), ("when",), "on_failure, finally"),
            (task("z", when="run.idd == 'x'"), ("when",), 'Did you mean "id"?'),
            (task("z", when="parms.day"), ("when",), 'Did you mean "params"?'),
            (task("z", when="item > 1"), ("when",), "inside a map"),
            (task("z", with_={"k": [1, "${{ item }}"]}), ("with", "k", 1), "inside a map"),
            (task("z", map=Map(over="${{ item }}")), ("map", "over"), "inside a map"),
            (task("z", when="error.status == 1"), ("when",), "only in retry.rules"),
            (task("z", when="output.done"), ("when",), "poll and compensate"),
            (task("z", when="loop.index > 1"), ("when",), "a loop"),
            (Task("z", Shell(argv=("x", "${{ secrets.k }}"))), ("shell", "argv", 1), "secret"),
            (Task("z", Gate("1 +")), ("gate", "when"), ""),
            (Task("z", Sleep(until="${{ params.day")), ("sleep", "until"), ""),
            (
                Task("z", Switch((Case("true", ("aa",)),))),
                ("switch", "cases", 0, "then", 0),
                'Did you mean "a"?',
            ),
        ],
    )
    def test_what_is_not_there(self, reader: Task, path: Path, says: str) -> None:
        problem = the_problem(task("a"), reader, params={"day": {}})
        assert problem.code in ("invalid_expression", "unknown_dependency")
        assert problem.path == ("tasks", "z", *path)
        assert says in str(problem)

    @pytest.mark.parametrize(
        "reader",
        [
            task("z", with_={"x": "${{ secrets.k }}"}, env={"y": "Bearer ${{ secrets.k }}"}),
            task("z", poll=Poll(timedelta(1), "output.done && tasks.a.output")),
            task("z", compensate=task("undo", with_={"x": "${{ output }} ${{ params.day }}"})),
            task("z", when="run.date > params.day && event.kind == 'x'"),
        ],
    )
    def test_what_is(self, reader: Task) -> None:
        build_plan(Workflow("w", (task("a"), reader), params={"day": {}}))

    def test_defaults_of_parameters_know_the_run_and_the_event_only(self) -> None:
        build_plan(Workflow("w", (task("a"),), params={"x": {"default": "${{ run.date }}${{ event.x }}"}}))
        problem = the_problem(task("a"), params={"x": {"default": "${{ params.x }}"}})
        assert problem.path == ("params", "x", "default")

    def test_keys_of_concurrency_know_no_tasks(self) -> None:
        build_plan(Workflow("w", (task("a"),), params={"x": {}}, concurrency=(Concurrency("params.x"),)))
        problem = the_problem(task("a"), concurrency=(Concurrency("tasks.a.output"),))
        assert (problem.code, problem.path) == ("invalid_expression", ("concurrency", 0, "key"))

    def test_one_id_cannot_mean_two_tasks_in_one_group(self) -> None:
        inner = group("g", task("a"), output="${{ tasks.a.output }}", when="tasks.a.output")
        assert "would mean both" in the_problem(task("a"), inner).message

    def test_the_second_look_is_asked_once_for_each_text(self) -> None:
        asked: list[str] = []

        def check(expression: Expression) -> str | None:
            asked.append(expression.text)
            return "no such function" if "f(" in expression.text else None

        tasks = (
            task("a", when="size(params.x)>1"),
            task("b", when="size(params.x) > 1"),
            task("c", when="params.x"),
        )
        build_plan(Workflow("w", tasks, params={"x": {}}), check=check)
        assert asked == ["size(params.x)>1"]

    def test_and_what_it_finds_is_a_problem(self) -> None:
        with pytest.raises(InvalidWorkflow) as caught:
            build_plan(
                Workflow("w", (task("a", when="1 > 2"),)), check=lambda expression: f"not {expression.text}"
            )
        (problem,) = caught.value.problems
        assert (problem.code, problem.message, problem.path) == (
            "invalid_expression",
            "not 1>2",
            ("tasks", "a", "when"),
        )


class TestRules:
    @pytest.mark.parametrize("rule", ["all_don", "success(", "success(a) and done(a)", "ALL_DONE"])
    def test_one_that_cannot_be_read(self, rule: str) -> None:
        problem = the_problem(task("a"), task("z", trigger_rule=rule))
        assert (problem.code, problem.path) == ("invalid_trigger_rule", ("tasks", "z", "trigger_rule"))

    def test_always_and_a_map_that_must_be_waited_for(self) -> None:
        generated = Map(over="${{ tasks.a.output }}")
        problem = the_problem(task("a"), task("z", trigger_rule="always", map=generated))
        assert (problem.code, problem.task) == ("invalid_trigger_rule", "z")
        build_plan(Workflow("w", (task("a"), task("z", "a", trigger_rule="always", map=OVER))))

    @pytest.mark.parametrize(
        "keys", [{"max_parallel": 2}, {"tolerate": 1}, {"fail_fast": True}, {"on_empty": "succeed"}]
    )
    def test_keys_that_need_a_map(self, keys: dict[str, object]) -> None:
        problem = the_problem(task("z", **keys))
        assert (problem.code, problem.path) == ("schema", ("tasks", "z", *keys))
        build_plan(Workflow("w", (task("z", map=OVER, **keys),)))


class TestWarnings:
    def test_none_of_an_ordinary_workflow(self) -> None:
        tasks = (
            Task("s", Switch((Case("run.trigger == 'manual'", ("a",)),), ("b",))),
            task("a"),
            task("b"),
            task("join", "a", "b", trigger_rule="none_failed_min_one_success"),
            task("down", teardown_of=("a",)),
            task("after", "join", when="tasks.join.output.ok"),
        )
        assert warnings_of(*tasks, finally_=(task("close", when="tasks.a.state == 'failed'"),)) == []

    @pytest.mark.parametrize(
        ("tasks", "who"),
        [
            ((task("a", when="false"),), ["a"]),
            ((Task("a", Gate("false")), task("b", "a")), ["a"]),
            ((Task("s", Switch((Case("true", ("a",)),))), task("a"), task("b", "s")), ["b"]),
            (
                (
                    Task("s", Switch((Case("true", ("a",)),), ("b",))),
                    task("a"),
                    task("b"),
                    task("c", "a", "b"),
                    task("d", "c"),
                ),
                ["c"],
            ),
            (
                (
                    Task("s", Switch((Case("true", ("a",)), Case("true", ("b",))), ("a", "b"))),
                    task("a"),
                    task("b"),
                    task("c", "a", "b"),
                ),
                [],
            ),
            (
                (
                    Task("s", Switch((Case("true", ("g",)),), ("b",))),
                    group("g", task("m")),
                    task("b"),
                    task("c", "g", "b"),
                ),
                ["c"],
            ),
            ((Task("s", Switch(python="m:f")), task("a", "s")), []),
        ],
    )
    def test_never_runs(self, tasks: tuple[Task, ...], who: list[str]) -> None:
        assert [w.task for w in warnings_of(*tasks) if w.code == "never_runs"] == who

    def test_a_task_that_a_chosen_one_leads_to_is_not_skipped_by_the_switch(self) -> None:
        tasks = (
            Task("s", Switch((Case("true", ("a",)),), ("b",))),
            task("a"),
            task("b"),
            task("c", "s", "a", trigger_rule="all_done"),
        )
        assert [w for w in warnings_of(*tasks) if w.code == "never_runs"] == []

    def test_reference_in_rule(self) -> None:
        reader = task(
            "z", "a", trigger_rule="one_failed", with_={"x": "${{ tasks.b.output }}${{ tasks.a.output }}"}
        )
        found = [w for w in warnings_of(task("a"), task("b"), reader) if w.code == "reference_in_rule"]
        assert [(w.task, w.path) for w in found] == [("z", ("tasks", "z", "with", "x"))]
        assert '"b"' in found[0].message
        assert found[0].hint

    @pytest.mark.parametrize(("rule", "count"), [("all_success", 1), ("all_skipped", 1), ("all_done", 0)])
    def test_state_is_known(self, rule: str, count: int) -> None:
        reader = task("z", "a", trigger_rule=rule, when="tasks.a.state == 'failed'")
        found = [w for w in warnings_of(task("a"), reader) if w.code == "state_is_known"]
        assert len(found) == count

    @pytest.mark.parametrize(
        ("tasks", "who"),
        [
            ((task("a"), task("z", "a", trigger_rule="one_failed")), ["z"]),
            ((task("a"), task("z", "a", trigger_rule="all_done")), ["z"]),
            ((task("a"), task("z", "a", trigger_rule="success(a)")), ["z"]),
            ((task("a"), task("b", "a"), task("z", "a", trigger_rule="all_done")), []),
            ((task("a"), task("b", "a"), task("z", "b", trigger_rule="all_done")), ["z"]),
            ((task("a"), task("z", "a", trigger_rule="none_failed")), []),
            ((Task("a", Noop()), task("z", "a", trigger_rule="all_done")), []),
            ((task("a"), replace(group("g", task("m")), depends_on=("a",), trigger_rule="all_done")), ["g"]),
            ((group("g", task("m")), task("z", "g", trigger_rule="all_done")), ["z"]),
            (
                (
                    group("g", task("m"), task("n")),
                    task("y", "g.m"),
                    task("z", "g.m", trigger_rule="all_done"),
                ),
                [],
            ),
            (
                (
                    task("a"),
                    replace(group("g", task("m")), depends_on=("a",)),
                    task("z", "a", trigger_rule="all_done"),
                ),
                [],
            ),
        ],
    )
    def test_failure_hidden(self, tasks: tuple[Task, ...], who: list[str]) -> None:
        assert [w.task for w in warnings_of(*tasks) if w.code == "failure_hidden"] == who

    def test_shadowed_id(self) -> None:
        found = warnings_of(task("a"), task("b"), group("g", group("in", task("b")), task("a")))
        assert [(w.code, w.task) for w in found] == [("shadowed_id", "g.a"), ("shadowed_id", "g.in.b")]

    def test_they_are_not_looked_for_again(self) -> None:
        workflow = Workflow("w", (task("a", when="false"),))
        assert build_plan(workflow, checked=True)[1] == ()


def test_fails_run_is_for_what_the_outcome_passes_over() -> None:
    found = the_problem(group("g", task("a", fails_run=True)))
    assert (found.code, found.path, found.task) == (
        "schema",
        ("tasks", "g", "tasks", "a", "fails_run"),
        "g.a",
    )
    assert found.hint == "Leave it out: a failure that nothing downstream handles fails the run."
    build_plan(
        Workflow(
            "w",
            (task("up"), task("down", teardown_of=("up",), fails_run=True)),
            on_failure=(task("alarm", fails_run=True),),
            finally_=(group("g", task("close", fails_run=True)),),
        )
    )
