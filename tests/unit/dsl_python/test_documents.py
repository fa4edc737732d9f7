"""What each form of Python says in the words of the language."""

from __future__ import annotations

import pytest

from headrace.dsl.python import BuildError
from headrace.engine.core.problems import InvalidWorkflow

from .conftest import Written


def test_a_call_is_a_task_and_its_reference_an_edge(body: Written) -> None:
    document = body(
        """
        files = extract(day, ["eu"])
        price(files[0], tax=0.1)
        """,
        "day: str = 'today'",
    )
    assert document == {
        "workflow": "flow",
        "params": {"day": {"type": "string", "default": "today"}},
        "tasks": {
            "extract": {
                "python": "flows:extract",
                "with": {"day": "${{ params.day }}", "regions": ["eu"]},
            },
            "price": {
                "python": "flows:price",
                "with": {"file": "${{ tasks.extract.output[0] }}", "tax": 0.1},
            },
        },
    }


def test_ids_are_numbered_in_the_order_of_calls(body: Written) -> None:
    tasks = body(
        """
        price("a"); price.options(id="price_2")("b"); price("c")
        for region in ("eu", "us"):
            price.options(id=f"price_{region}")(region)
        """
    )["tasks"]
    assert {name: task["with"]["file"] for name, task in tasks.items()} == {
        "price": "a",
        "price_2": "b",
        "price_3": "c",
        "price_eu": "eu",
        "price_us": "us",
    }


def test_an_id_twice_is_refused_with_the_first_place(body: Written) -> None:
    with pytest.raises(BuildError, match=r'id "x" is already the task at .*flows\.py:\d+') as caught:
        body("price.options(id='x')('a')\nprice.options(id='x')('b')")
    assert caught.value.problems[0].code == "duplicate_task"


def test_maps(body: Written) -> None:
    tasks = body(
        """
        files = extract()
        price.map(files)
        price.partial(tax=0.5).map(["a", files[0]])
        pair.map([1, 2], files)
        pair.map(b=files, a=(1, 2))
        pair.product(a=range(2), b=files)
        price.options(as_="file", label=f"{expr('file')}", max_items=5).map(files)
        pair.partial(a=files).map([1])
        """
    )["tasks"]
    assert tasks["price"] == {
        "python": "flows:price",
        "with": {"file": "${{ item }}"},
        "map": "${{ tasks.extract.output }}",
    }
    assert tasks["price_2"]["map"] == ["a", "${{ tasks.extract.output[0] }}"]
    assert tasks["price_2"]["with"] == {"file": "${{ item }}", "tax": 0.5}
    assert tasks["pair"]["with"] == {"a": "${{ item.a }}", "b": "${{ item.b }}"}
    assert tasks["pair"]["map"] == {"zip": {"a": [1, 2], "b": "${{ tasks.extract.output }}"}}
    assert tasks["pair_2"]["map"] == {"zip": {"b": "${{ tasks.extract.output }}", "a": [1, 2]}}
    assert tasks["pair_3"]["map"] == {"product": {"a": [0, 1], "b": "${{ tasks.extract.output }}"}}
    assert tasks["price_3"] == {
        "python": "flows:price",
        "with": {"file": "${{ file }}"},
        "map": {
            "over": "${{ tasks.extract.output }}",
            "as": "file",
            "label": "${{ file }}",
            "max_items": 5,
        },
    }
    assert tasks["pair_4"]["with"] == {"a": "${{ tasks.extract.output }}", "b": "${{ item }}"}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("price.map('abc')", "not over the letters of 'abc'"),
        ("price.map(3)", "not over an int"),
        ("price.map({'a': 1})", "not over a dict"),
        ("price.map()", "goes over nothing"),
        ("price.product()", "goes over nothing"),
        ("price.options(map=[1]).map([2])", "mapped twice"),
    ],
)
def test_maps_that_are_refused(body: Written, call: str, says: str) -> None:
    with pytest.raises(BuildError, match=says):
        body(call)


