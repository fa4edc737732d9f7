"""The jobs in Python: one file may hold several workflows, each with the plan of the YAML file of its name.

headrace run examples/workflows/jobs/jobs_flow.py:fails_n_times -p times=4
"""

from typing import Annotated, Any

import jobs

from headrace.dsl import Limits, Param, Retry, Rule, error, expr, on_failure, run, shell, task, workflow

split, summarise, merge = task(jobs.split), task(jobs.summarise), task(jobs.merge)
warmest, write_page = task(jobs.warmest), task(jobs.write_page)
compare, copy, remove = task(jobs.compare), task(jobs.copy), task(jobs.remove)
send = task(
    timeout="30s",
    retry=Retry(
        5,
        delay="200ms",
        # a server that refuses the recipient will refuse again
        rules=[Rule(on=expr("'SMTPRecipientsRefused' in e.kinds", e=error), then="fail")],
    ),
)(jobs.send)
stumble = task(retry=Retry(10, delay="20ms", jitter="none"))(jobs.stumble)
give_up = task(retry=Retry(3, delay="20ms", jitter="none"))(jobs.give_up)
tell = task(jobs.tell)

BUSIEST = """\
tail -n +2 data/readings.csv | cut -d , -f 1 | sort | uniq -c | sort -k 1,1nr -k 2,2 | head -n 1 |
  awk '{ printf "{\\"sensor\\": \\"%s\\", \\"readings\\": %d}\\n", $2, $1 }'
"""


@workflow
def process_data(
    file: Annotated[str, Param("A CSV file; counted from this folder.")] = "data/readings.csv",
    chunk: Annotated[int, Param("Lines per chunk.", minimum=1)] = 20,
) -> dict[str, jobs.Summary]:
    """Summarise a file of readings, chunk by chunk."""
    pieces = split(file, chunk)
    label = "lines ${{ piece.first }} to ${{ piece.last }}"
    return merge(summarise.options(as_="piece", label=label, max_parallel=4).map(pieces))


@workflow
def send_email(
    to: Annotated[str, Param(format="email")],
    subject: str = "Good news",
    body: str = "Your job is done.",
    host: str = "127.0.0.1",
    port: int = 1025,
) -> jobs.Sent:
    """Send one message."""
    return send(to, subject, f"{body}\n\n-- \nrun {run.id}\n", host, port)


@workflow
def generate_report(
    title: str = "Readings",
    out: Annotated[str, Param("Where the page goes; counted from this folder.")] = "results",
) -> str:
    """Write an HTML page about the data folder."""
    busiest = shell(BUSIEST, id="busiest")
    figures: dict[str, Any] = {"busiest": busiest, "warmest": warmest("data/readings.csv")}
    return write_page.options(id="write")(f"{title}, {run.date}", figures, out)


@workflow(limits=Limits(active_runs=1))
def sync_data(
    source: Annotated[str, Param("Counted from this folder.")] = "data/source",
    target: Annotated[str, Param("Counted from this folder.")] = "results/mirror",
) -> Any:
    """Mirror a folder."""
    found = compare(source, target)
    copies = copy.partial(source=source, target=target).options(
        as_="file", label="${{ file }}", on_empty="succeed", max_parallel=4
    )
    copied = copies.map(found.differing)
    removed = remove(found.gone, target)
    shell(
        'diff -r "$SOURCE" "$TARGET"',
        id="verify",
        env={"SOURCE": source, "TARGET": target},
        depends_on=[copied, removed],
    )
    return {"copied": expr("size(c)", c=copied), "removed": expr("size(g)", g=found.gone)}


@workflow
def fails_n_times(times: Annotated[int, Param(minimum=0, maximum=9)] = 2) -> str:
    """A job that needs its retries."""
    return stumble(times)


@workflow
def always_fails() -> None:
    """A job that nothing can help."""
    hopeless = give_up()
    shell("echo never", id="celebrate", depends_on=hopeless)
    with on_failure():
        tell(run.failed)
