"""A span for every attempt, in the trace of its run. Only where somebody traces: without a tracer nothing here is called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headrace.engine.core.keys import written
from headrace.runners.attempt import Attempt, Outcome

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer


class AttemptSpans:
    """Wraps the ways of executing an attempt; what the task itself traces lies within the attempt's span.

    A span says which attempt it was and what came of it, never what it was given, what it returned or what its error says.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def around(self, execute: Callable[[Attempt], Outcome | None]) -> Callable[[Attempt], Outcome | None]:
        """For the lane of threads. What moves to another lane (None) has its span there."""

        def traced(attempt: Attempt) -> Outcome | None:
            with self._current(attempt) as span:
                outcome = execute(attempt)
                if outcome is None:
                    return None
                self._end(span, attempt, outcome)
                return outcome

        return traced

    def around_async(
        self, execute: Callable[[Attempt], Awaitable[Outcome]]
    ) -> Callable[[Attempt], Awaitable[Outcome]]:
        """For the lanes of coroutines."""

        async def traced(attempt: Attempt) -> Outcome:
            with self._current(attempt) as span:
                outcome = await execute(attempt)
                self._end(span, attempt, outcome)
                return outcome

        return traced

    @contextmanager
    def _current(self, attempt: Attempt) -> Iterator[Span]:
        """The attempt's span as the current one. Ended here only when the attempt was broken off; a span that is never ended
        is never sent."""
        from opentelemetry.context import attach, detach
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, set_span_in_context

        dispatch = attempt.dispatch
        job = dispatch.job
        parent = extract({} if dispatch.trace is None else {"traceparent": dispatch.trace})
        span = self._tracer.start_span(
            f"{job.workflow} {job.task_id}",
            parent,
            SpanKind.CONSUMER,
            {
                "headrace.run": dispatch.run_id,
                "headrace.workflow": job.workflow,
                "headrace.task": written(job.task_id, dispatch.map),
                "headrace.attempt": dispatch.attempt,
                "headrace.kind": job.kind,
                "headrace.queue": attempt.queue,
            },
        )
        found = span.get_span_context()
        attempt.traceparent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"
        token = attach(set_span_in_context(span, parent))
        try:
            yield span
        except BaseException:  # interrupted or cancelled: why is known to whoever did it
            self._end(span, attempt, None)
            raise
        finally:
            detach(token)

    @staticmethod
    def _end(span: Span, attempt: Attempt, outcome: Outcome | None) -> None:
        from opentelemetry.trace import StatusCode

        kind = attempt.stopping or "failed" if outcome is None else outcome.kind
        span.set_attribute("headrace.outcome", kind)
        if outcome is not None and outcome.error is not None:
            span.set_attribute("error.type", outcome.error.kind)
        if kind not in ("succeeded", "skipped", "cancelled"):
            span.set_status(StatusCode.ERROR)
        span.end()
