"""From asking for a run over HTTP to its first task, in full mode: python -m bench.trigger [--quick]

One API, one engine and one worker on real servers. A run of one task that does nothing is asked for by POST, one after the
other, over a connection that is kept; what counts is the time from sending the request to the start of the task's function,
as the worker saw it, all on this machine's clock. JSON lines.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from datetime import datetime
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from bench import workloads
from bench.cluster import Cluster, servers
from bench.say import say

RUNS, QUICK_RUNS, WARM_UP = 400, 60, 30


async def main(arguments: list[str]) -> None:
    runs = QUICK_RUNS if "--quick" in arguments else RUNS
    async with servers() as where, Cluster(where, HEADRACE_RATE_ASKER="0") as cluster:
        await cluster.owned(await cluster.engine("e1"))
        await cluster.worker("w1")
        _, address = await cluster.api("api")
        chain = await cluster.register(workloads.chain(1, "noop"))
        await cluster.run(chain, WARM_UP)
        waits, answers = await asyncio.to_thread(_measure, address, runs)
        say(
            measure="trigger",
            runs=runs,
            first_task_ms_p50=_ms(waits, 0.5),
            first_task_ms_p95=_ms(waits, 0.95),
            answer_ms_p50=_ms(answers, 0.5),
            answer_ms_p95=_ms(answers, 0.95),
        )


def _measure(address: str, runs: int) -> tuple[list[float], list[float]]:
    """Seconds from each request to the first task's start, and to the answer."""
    waits, answers = [], []
    connection = HTTPConnection(urlsplit(address).netloc)
    for number in range(WARM_UP + runs):
        asked = time.time()
        run = _ask(connection, "POST", "/api/v1/workflows/chain_1/runs", b"{}")["run"]
        answered = time.time()
        _ask(connection, "GET", f"/api/v1/runs/{run}?wait=20s")
        [task] = _ask(connection, "GET", f"/api/v1/runs/{run}/tasks")["items"]
        if number >= WARM_UP:
            waits.append(datetime.fromisoformat(task["started_at"]).timestamp() - asked)
            answers.append(answered - asked)
    connection.close()
    return waits, answers


def _ask(connection: HTTPConnection, method: str, path: str, body: bytes | None = None) -> Any:
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status >= 300:
        raise RuntimeError(f"{method} {path}: {response.status} {answer}")
    return answer


def _ms(seconds: list[float], share: float) -> float:
    return round(statistics.quantiles(seconds, n=100)[round(share * 100) - 1] * 1e3, 2)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
