"""The daily sales report in Python: the same plan, hash for hash, as daily_sales.yaml."""

from datetime import date
from typing import Annotated

import shop

from headrace.dsl import (
    Cron,
    Limits,
    Param,
    Retry,
    Rule,
    error,
    expr,
    finally_,
    on_failure,
    run,
    shell,
    task,
    workflow,
)

# The functions stay plain Python, to be called and tested as such; `task` makes nodes of them.
extract = task(shop.extract)
price = task(
    retry=Retry(
        attempts=3,
        delay="100ms",
        # a line that is wrong today is wrong in a second too
        rules=[Rule(on=expr("'ValueError' in e.kinds", e=error), then="fail")],
    )
)(shop.price)
publish = task(shop.publish)
alert = task(shop.alert)
close_books = task(shop.close_books)


@workflow(
    tags=["sales"],
    triggers=[Cron("0 6 * * *", id="nightly", timezone="Europe/Berlin")],
    limits=Limits(active_runs=1),
)
def daily_sales(
    day: date = date(2026, 3, 2),  # a real one would say run.date
    regions: list[str] = ["eu", "us"],  # noqa: B006 - written into the plan, never changed
    out: Annotated[str, Param("Where the report goes; counted from this folder.")] = "reports",
) -> shop.Report:
    """Load a day's orders, price them per file, publish a report."""
    files = extract(day, regions, out).files
    # `file` is how the item is called inside the map, as `as: file` does in YAML: the parameter's own name
    prices = price.partial(out=out).options(as_="file", label="${{ file }}", tolerate="20%").map(files)
    check = shell(
        './check.sh "$FOLDER" "$CENTS"',
        id="check",
        env={
            "FOLDER": f"{out}/{day}/priced",
            "CENTS": expr("sum(compact(p).map(sold, sold.cents))", p=prices),
        },
    )
    report = publish.options(when=check.rows > 0)(day, files, prices, check.rows, out)
    with on_failure():
        alert(day, run.failed, out)
    with finally_():
        close_books(day, run.state, out)
    return report
