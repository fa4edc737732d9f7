"""What the type checker catches before anything is built. A trailing comment names the codes of each expected error."""

from datetime import date

from headrace.dsl.python import Cron, Retry, Timeouts, group, run, switch, task, workflow


@task
def price(file: str, tax: float = 0.2) -> int:
    return len(file)


@task
async def total(prices: list[int]) -> int:
    return sum(prices)


@task(retries=3)  # E: call-overload untyped-decorator
def misspelt() -> None: ...


@group
def each(file: str) -> int:
    return price(file)


@workflow
def inner(day: date) -> int:
    return 1


@workflow(trigger=[Cron("@daily")])  # E: call-overload untyped-decorator
def wrong_key() -> None: ...


@workflow
def flow(day: date = run.state) -> str:  # E: assignment
    price(3)  # E: arg-type
    price()  # E: call-arg
    price("a", rate=0.1)  # E: call-arg
    total([price("a"), "b"])  # E: list-item
    total(price("a"))  # E: arg-type
    price.map([1, 2])  # E: list-item
    price.map("a", [0.1], [3])  # E: call-overload
    print(total(price.map(["a"])).real.missing)  # E: attr-defined
    price.options(retries=3)("a")  # E: call-arg
    price.options(trigger_rule=3)("a")  # E: arg-type
    price.options(on_empty="fail")("a")  # E: arg-type
    each(3)  # E: arg-type
    each.options(retry=3)  # E: call-arg
    inner("monday")  # E: arg-type
    inner.options(isolation="thread")  # E: call-arg
    Retry(attempts="3")  # E: arg-type
    Timeouts("1h")  # E: call-arg
    with switch(id="s") as s, s.case([]):  # E: arg-type
        pass
    return price("a")  # E: return-value
