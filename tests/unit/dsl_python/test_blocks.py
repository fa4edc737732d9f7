"""What switches, sections and groups say in the words of the language."""

from __future__ import annotations

import pytest

from headrace.dsl.python import BuildError

from .conftest import Written


def test_switch_chooses_the_roots_of_its_blocks(body: Written) -> None:
    tasks = body(
        """
        report = check([])
        with switch(id="route", trigger_rule="none_failed") as s:
            with s.case(report.rows > 10):
                a = price("a")
                price.options(id="next")(f"{a}")
                shell("x", id="after", depends_on="next")
                shell("y", id="beside", env={"R": report.rows})
                with switch(id="inner") as t:
                    with t.case(report.ok):
                        noop(id="in")
            with s.case("tasks.check.output.rows > 5"):
                pass
            with s.default():
                noop(id="small")
        """
    )["tasks"]
    assert tasks["route"] == {
        "switch": {
            "cases": [
                {"when": "tasks.check.output.rows > 10", "then": ["price", "beside", "inner"]},
                {"when": "tasks.check.output.rows > 5", "then": []},
            ],
            "default": ["small"],
        },
        "trigger_rule": "none_failed",
    }
    assert tasks["inner"] == {"switch": {"cases": [{"when": "tasks.check.output.ok", "then": ["in"]}]}}
    assert "depends_on" not in tasks["price"]


def test_a_group_in_a_case_waits_only_for_what_it_names_outside(document: Written) -> None:
    tasks = document(
        """
        @group
        def alone(file):
            return pair(price(file), 1)
        @group
        def behind(file, cost):
            return pair.options(id="mine")(price(file), cost)
        @workflow
        def flow():
            with switch(id="route") as s:
                with s.case("params.x"):
                    cost = pair(1, 2)
                    noop(id="price")
                    alone("a")
                    behind("a", cost)
        """
    )["tasks"]
    assert tasks["route"]["switch"]["cases"][0]["then"] == ["pair", "price", "alone"]


def test_switch_by_a_function(document: Written) -> None:
    tasks = document(
        """
        @task
        def choose(rows: int) -> str: ...
        @workflow
        def flow():
            with switch(choose.partial(rows=check([]).rows), id="route") as s:
                with s.case():
                    first = noop(id="a")
                    noop(id="b", depends_on=first)
            noop(id="end", depends_on=s, trigger_rule="none_failed")
        """
    )["tasks"]
    assert tasks["route"] == {
        "switch": {"python": "flows:choose"},
        "with": {"rows": "${{ tasks.check.output.rows }}"},
    }
    assert tasks["a"]["depends_on"] == ["route"]
    assert tasks["b"]["depends_on"] == ["a"]
    assert tasks["end"]["depends_on"] == ["route"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("with switch(id='s') as s:\n    with s.case(): pass", "a case needs a condition"),
        ("with switch(id='s') as s:\n    with s.case(True): pass", "case is True"),
        (
            "with switch(id='s') as s:\n    with s.default(): pass\n    with s.default(): pass",
            "one default",
        ),
        (
            "with switch(id='s') as s:\n    with s.default():\n        with s.case('true'): pass",
            "inside another case",
        ),
        ("with on_failure():\n    with finally_(): pass", "belongs to the workflow"),
    ],
)
def test_blocks_that_are_refused(body: Written, text: str, says: str) -> None:
    with pytest.raises(BuildError, match=says):
        body(text)


def test_sections_share_ids_and_see_all_tasks(body: Written) -> None:
    document = body(
        """
        report = check([])
        with on_failure():
            check(run.failed)
        with finally_():
            last = price(run.state)
            price(report.file, tax=last)
        with on_failure():
            noop(id="more")
        """
    )
    assert list(document["tasks"]) == ["check"]
    assert document["on_failure"]["check_2"]["with"] == {"prices": "${{ run.failed }}"}
    assert list(document["on_failure"]) == ["check_2", "more"]
    assert document["finally"]["price_2"]["with"] == {
        "file": "${{ tasks.check.output.file }}",
        "tax": "${{ tasks.price.output }}",
    }


GROUPS = """
@group
def each(file: str, tax: float = 0.1) -> int:
    '''One file.'''
    cost = price(file, tax)
    return pair(cost, cost)

@group
def grid(a: int, b: int):
    pair(a, b)
"""


