# mypy: disable-error-code="empty-body"
from datetime import date, timedelta
from typing import Any

from headrace.dsl.python import (
    Cron,
    Defaults,
    Kafka,
    Limits,
    Pool,
    Retry,
    Rule,
    Timeouts,
    approval,
    child,
    error,
    event,
    expr,
    finally_,
    http,
    on_failure,
    run,
    secret,
    shell,
    task,
    workflow,
)


@task
def extract(day: date, regions: list[str]) -> Any: ...


@task(
    pool=Pool("warehouse", cost=2),
    retry=Retry(
        attempts=5,
        delay="1s",
        factor=2,
        max_delay=timedelta(minutes=5),
        jitter="full",
        rules=[Rule(on=expr("'PermissionError' in e.kinds", e=error), then="fail")],
    ),
    timeouts=Timeouts(queue="1h", attempt="10m", total="1h"),
)
def price(file: str, tax: float = 0.2) -> int: ...


@task
def page(run: str, failed: list[str]) -> None: ...


@task
def close_books(day: date, state: str) -> None: ...


@workflow(
    tags=["sales"],
    triggers=[
        Cron("0 6 * * *", id="nightly", timezone="Europe/Berlin", overlap="skip", catchup="last"),
        Kafka(
            "orders.closed",
            id="closed",
            when=event.kind == "day",
            key=event.id,
            params={"day": event.day},
        ),
    ],
    limits=Limits(active_runs=1, active_tasks=50),
    deadline="8h",
    defaults=Defaults(retry=Retry(attempts=3)),
)
def daily_sales(day: date = run.date, regions: list[str] = ["eu", "us"]) -> Any:  # noqa: B006
    """Load a day's orders, price them per file, publish a report."""
    files = extract(day, regions).files
    file = expr("file")
    prices = price.options(as_="file", label=f"{file}", max_parallel=20, tolerate="5%").map(files)
    check = shell('./check.sh "$ROWS"', env={"ROWS": expr("size(compact(p))", p=prices)}, id="check")
    approve = approval(
        form={"note": str},
        roles=["operator"],
        expires="4h",
        on_expiry="fail",
        id="approve",
        depends_on=check,
    )
    publish = http(
        "https://reports.example/api",
        method="POST",
        headers={"Authorization": f"Bearer {secret('reports')}"},
        json={"day": day, "rows": check.rows},
        id="publish",
        depends_on=approve,
        when=check.rows > 0,
    )
    child("refresh_dashboards").options(id="refresh", depends_on=publish)(day=day)
    with on_failure():
        page.options(id="alert")(run.id, run.failed)
    with finally_():
        close_books.options(id="close")(day, run.state)
    return publish.body
