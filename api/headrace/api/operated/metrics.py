"""Metrics for Prometheus: what engine, worker and API count themselves, put into words when somebody scrapes.

Labels are few by design: states, queues, classes, workers, routes by their templates. Never a run, a task, a project or a
user, whose number nobody bounds. docs/operations.md lists every metric.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from headrace.engine.core.states import RunState, TaskState

if TYPE_CHECKING:
    from headrace.api.office import Office
    from headrace.api.operated.lag import Lag
    from headrace.api.operated.requests import Requests
    from headrace.engine.shell.figures import Histogram
    from headrace.engine.shell.outlook import Outlook
    from headrace.runners.worker import Worker

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LOOKS = 3
CLASSES = ("high", "normal", "low")
_logger = logging.getLogger(__name__)

Source = Callable[[], Iterable[Metric]]


class Metrics:
    """Everything that one process shows. Each source is asked at every scrape; one that fails is left out and logged, for a
    scrape that fails tells nothing at all."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        for source in self._sources:
            try:
                yield from _told(source)
            except Exception:
                _logger.exception("some metrics cannot be told")

    def text(self) -> bytes:
        """In Prometheus' text format. Safe from any thread."""
        return generate_latest(self._registry)


def _told(source: Source) -> list[Metric]:
    """What a source says. It looks from this thread at what another one changes, and where that was noticed it looks again."""
    for _ in range(LOOKS):
        with suppress(RuntimeError):  # a dict changed its size
            return list(source())
    return list(source())


def of_engine(outlook: Outlook) -> Source:
    """What an engine counts and how it stands."""

    def source() -> Iterator[Metric]:
        figures, counters = outlook.figures, outlook.counters
        runs, tasks = outlook.runs(), outlook.tasks()
        yield _by(
            "headrace_runs",
            "Live runs in memory.",
            "state",
            {s.word: runs[s.word] for s in RunState if not s.final},
        )
        yield _by(
            "headrace_tasks", "Task runs of live runs.", "state", {s.word: tasks[s.word] for s in TaskState}
        )
        yield _counts(
            "headrace_runs_ended",
            "Runs that ended.",
            "state",
            {s.word: figures.ended[s] for s in RunState if s.final},
        )
        moved = {s.word: figures.moves[s] for s in TaskState if s is not TaskState.PENDING}
        yield _counts("headrace_task_moves", "Moves of task runs, by the state they led to.", "state", moved)
        yield _count(
            "headrace_retries", "Attempts that failed and are tried again.", figures.moves[TaskState.RETRYING]
        )
        yield _count("headrace_dead_letters", "Attempts that failed for good.", figures.dead_letters)
        line = GaugeMetricFamily(
            "headrace_line_depth", "Ready task runs that wait for a worker.", labels=("queue", "class")
        )
        for queue, depths in sorted(outlook.depths().items()):
            for word, depth in zip(CLASSES, depths, strict=True):
                line.add_metric((queue, word), depth)
        yield line
        yield from _workers(outlook)
        yield _gauge("headrace_in_flight", "Attempts that workers have.", outlook.in_flight)
        yield _gauge("headrace_reports_unread", "Reports received and not yet decided.", outlook.unread)
        yield _gauge(
            "headrace_sent_unacknowledged",
            "Attempts sent that Kafka has not acknowledged.",
            outlook.unacknowledged,
        )
        yield _gauge(
            "headrace_parts_owned", "Parts of the database that this engine decides for.", outlook.parts
        )
        yield _gauge("headrace_runs_to_load", "Live runs that are still to be loaded.", outlook.to_load)
        yield _gauge("headrace_runs_set_aside", "Runs that cannot be decided.", outlook.broken)
        yield _histogram(
            "headrace_dispatch_seconds",
            "From ready to the committed dispatch (a sample).",
            figures.dispatch_seconds,
        )
        yield _histogram(
            "headrace_first_task_seconds",
            "From a run's creation to its first dispatch.",
            figures.first_task_seconds,
        )
        yield _histogram("headrace_commit_seconds", "Commits of the store.", figures.commit_seconds)
        yield _histogram("headrace_commit_tasks", "Task runs written by one commit.", figures.committed_tasks)
        yield _count("headrace_turns", "Turns of the engine.", counters.turns)
        yield _count("headrace_batches", "Batches committed, one for each part of a turn.", counters.commits)
        yield _count("headrace_dispatched", "Attempts sent.", counters.dispatched)
        yield _count("headrace_stale", "Reports that came too late to count.", counters.stale)
        yield _count("headrace_unreadable", "Messages that could not be read.", counters.unreadable)
        yield _count("headrace_parts_lost", "Parts that another engine took.", counters.parts_lost)
        yield _count(
            "headrace_log_gaps", "Times that job-status did not hold the stored offset.", counters.gaps
        )

    return source