def test_groups(document: Written) -> None:
    tasks = document(
        GROUPS
        + """
@workflow
def flow():
    files = extract()
    one = each(files[0])
    all = each.options(max_parallel=4, tolerate=1).partial(tax=0.3).map(files)
    grid.map([1], [2])
    grid.product(a=[1], b=[2])
    check(all)
    check.options(depends_on=one)([])
"""
    )["tasks"]
    assert tasks["each"] == {
        "tasks": {
            "price": {
                "python": "flows:price",
                "with": {"file": "${{ tasks.extract.output[0] }}", "tax": 0.1},
            },
            "pair": {
                "python": "flows:pair",
                "with": {"a": "${{ tasks.price.output }}", "b": "${{ tasks.price.output }}"},
            },
        },
        "output": "${{ tasks.pair.output }}",
        "description": "One file.",
    }
    assert tasks["each_2"]["map"] == {"over": "${{ tasks.extract.output }}", "as": "file"}
    assert tasks["each_2"]["tasks"]["price"]["with"] == {"file": "${{ file }}", "tax": 0.3}
    assert tasks["each_2"]["max_parallel"] == 4
    assert tasks["each_2"]["tolerate"] == 1
    assert tasks["grid"]["map"] == {"zip": {"a": [1], "b": [2]}}
    assert tasks["grid"]["tasks"]["pair"]["with"] == {"a": "${{ item.a }}", "b": "${{ item.b }}"}
    assert tasks["grid_2"]["map"] == {"product": {"a": [1], "b": [2]}}
    assert tasks["check"]["with"] == {"prices": "${{ tasks.each_2.output }}"}
    assert tasks["check_2"]["depends_on"] == ["each"]


def test_a_task_of_a_plain_group_is_named_with_the_group(document: Written) -> None:
    tasks = document(
        """
        @group
        def plain():
            return [price("a"), noop(id="end")]
        kept = []
        @group
        def leaky():
            kept[:] = [price("a")]
        @workflow
        def flow():
            leaky()
            check.options(depends_on=kept[0])(kept[0])
        """
    )["tasks"]
    assert tasks["check"]["with"] == {"prices": '${{ tasks["leaky.price"].output }}'}
    assert tasks["check"]["depends_on"] == ["leaky.price"]


def test_a_task_of_a_mapped_group_is_not_visible_outside(document: Written) -> None:
    with pytest.raises(BuildError, match='runs once for each item of "leaky"') as caught:
        document(
            """
            kept = []
            @group
            def leaky(x):
                kept[:] = [price(x)]
            @workflow
            def flow():
                leaky.map([1])
                check(kept[0])
            """
        )
    assert caught.value.problems[0].code == "not_visible"


def test_an_outer_task_that_a_group_shadows_is_refused(document: Written) -> None:
    with pytest.raises(BuildError, match='inside the group, "price" means the task at'):
        document(
            """
            @group
            def inner(cost):
                return pair(cost, price("b"))
            @workflow
            def flow():
                inner(price("a"))
            """
        )


def test_an_outer_item_that_an_inner_map_hides_is_refused(document: Written) -> None:
    text = """
        @group
        def outer(a, b):
            return pair.partial(a=a){options}.map([1, 2])
        @workflow
        def flow():
            outer.map([1], [2])
        """
    with pytest.raises(BuildError, match='"item" means the item of the inner map here'):
        document(text.replace("{options}", ""))
    tasks = document(text.replace("{options}", '.options(as_="n")'))["tasks"]
    inner = tasks["outer"]["tasks"]["pair"]
    assert inner["with"] == {"a": "${{ item.a }}", "b": "${{ n }}"}
    assert inner["map"] == {"over": [1, 2], "as": "n"}


def test_nested_groups(document: Written) -> None:
    tasks = document(
        """
        @group
        def encode(video, codec):
            return pair(video.id, codec)
        @group
        def each(video):
            return encode.partial(video=video).map(["h264"])
        @workflow
        def flow(videos: list[dict]):
            return each.map(videos)
        """
    )["tasks"]
    inner = tasks["each"]["tasks"]["encode"]
    assert tasks["each"]["map"] == {"over": "${{ params.videos }}", "as": "video"}
    assert inner["map"] == {"over": ["h264"], "as": "codec"}
    assert inner["tasks"]["pair"]["with"] == {"a": "${{ video.id }}", "b": "${{ codec }}"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("@group\ndef g(): pass\n@workflow\ndef flow(): g()", "calls no task"),
        ("@group\ndef g(): g()\n@workflow\ndef flow(): g()", "seems to call itself"),
        (
            "@group\ndef g(params): price(params)\n@workflow\ndef flow(): g.map([1])",
            'cannot be called "params"',
        ),
        ("@group\nasync def g(): ...", "is async or a generator"),
        ("@workflow\ndef flow():\n    yield price('a')", "is async or a generator"),
        ("@group\ndef g(): noop()\n@workflow\ndef flow(): g.options(retry=3)()", 'no option "retry"'),
    ],
)
def test_groups_that_are_refused(document: Written, text: str, says: str) -> None:
    with pytest.raises(BuildError, match=says):
        document(text)
