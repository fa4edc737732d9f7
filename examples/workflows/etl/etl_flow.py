"""The ETL in Python: the same plan, hash for hash, as etl.yaml."""

from typing import Annotated, Any

import warehouse

from headrace.dsl import Defaults, Param, Retry, expr, http, shell, task, workflow

flatten = task(warehouse.flatten)
load = task(warehouse.load)

TALLY = """\
cut -f 3 "$PRODUCTS" | sort | uniq -c | sort -k 1,1nr -k 2,2 |
  awk '{ printf "%s\\"%s\\": %d", (NR > 1 ? ", " : "{"), $2, $1 } END { print (NR ? "}" : "{}") }' > "$HEADRACE_OUTPUT"
"""


@workflow(
    tags=["etl"],
    # HTTP 408, 425, 429 and all 5xx are tried again, other 4xx never. Where the answer has Retry-After, that is how
    # long the wait is at least.
    defaults=Defaults(retry=Retry(5, delay="100ms", max_delay="2s"), timeout="30s"),
)
def etl(
    service: Annotated[str, Param(format="uri")] = "http://127.0.0.1:8765",
    out: Annotated[str, Param("Where files go; counted from this folder.")] = "catalogue",
) -> Any:
    """Copy a catalogue from an HTTP service into a database."""
    index = http(f"{service}/products", id="index")
    pages = http(
        f"{service}${{{{ path }}}}",
        id="page",
        map=index.body.pages,
        as_="path",
        label="${{ path }}",
        max_parallel=3,
    )
    # A shop without discounts answers 404. That is an answer, so it is expected; what it means is said below.
    discounts = http(f"{service}/discounts.csv", id="discounts", expect=[200, 404])
    flat = flatten(expr("pages.map(answer, answer.body)", pages=pages), out)
    tally = shell(TALLY, id="tally", env={"PRODUCTS": flat.file})
    loaded = load(flat.file, expr("d.status == 200 ? d.body : ''", d=discounts), out)
    report = http(
        f"{service}/loads",
        id="report",
        method="POST",
        json={"rows": loaded.rows, "categories": tally},
        expect=[201],
    )
    return {
        "database": loaded.database,
        "rows": loaded.rows,
        "discounted": loaded.discounted,
        "categories": tally,
        "receipt": report.body.receipt,
    }
