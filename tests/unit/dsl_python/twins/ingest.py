# mypy: disable-error-code="empty-body"
from datetime import UTC, datetime, timedelta

from headrace.dsl.python import (
    After,
    At,
    Concurrency,
    Defaults,
    Every,
    Poll,
    Retry,
    Rule,
    Timeouts,
    Webhook,
    error,
    event,
    http,
    item,
    item_index,
    noop,
    output,
    params,
    run,
    secret,
    shell,
    sleep,
    workflow,
)


@workflow(
    triggers=[
        Every("15m", jitter="30s", overlap="queue_one", start=datetime(2030, 1, 1, tzinfo=UTC)),
        At("2030-02-01T12:00:00Z"),
        After("training", states=["succeeded", "failed"], params={"source": event.run}),
        Webhook(secret="hook", when="has(event.source)"),
    ],
    concurrency=[Concurrency(key=params.source, limit=2, strategy="cancel_newest")],
    defaults=Defaults(
        queue="io",
        timeout="5m",
        env={"STAGE": "test"},
        labels={"zone": "a"},
        timeouts=Timeouts(grace=timedelta(seconds=20)),
    ),
)
def ingest(source: str = f"all-{run.date}") -> None:
    found = http(
        f"https://files.example/{source}",
        query={"since": run.scheduled_at},
        expect=[200, 204, "300-302"],
        redirects=1,
        id="list",
        timeout="10s",
        retry=Retry(
            attempts=4,
            rules=[
                Rule(on=error.status == 404, then="skip"),
                Rule(on=error.attempt > 2, then="retry", delay="1m"),
            ],
        ),
    )
    http("https://files.example", method="PUT", json=None, id="post", depends_on=found)
    http("https://files.example", method="POST", form={"a": found.body}, id="send")
    fetch = shell(
        'curl "$URL"',
        interpreter=["sh", "-c"],
        id="fetch",
        map=found.body.files,
        env={"URL": item.url, "N": item_index, "KEY": secret("key")},
        poll=Poll(every="1m", until=output.ready == True),  # noqa: E712
        pool="network",
        max_parallel=5,
    )
    wait = sleep(until=run.scheduled_at, id="wait")
    shell("rm -rf tmp", teardown_of=[fetch], depends_on=wait, id="clean", fails_run=True)
    noop(id="late", depends_on=fetch, trigger_rule="rate(fetch) >= 0.9 && !skipped(list)")
