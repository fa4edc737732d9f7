"""Runs: started, followed, steered."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Literal, TypeAlias

import msgspec

from headrace.api.client import wire
from headrace.api.client.models import (
    BulkApplied,
    BulkPlan,
    End,
    Gap,
    Line,
    LogEvent,
    Moved,
    PlanDetail,
    RunDetail,
    RunEntry,
    RunEvent,
    RunGraph,
    RunStatus,
    TimelineEntry,
)
from headrace.api.client.sync.connection import Connection

Priority: TypeAlias = Literal["high", "normal", "low"]
OnConflict: TypeAlias = Literal["use_existing", "reject", "cancel_existing"]
FINAL = frozenset(("succeeded", "failed", "cancelled"))
WAIT = 30.0
"""Seconds of one request that waits for a run's end; there are as many of them as it takes."""


class _Lines(msgspec.Struct):
    lines: list[Line]


class Runs:
    """`client.runs`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def trigger(
        self,
        workflow: str,
        params: Mapping[str, Any] | None = None,
        *,
        version: int | None = None,
        priority: Priority | None = None,
        key: str | None = None,
        on_conflict: OnConflict = "use_existing",
        scheduled_at: str | None = None,
        select: Sequence[str] = (),
        exclude: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> RunEntry:
        """A run of a registered workflow.

        Args:
            key: a business key, of which one run of the workflow lives at a time; `on_conflict` says what happens when one does.
            scheduled_at: the moment that the run is for, RFC 3339.
            select, exclude: selectors (`a`, `+a`, `a+`, `tag:x`) of the part of the graph that runs; the rest is skipped.
            idempotency_key: the same key makes one run, however often it is asked for within a day, by other processes too. Without
                it one is made for this call.

        Raises ApiError: 404, 409 `workflow_paused` or `key_taken`, 422 `invalid_parameter`.
        """
        body = _start(params, priority, key, on_conflict, scheduled_at, select, exclude, version=version)
        return self._connection.post(RunEntry, "workflows", workflow, "runs", body=body, key=idempotency_key)

    def trigger_inline(
        self,
        workflow: str | Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
        *,
        priority: Priority | None = None,
        key: str | None = None,
        on_conflict: OnConflict = "use_existing",
        scheduled_at: str | None = None,
        select: Sequence[str] = (),
        exclude: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> RunEntry:
        """A run of a graph that comes along, as YAML text or as a mapping; it becomes a version of the workflow that it names.
        Takes an author."""
        body = _start(params, priority, key, on_conflict, scheduled_at, select, exclude, workflow=workflow)
        return self._connection.post(RunEntry, "runs", body=body, key=idempotency_key)

    def list(
        self,
        *,
        workflow: str | None = None,
        state: str | None = None,
        tag: str | None = None,
        created_after: str | None = None,
        created_before: str | None = None,
        text: str | None = None,
        most: int | None = None,
    ) -> Iterator[RunEntry]:
        """Newest first, those for which everything given is true. `text`: how the workflow's name, the run's id or its key begins."""
        return self._connection.pages(
            RunEntry,
            "runs",
            most=most,
            workflow=workflow,
            state=state,
            tag=tag,
            created_after=created_after,
            created_before=created_before,
            text=text,
        )

    def get(self, run: str, *, wait: float = 0.0) -> RunDetail:
        """With `wait`, up to 60 seconds, the answer comes when the run has ended, or as it stands when the time is up."""
        return self._connection.get(RunDetail, "runs", run, wait=wait)

    def wait(self, run: str, *, timeout: float | None = None) -> RunDetail:
        """The run when it has ended. Raises TimeoutError after `timeout` seconds; the run goes on."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = WAIT if until is None else min(WAIT, until - time.monotonic())
            found = self.get(run, wait=max(left, 0.001))
            if found.state in FINAL:
                return found
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"run {run} has not ended after {timeout} s: it is {found.state}")

    def status(self, run: str) -> RunStatus:
        """How it stands and how many task runs are in each state: cheap."""
        return self._connection.get(RunStatus, "runs", run, "status")

    def plan(self, run: str) -> PlanDetail:
        """The plan that it goes by now. Takes an operator."""
        return self._connection.get(PlanDetail, "runs", run, "plan")

    def output(self, run: str) -> Any:
        """Its output, however large, up to 64 MiB. Takes an operator. Raises ApiError 409 `run_not_final` before the end."""
        return self._connection.get(Any, "runs", run, "output")

    def graph(self, run: str) -> RunGraph:
        """Its graph with states."""
        return self._connection.get(RunGraph, "runs", run, "graph")

    def timeline(self, run: str, *, most: int | None = None) -> Iterator[TimelineEntry]:
        """When every attempt was under way."""
        return self._connection.pages(TimelineEntry, "runs", run, "timeline", most=most)

    # -- steering -----------------------------------------------------------------------------------------------------
    # `wait`: seconds that the server waits for an engine's decision. Raises ApiError 409 `refused` with the engine's words.

    def cancel(self, run: str, reason: str | None = None, *, wait: float = 10.0) -> RunEntry:
        """Its teardowns still run. Raises ApiError 409 `run_final` for one that has ended."""
        return self.command(run, "cancel", {"reason": reason}, wait=wait)

    def kill(self, run: str, reason: str | None = None, *, wait: float = 10.0) -> RunEntry:
        """Nothing more of it runs."""
        return self.command(run, "kill", {"reason": reason}, wait=wait)

    def pause(self, run: str, *, wait: float = 10.0) -> RunEntry:
        """Nothing more starts; what runs goes on."""
        return self.command(run, "pause", wait=wait)

    def resume(self, run: str, *, wait: float = 10.0) -> RunEntry:
        """Goes on with a paused run."""
        return self.command(run, "resume", wait=wait)

    def rerun(
        self,
        run: str,
        from_: Literal["failed"] | Sequence[str] = "failed",
        *,
        inputs: Mapping[str, Any] | None = None,
        version: int | Literal["latest"] | None = None,
        wait: float = 10.0,
    ) -> RunEntry:
        """What failed, or the task runs named (`price[7]`), and everything downstream, run again as a new generation.

        Args:
            inputs: what these tasks are given in place of their own.
            version: of the workflow to go on with; the run's own when left out.

        Raises ApiError: 409 `run_not_final`, 422.
        """
        named = from_ if isinstance(from_, str) else list(from_)
        body = {"from": named, "inputs": inputs, "version": version}
        return self.command(run, "rerun", body, wait=wait)

    def command(
        self,
        run: str,
        kind: Literal["cancel", "kill", "pause", "resume", "rerun"],
        body: Mapping[str, Any] | None = None,
        *,
        wait: float = 10.0,
    ) -> RunEntry:
        """Any of these by its name, with the body that the route takes."""
        return self._connection.post(RunEntry, "runs", run, kind, body=body, wait=wait)

    def plan_bulk(
        self,
        action: Literal["cancel", "kill", "pause", "resume", "rerun"],
        filter: Mapping[str, str],
        reason: str | None = None,
    ) -> BulkPlan:
        """What would be done to many runs: `workflow`, `state`, `tag`, `created_after`, `created_before`, `text`; {} is every run."""
        body = {"action": action, "filter": filter, "reason": reason}
        return self._connection.post(BulkPlan, "runs", "bulk", body=body, once=False)

    def apply_bulk(self, plan: BulkPlan | str) -> BulkApplied:
        """Do it, within five minutes of planning it; a second time does nothing twice."""
        confirm = plan if isinstance(plan, str) else plan.plan_id
        return self._connection.post(BulkApplied, "runs", "bulk", body={"confirm": confirm}, once=False)

    # -- following ----------------------------------------------------------------------------------------------------

    def events(self, run: str, *, after: str | None = None) -> Generator[RunEvent, None, None]:
        """Every move of the run and its task runs from its beginning, or from what is to come with `after="now"`, until `End`.
        A connection that breaks is made again and nothing is told twice or left out; where the server says that it left
        something out, there is a `Gap`. Who stops early closes what this gives: `closing`."""
        kinds: Mapping[str, Any] = {"run": Moved, "task": Moved, "gap": Gap, "end": End}
        with closing(self._connection.stream("runs", run, "events", after=after)) as events:
            for event in events:
                kind = kinds.get(event.event)
                if kind is not None:
                    yield wire.read(event.data.encode(), kind)
                    if kind is End:
                        return

    def logs(self, run: str, *, after: str | None = None) -> Generator[LogEvent, None, None]:
        """Every line that its tasks wrote and write, those of one attempt in order, until the run has ended. Takes an operator."""
        with closing(self._connection.stream("runs", run, "logs", after=after)) as events:
            for event in events:
                if event.event == "lines":
                    yield from wire.read(event.data.encode(), _Lines).lines
                elif event.event == "gap":
                    yield wire.read(event.data.encode(), Gap)
                elif event.event == "end":
                    return


def _start(
    params: Mapping[str, Any] | None,
    priority: Priority | None,
    key: str | None,
    on_conflict: OnConflict,
    scheduled_at: str | None,
    select: Sequence[str],
    exclude: Sequence[str],
    **more: Any,
) -> dict[str, Any]:
    return {
        "params": dict(params or {}),
        "priority": priority,
        "key": key,
        "on_conflict": on_conflict,
        "scheduled_at": scheduled_at,
        "select": list(select),
        "exclude": list(exclude),
        **more,
    }