def test_every_option_in_the_words_of_the_language(body: Written) -> None:
    [task] = body(
        """
        price.options(
            id="p", trigger_rule="none_failed", when="params.x > 1", env={"A": day},
            max_parallel=2, tolerate="5%", fail_fast=True, on_empty="succeed",
            retry=Retry(attempts=5, delay="1s", factor=1.5, max_delay=timedelta(minutes=5), jitter="none",
                        rules=[Rule(on=error.kind == "Busy", then="retry", delay=timedelta(seconds=90)),
                               Rule(then="fail")]),
            timeout=timedelta(hours=1, minutes=30), timeouts=Timeouts(queue="1h", total="2h", grace="5s"),
            queue="gpu", labels={"zone": "a"}, pool=Pool("db", cost=2),
            cache=Cache("1d", key=[day], version="2"), poll=Poll(every="1m", until=output.done == True),
            fails_run=True, priority="high", concurrency=[Concurrency(key="params.x", limit=2)],
            on_lost="fail", isolation="process", tags=["a"], description="D",
        ).map(["f"])
        """,
        "day: str, x: int = 2",
    )["tasks"].values()
    assert task == {
        "python": "flows:price",
        "with": {"file": "${{ item }}"},
        "map": ["f"],
        "trigger_rule": "none_failed",
        "when": "params.x > 1",
        "env": {"A": "${{ params.day }}"},
        "max_parallel": 2,
        "tolerate": "5%",
        "fail_fast": True,
        "on_empty": "succeed",
        "retry": {
            "attempts": 5,
            "delay": "1s",
            "factor": 1.5,
            "max_delay": "5m",
            "jitter": "none",
            "rules": [
                {"on": 'error.kind == "Busy"', "then": "retry", "delay": "1m30s"},
                {"then": "fail"},
            ],
        },
        "timeout": "1h30m",
        "timeouts": {"queue": "1h", "total": "2h", "grace": "5s"},
        "queue": "gpu",
        "labels": {"zone": "a"},
        "pool": {"name": "db", "cost": 2},
        "cache": {"ttl": "1d", "key": ["${{ params.day }}"], "version": "2"},
        "poll": {"every": "1m", "until": "output.done == true"},
        "fails_run": True,
        "priority": "high",
        "concurrency": [{"key": "params.x", "limit": 2}],
        "on_lost": "fail",
        "isolation": "process",
        "tags": ["a"],
        "description": "D",
    }


def test_options_return_a_copy_and_replace(document: Written) -> None:
    tasks = document(
        """
        @task(retry=2, pool="db")
        def load(x: int) -> int:
            '''Loads it
            all.

            And more.'''
        other = load.options(retry=Retry(attempts=3), pool=None)
        @workflow
        def flow():
            load(1)
            other(2)
        """
    )["tasks"]
    assert tasks["load"] == {
        "python": "flows:load",
        "with": {"x": 1},
        "retry": 2,
        "pool": "db",
        "description": "Loads it all.",
    }
    assert tasks["load_2"]["retry"] == {"attempts": 3}
    assert "pool" not in tasks["load_2"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("price.options(retries=2)", 'no option "retries". Did you mean "retry"?'),
        ("price.options(retry={'attempt': 2})('a')", 'retry has no key "attempt". Did you mean "attempts"?'),
        ("price.options(retry='many')('a')", "retry takes Retry"),
        ("price.options(timeout=60)('a')", 'timeout is a duration: "10m" or a timedelta, not an int'),
        ("price.options(retry=extract())('a')", "retry cannot be a reference"),
        ("price.options(depends_on=3)('a')", "depends_on takes what a task call gave"),
        ("price.options(depends_on=extract)('a')", "extract comes from no task"),
        ("price.options(depends_on=run.id)('a')", "comes from no task"),
        ("price.options(compensate=extract())('a')", "compensate takes a task itself"),
        ("task(price)", "is a task already"),
    ],
)
def test_options_that_are_refused(body: Written, call: str, says: str) -> None:
    with pytest.raises(BuildError) as caught:
        body(call)
    assert says in str(caught.value)


