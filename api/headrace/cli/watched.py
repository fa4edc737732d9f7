"""Metrics of `headrace engine` and `headrace worker`, which answer nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.output import say

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from headrace.engine.shell.outlook import Outlook
    from headrace.runners.worker import Worker

MetricsFlag = Annotated[
    str | None, Parameter(help="Show metrics for Prometheus at host:port, 127.0.0.1:9101 [nowhere].")
]


async def watch(
    place: str | None,
    closing: AsyncExitStack,
    *,
    of_engine: Outlook | None = None,
    of_worker: Worker | None = None,
) -> None:
    """Serve the metrics at `place` until `closing` is left; None: nowhere. Raises Stop."""
    if place is None:
        return
    from headrace.api.operated import metrics
    from headrace.api.operated.lag import Lag
    from headrace.api.operated.serving import NoPlace, served

    sources = [metrics.of_lag(await closing.enter_async_context(Lag().measured()))]
    if of_engine is not None:
        sources.append(metrics.of_engine(of_engine))
    if of_worker is not None:
        sources.append(metrics.of_worker(of_worker))
    try:
        say(f"Metrics at {closing.enter_context(served(metrics.Metrics(*sources), place))}")
    except NoPlace as wrong:
        raise Stop(f"--metrics: {wrong}", status=Status.SERVICE) from None