def _workers(outlook: Outlook) -> Iterator[Metric]:
    slots = GaugeMetricFamily("headrace_worker_slots", "Slots of a worker.", labels=("worker", "queues"))
    given = GaugeMetricFamily(
        "headrace_worker_given", "Attempts that this engine has given a worker.", labels=("worker", "queues")
    )
    for seen in outlook.workers():
        named = (seen.worker, ",".join(seen.queues))
        slots.add_metric(named, seen.slots)
        given.add_metric(named, seen.given)
    yield from (slots, given)


def of_worker(worker: Worker) -> Source:
    """What a worker does at the moment and has done."""

    def source() -> Iterator[Metric]:
        running, queues = worker.running, ",".join(worker.queues)
        slots = GaugeMetricFamily("headrace_slots", "Slots of this worker.", labels=("queues", "state"))
        slots.add_metric((queues, "used"), running)
        slots.add_metric((queues, "free"), max(0, worker.slots - running))
        yield slots
        yield _gauge(
            "headrace_attempts_held", "Attempts taken and not yet acknowledged as ended.", worker.held
        )
        yield _count("headrace_attempts_ended", "Attempts whose task came to an end here.", worker.ended)
        yield _gauge("headrace_draining", "1 while it takes nothing more.", int(worker.draining))

    return source


def of_api(office: Office, requests: Requests) -> Source:
    """What an API answers, and who listens to it."""

    def source() -> Iterator[Metric]:
        count = CounterMetricFamily(
            "headrace_api_requests", "Requests answered.", labels=("route", "method", "status")
        )
        seconds = HistogramMetricFamily(
            "headrace_api_seconds", "From a request to the head of its answer.", labels=("route", "method")
        )
        for (route, method, status), answered in sorted(requests.answered.copy().items()):
            count.add_metric((route, method, str(status)), answered)
        for named, taken in sorted(requests.seconds.copy().items()):
            seconds.add_metric(named, _buckets(taken), taken.total)
        yield from (count, seconds)
        yield _gauge("headrace_api_streams", "Clients that follow something live.", office.live.streams)
        yield of_cache(int(office.cache.degraded is not None))

    return source


def of_cache(degraded: int) -> Metric:
    return _gauge("headrace_cache_degraded", "1 while Redis cannot be used.", degraded)


def of_lag(lag: Lag) -> Source:
    """How late the loop of this process is."""

    def source() -> Iterator[Metric]:
        yield _histogram("headrace_loop_lag_seconds", "How late timers of the event loop fire.", lag.late)

    return source


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _by(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    made = GaugeMetricFamily(name, text, labels=(label,))
    for word, value in values.items():
        made.add_metric((word,), value)
    return made


def _counts(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    made = CounterMetricFamily(name, text, labels=(label,))
    for word, value in values.items():
        made.add_metric((word,), value)
    return made


def _histogram(name: str, text: str, taken: Histogram) -> Metric:
    return HistogramMetricFamily(name, text, buckets=_buckets(taken), sum_value=taken.total)


def _buckets(taken: Histogram) -> list[tuple[str, float]]:
    bounds = [*map(str, taken.bounds), "+Inf"]
    return list(zip(bounds, taken.cumulative(), strict=True))