def test_upstreams_by_reference_or_id(body: Written) -> None:
    tasks = body(
        """
        a = extract()
        b = price("x")
        check.options(depends_on=a)([])
        check.options(depends_on=[a, b, a[0], "price"])([])
        check.options(depends_on=(a + b), teardown_of=[a])([])
        """
    )["tasks"]
    assert tasks["check"]["depends_on"] == ["extract"]
    assert tasks["check_2"]["depends_on"] == ["extract", "price"]
    assert tasks["check_3"]["depends_on"] == ["extract", "price"]
    assert tasks["check_3"]["teardown_of"] == ["extract"]


def test_a_compensation_gets_the_output_first(document: Written) -> None:
    tasks = document(
        """
        @task(retry=5)
        def release(reservation: dict, reason: str = "") -> None: ...
        @workflow
        def flow():
            extract.options(compensate=release)()
            extract.options(compensate=release.partial(reason="undone"))()
            extract.options(compensate={"shell": "undo"})()
        """
    )["tasks"]
    assert tasks["extract"]["compensate"] == {
        "python": "flows:release",
        "with": {"reservation": "${{ output }}"},
        "retry": 5,
    }
    assert tasks["extract_2"]["compensate"]["with"] == {
        "reservation": "${{ output }}",
        "reason": "undone",
    }
    assert tasks["extract_3"]["compensate"] == {"shell": "undo"}


