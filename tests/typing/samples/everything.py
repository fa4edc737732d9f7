"""Every form of the language, typed as a user expects: `reveal_type` says what each call gives."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, assert_type

from headrace.dsl.python import (
    Cache,
    Cron,
    Fail,
    HttpAnswer,
    Kafka,
    Map,
    Retry,
    Rule,
    Skip,
    Timeouts,
    approval,
    child,
    current,
    error,
    event,
    expr,
    finally_,
    gate,
    group,
    http,
    item,
    literal,
    noop,
    outcome,
    secret,
    shell,
    sleep,
    switch,
    task,
    workflow,
)


def plain(size: int, name: str = "") -> dict[str, int]:
    if size > 3:
        raise Skip(name)
    if size > 2:
        raise Fail(f"{current().task} {current().attempt}")
    return {name: size}


wrapped = task(plain)


@task(
    retry=Retry(rules=[Rule(on=error.kind == "Busy", then="retry")]),
    timeouts=Timeouts(total=timedelta(hours=1)),
)
async def load(day: date) -> list[str]:
    return [str(day)]


@task
def three(a: int, b: str, c: float) -> bool:
    return bool(a) and bool(b) and bool(c)


@task
def undo(what: dict[str, int]) -> None: ...


@group
def each(file: str, *, deep: bool = False) -> dict[str, int]:
    return wrapped(3, file)


@group(tags=["grid"])
def pairs(a: int, b: str) -> bool:
    return three(a, b, 0.5)


@workflow
def inner(day: date, full: bool = False) -> list[str]:
    return load(day)


@workflow(
    triggers=[Cron("@daily"), Kafka("orders", key=event.id, when=(event.kind == "day") & (event.n > 1))],
    deadline="1h",
)
def flow(day: date, sizes: list[int]) -> dict[str, Any]:
    files = load(day)
    assert_type(files, list[str])
    assert_type(wrapped(1), dict[str, int])
    assert_type(wrapped.map(sizes), list[dict[str, int]])
    assert_type(wrapped.map(sizes, files), list[dict[str, int]])
    assert_type(three.map(sizes, files, [0.5]), list[bool])
    assert_type(three.map(a=sizes, b=files, c=[0.5]), list[bool])
    assert_type(three.product(a=sizes, b=files, c=[0.5]), list[bool])
    assert_type(three.partial(c=0.5).map(sizes, files), list[bool])
    assert_type(three.partial(c=0.5).options(max_parallel=3).product(a=sizes, b=["x"]), list[bool])
    assert_type(load.map([day]), list[list[str]])
    assert_type(each(files[0]), dict[str, int])
    assert_type(each.options(max_parallel=3).map(files), list[dict[str, int]])
    assert_type(pairs.product(a=sizes, b=files), list[bool])
    assert_type(inner(day), list[str])
    assert_type(inner.map([day]), list[list[str]])
    assert_type(inner.options(wait=False, id="later")(day, full=True), list[str])
    child("refresh").options(version=3)(day=day)
    one = wrapped.options(
        id="one",
        when=(outcome(files).counts.failed == 0) & ~(expr("size(f) > 3", f=files)),
        depends_on=[files],
        trigger_rule="none_failed",
        compensate=undo,
        cache=Cache("1d", key=[day]),
        env={"KEY": secret("key"), "DAY": f"{day}", "TEXT": literal("${{")},
    )(1)
    answer = http("https://e.example", headers={"A": secret("t")}, json={"one": one}, id="call")
    assert_type(answer, HttpAnswer)
    with switch(id="route") as s:
        with s.case(answer.status == 200):
            shell(["echo", item], map=Map(over=files, as_="file"), id="a", depends_on=one)
        with s.case(~(one["x"] > 2)):
            sleep(timedelta(minutes=1))
        with s.default():
            noop(id="b")
    ok = gate(answer.status < 300, id="ok")
    decision = approval("Ship?", form={"note": str}, depends_on=[ok, s])
    with finally_():
        shell("bye", when=decision.approved)
    return {"one": one, "status": answer.status}


async def test_of_a_task() -> Iterator[str]:
    assert_type(await load.fn(date(2030, 1, 2)), list[str])
    return iter(await load.fn(date(2030, 1, 2)))
