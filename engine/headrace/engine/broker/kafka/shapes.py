"""The shapes of envelopes whose messages look different on the way than in memory: reports and dispatches."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from headrace.engine.ports.messages import ArtifactRef, ErrorInfo, Hole, Job

Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Small = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Place = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # the packed indexes of up to three maps; 0: not mapped
Time = Annotated[float, Meta(ge=0, le=253402300799)]  # until the year 9999


class WireReport(Struct, frozen=True, omit_defaults=True):
    """What became of one attempt, or that it started. Times are seconds since 1970, UTC. `output` is any JSON value."""

    # A `Report`, whose output is a JSON value of the envelope and not a text within a text.

    run: Number
    generation: Small
    task: Small
    map: Place
    attempt: Small
    epoch: Number
    n: Number
    kind: Literal["started", "succeeded", "failed", "skipped", "cancelled", "handed_back", "unknown"]
    started_at: Time | None = None
    finished_at: Time | None = None
    output: Raw | UnsetType = UNSET
    artifact: ArtifactRef | None = None
    error: ErrorInfo | None = None
    retry_after: Time | None = None


class WireReports(Struct, frozen=True, tag="Reports"):
    """What a worker says about attempts of runs of one part."""

    worker: str
    incarnation: str
    items: list[WireReport]


class WireDispatch(Struct, frozen=True, omit_defaults=True):
    """One attempt to make. `job` is the place of its job in the envelope's `jobs`, from 0. `inputs` holds the filled
    templates by language key. `priority`: 0 high, 1 normal, 2 low. `trace` is its W3C traceparent."""

    run: Number
    run_id: str
    generation: Small
    task: Small
    map: Place
    attempt: Small
    epoch: Number
    n: Number
    job: Small
    inputs: dict[str, Any]
    holes: list[Hole] = []
    priority: int = 1
    trace: str | None = None


class WireDispatches(Struct, frozen=True, tag="Dispatches"):
    """Attempts for the worker `to`, of runs of one part."""

    to: str
    part: Small
    epoch: Number
    jobs: list[Job]
    items: list[WireDispatch]