def test_constructors(body: Written) -> None:
    tasks = body(
        """
        a = shell("make all")
        b = shell(["convert", a.file, f"{a.name}.png"], id="b", cwd="sub", interpreter=["sh", "-c"])
        shell("echo $F", id="each", env={"F": item, "I": item_index}, map=a.files, max_parallel=3)
        shell("x", id="grid", map=Map(product={"x": [1], "y": a.ys}, as_="p"), env={"X": expr("p.x")})
        http("https://e.example", id="h")
        http("https://e.example/" + "x", id="h2", method="POST", headers={"A": secret("t")}, query={"q": 1},
             json=None, expect=["200-204", 404], redirects=2, timeout="5s")
        container("img", id="c")
        container("img", id="c2", argv=["x", a.b], cpu="1", memory="1GiB", pull="always")
        sleep("10m", id="s")
        sleep(timedelta(days=1), id="s2")
        sleep(until=run.scheduled_at, id="s3")
        sleep(until=datetime(2030, 1, 2, tzinfo=UTC), id="s4")
        signal("paid", id="g")
        signal("paid", id="g2", key=a.id, match=event.x == 1, expires="1h", on_expiry="skip")
        signal(id="g3", any=[Signal("a"), Signal("b", lookback="1h")])
        approval("Ship?", id="p")
        approval(id="p2", form={"note": str, "n": {"type": "integer"}}, roles=["operator"], approvers=2, self_=True,
                 expires="4h", on_expiry="fail", on_reject="skip")
        gate(a.rows > 0, id="q")
        gate(a.rows > 0, id="q2", respect_trigger_rules=True)
        noop(id="n", depends_on=[a, b])
        """
    )["tasks"]
    assert tasks["shell"] == {"shell": "make all"}
    assert tasks["b"] == {
        "shell": {
            "argv": ["convert", "${{ tasks.shell.output.file }}", "${{ tasks.shell.output.name }}.png"],
            "interpreter": ["sh", "-c"],
            "cwd": "sub",
        }
    }
    assert tasks["each"] == {
        "shell": "echo $F",
        "map": "${{ tasks.shell.output.files }}",
        "env": {"F": "${{ item }}", "I": "${{ item_index }}"},
        "max_parallel": 3,
    }
    assert tasks["grid"] == {
        "shell": "x",
        "map": {"product": {"x": [1], "y": "${{ tasks.shell.output.ys }}"}, "as": "p"},
        "env": {"X": "${{ p.x }}"},
    }
    assert tasks["h"] == {"http": "https://e.example"}
    assert tasks["h2"] == {
        "http": {
            "url": "https://e.example/x",
            "method": "POST",
            "headers": {"A": "${{ secrets.t }}"},
            "query": {"q": 1},
            "json": None,
            "expect": ["200-204", 404],
            "redirects": 2,
        },
        "timeout": "5s",
    }
    assert tasks["c"] == {"container": "img"}
    assert tasks["c2"]["container"] == {
        "image": "img",
        "argv": ["x", "${{ tasks.shell.output.b }}"],
        "cpu": "1",
        "memory": "1GiB",
        "pull": "always",
    }
    assert [tasks[name]["sleep"] for name in ("s", "s2", "s3", "s4")] == [
        "10m",
        "1d",
        {"until": "${{ run.scheduled_at }}"},
        {"until": "2030-01-02T00:00:00Z"},
    ]
    assert tasks["g"] == {"signal": "paid"}
    assert tasks["g2"]["signal"] == {
        "name": "paid",
        "key": "tasks.shell.output.id",
        "match": "event.x == 1",
        "expires": "1h",
        "on_expiry": "skip",
    }
    assert tasks["g3"]["signal"] == {"any": [{"name": "a"}, {"name": "b", "lookback": "1h"}]}
    assert tasks["p"] == {"approval": {"title": "Ship?"}} or tasks["p"] == {"approval": "Ship?"}
    assert tasks["p2"]["approval"] == {
        "form": {"note": {"type": "string"}, "n": {"type": "integer"}},
        "roles": ["operator"],
        "approvers": 2,
        "self": True,
        "expires": "4h",
        "on_expiry": "fail",
        "on_reject": "skip",
    }
    assert tasks["q"] == {"gate": "tasks.shell.output.rows > 0"}
    assert tasks["q2"] == {"gate": {"when": "tasks.shell.output.rows > 0", "respect_trigger_rules": True}}
    assert tasks["n"] == {"noop": {}, "depends_on": ["shell", "b"]}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("gate(True)", "gate is True: a plain value"),
        ("sleep()", "one of both"),
        ("sleep('1m', until=run.date)", "one of both"),
        ("sleep(until=datetime(2030, 1, 1))", "no time zone"),
        ("shell(run.id)", "fixed when the workflow is built"),
        ("shell('x', map='abc')", "letters"),
        ("shell('x', id='a', colour=1)", 'shell() has no option "colour"'),
    ],
)
def test_constructors_that_are_refused(body: Written, call: str, says: str) -> None:
    with pytest.raises(BuildError) as caught:
        body(call)
    assert says in str(caught.value)


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


def test_children(document: Written) -> None:
    from pathlib import Path  # noqa: F401

    tasks = document(
        """
        def child_of(day: date, full: bool = False) -> dict: ...
        refresh = workflow(name="refresh_all")(child_of)
        refresh.fn.__module__ = "elsewhere"
        @workflow
        def flow(day: date):
            done = refresh(day)
            refresh.options(id="later", wait=False, on_cancel="abandon", version=3)(day, full=True)
            refresh.partial(full=True).map([day])
            child("by_name").options(wait=False)(day=done.day)
        """
    )["tasks"]
    assert tasks["refresh_all"] == {"workflow": "refresh_all", "with": {"day": "${{ params.day }}"}}
    assert tasks["later"] == {
        "workflow": {"name": "refresh_all", "wait": False, "on_cancel": "abandon", "version": 3},
        "with": {"day": "${{ params.day }}", "full": True},
    }
    assert tasks["refresh_all_2"] == {
        "workflow": "refresh_all",
        "with": {"day": "${{ item }}", "full": True},
        "map": ["${{ params.day }}"],
    }
    assert tasks["by_name"] == {
        "workflow": {"name": "by_name", "wait": False},
        "with": {"day": "${{ tasks.refresh_all.output.day }}"},
    }


