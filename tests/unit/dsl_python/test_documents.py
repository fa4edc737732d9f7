"""What each form of Python says in the words of the language."""

from __future__ import annotations

import pytest

from headrace.dsl.python import BuildError

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
