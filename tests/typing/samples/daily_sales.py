"""The workflow of the documentation, as a user writes it: nothing for the type checker to say."""

from datetime import date

from pydantic import BaseModel

from headrace.dsl import Cron, Retry, on_failure, run, task, workflow


class Report(BaseModel):
    rows: int
    body: str


@task
def extract(day: date, regions: list[str]) -> list[str]:
    return [f"{day}-{region}" for region in regions]


@task(retry=Retry(attempts=5, delay="1s"), timeout="10m", pool="warehouse")
def price(file: str, tax: float = 0.2) -> int:
    return len(file)


@task
async def check(prices: list[int]) -> Report:
    return Report(rows=sum(prices), body="")


@task
def publish(report: Report) -> None: ...


@task
def page(run: str, failed: list[str]) -> None: ...


@workflow(triggers=[Cron("0 6 * * *", timezone="Europe/Berlin")])
def daily_sales(day: date = run.date, regions: list[str] = ["eu", "us"]) -> Report:  # noqa: B006
    files = extract(day, regions)
    prices = price.options(max_parallel=20, tolerate="5%").map(files)
    report = check(prices)
    publish.options(when=report.rows > 0)(report)
    with on_failure():
        page(run.id, run.failed)
    return report