def test_the_head_of_a_workflow(document: Written) -> None:
    found = document(
        """
        @workflow(
            name="nightly", tags=["a"], priority="high", deadline=timedelta(hours=8),
            limits=Limits(active_runs=1, active_tasks=5), concurrency=[Concurrency(key="params.x")],
            defaults=Defaults(retry=Retry(attempts=3), queue="q", timeouts=Timeouts(total="1h")),
            triggers=[
                Cron("0 6 * * *", id="n", timezone="Europe/Berlin", overlap="skip", catchup="last", jitter="5m"),
                Every(timedelta(minutes=5), start=datetime(2030, 1, 1, tzinfo=UTC), enabled=False),
                At("2030-01-01T00:00:00Z", params={"x": f"{event.at}"}),
                Kafka("orders", key=event.id, when=(event.kind == "day") & (event.n > 1)),
                Webhook(secret="hook", preset="github"),
                After("other", states=["failed"]),
                Assets(any=["s3://a"]),
            ],
            notify=[{"on": "failed", "webhook": "https://e.example"}],
        )
        def flow(x: int = 1):
            '''Does
            things.

            More.'''
            noop()
        """
    )
    found.pop("tasks")
    assert found == {
        "workflow": "nightly",
        "description": "Does things.",
        "tags": ["a"],
        "priority": "high",
        "deadline": "8h",
        "limits": {"active_runs": 1, "active_tasks": 5},
        "concurrency": [{"key": "params.x"}],
        "defaults": {"retry": {"attempts": 3}, "queue": "q", "timeouts": {"total": "1h"}},
        "triggers": [
            {
                "id": "n",
                "cron": "0 6 * * *",
                "timezone": "Europe/Berlin",
                "overlap": "skip",
                "catchup": "last",
                "jitter": "5m",
            },
            {"every": "5m", "start": "2030-01-01T00:00:00Z", "enabled": False},
            {"at": "2030-01-01T00:00:00Z", "params": {"x": "${{ event.at }}"}},
            {
                "kafka": {"topic": "orders"},
                "key": "event.id",
                "when": 'event.kind == "day" && event.n > 1',
            },
            {"webhook": {"secret": "hook", "preset": "github"}},
            {"after": {"workflow": "other", "states": ["failed"]}},
            {"assets": {"any": ["s3://a"]}},
        ],
        "notify": [{"on": "failed", "webhook": "https://e.example"}],
        "params": {"x": {"type": "integer", "default": 1}},
    }


def test_values_travel_as_json(document: Written) -> None:
    tasks = document(
        """
        from dataclasses import dataclass
        from decimal import Decimal
        from enum import Enum
        from pathlib import PurePosixPath
        from uuid import UUID
        from pydantic import BaseModel
        class Colour(str, Enum):
            RED = "red"
        @dataclass
        class Size:
            width: int
            of: object
        class Model(BaseModel):
            day: date
        @task
        def take(**values: object) -> None: ...
        @workflow
        def flow():
            x = extract()
            take(a=date(2030, 1, 2), b=Colour.RED, c=Size(3, x[0]), d=Model(day=date(2030, 1, 2)), e={1.5, 0.5},
                 f=PurePosixPath("a/b"), g=Decimal("1.10"), h=UUID(int=1), i=(1, None, True), j={"k": [x]},
                 k=datetime(2030, 1, 2, 3, tzinfo=UTC))
        """
    )["tasks"]
    assert tasks["take"]["with"] == {
        "a": "2030-01-02",
        "b": "red",
        "c": {"width": 3, "of": "${{ tasks.extract.output[0] }}"},
        "d": {"day": "2030-01-02"},
        "e": [0.5, 1.5],
        "f": "a/b",
        "g": "1.10",
        "h": "00000000-0000-0000-0000-000000000001",
        "i": [1, None, True],
        "j": {"k": ["${{ tasks.extract.output }}"]},
        "k": "2030-01-02T03:00:00Z",
    }


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("check([object()])", "an object has no JSON form"),
        ("check([float('inf')])", "inf is no JSON number"),
        ("check({1: 2})", "a key of a map is text, not 1"),
        ("check(extract)", "extract is given itself, not its result. Call it: extract(…)."),
        ("check(len)", "len has no JSON form"),
        ("check({'a', 1})", "a set has no order"),
    ],
)
def test_values_that_cannot_travel(body: Written, call: str, says: str) -> None:
    with pytest.raises(BuildError) as caught:
        body(call)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("price()", "price() misses file."),
        ("pair()", "pair() misses a, b."),
        ("price('a', 1, 2)", "price() takes 2 arguments by position, not 3"),
        ("price('a', file='b')", 'price() gets "file" twice'),
        ("price('a', tx=1)", 'price() has no parameter "tx". Did you mean "tax"?'),
        ("price.partial(fil=1)", 'Did you mean "file"?'),
        ("price.map(fil=[1])", 'Did you mean "file"?'),
    ],
)
def test_arguments_are_bound_to_the_signature(body: Written, call: str, says: str) -> None:
    with pytest.raises(BuildError) as caught:
        body(call)
    assert says in str(caught.value)
    assert caught.value.problems[0].place is not None


def test_a_function_with_nameless_parameters_is_refused(document: Written) -> None:
    with pytest.raises(BuildError, match="a worker passes arguments by name"):
        document("@task\ndef f(*xs): ...\n@workflow\ndef flow(): f(1)")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "def make():\n    def inner(): ...\n    return task(inner)\nmade = make()\n@workflow\ndef flow(): made()",
            "inner (line",
        ),
        ("made = task(lambda: 1)\n@workflow\ndef flow(): made()", "a lambda"),
        ("class A:\n    @task\n    def m(self): ...\n@workflow\ndef flow(): A.m(1)", "A.m (line"),
        (
            "@task\ndef f(): ...\ng = f\n@task\ndef f(): ...\n@workflow\ndef flow(): g()",
            "flows:f is not this function",
        ),
    ],
)
def test_functions_that_no_worker_can_import(document: Written, text: str, says: str) -> None:
    with pytest.raises(BuildError) as caught:
        document(text)
    assert says in str(caught.value)
    assert caught.value.problems[0].code == "not_importable"


def test_two_builds_must_agree(document: Written) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        document(
            """
            from itertools import count
            ticks = count()
            @workflow
            def flow():
                price("a")
                price.options(id="b", queue=f"q{next(ticks)}")("b")
            """
        )
    [problem] = caught.value.problems
    assert 'differ at tasks.b.queue: "q0", then "q1"' in problem.message
    assert problem.place is not None
    assert problem.place.line is not None


def test_outside_of_a_workflow_a_task_is_its_function(document: Written) -> None:
    document(
        """
        import asyncio
        @task(retry=3)
        def double(x: int, y: int = 1) -> int:
            return 2 * x + y
        @task
        async def later(x: int) -> int:
            return x
        @group
        def both(x: int) -> int:
            return double(x) + double(x)
        assert double(2) == 5
        assert double.fn(2) == 5
        assert double.partial(x=4)(2) == 10
        assert both(1) == 6
        assert asyncio.run(later.fn(3)) == 3
        assert double.__headrace_fn__ is double.fn
        @workflow
        def flow():
            double(1)
        """
    )


def test_outside_of_a_workflow_the_rest_says_where_it_belongs(document: Written) -> None:
    for text, says in (
        ("shell('x')", "shell() belongs inside a function marked with @workflow"),
        ("price.map([1])", "price.map() belongs inside"),
        ("on_failure().__enter__()", "on_failure() belongs inside"),
        ("switch(id='s')", "switch() belongs inside"),
        ("@workflow\ndef flow(): ...\nflow()", "Run it here with flow.run(…)"),
    ):
        with pytest.raises(BuildError) as caught:
            document(text)
        assert says in str(caught.value)
