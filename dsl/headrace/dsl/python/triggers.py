"""What starts a workflow: a schedule, a message, a webhook, another workflow. Written in `@workflow(triggers=[…])`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from headrace.dsl.python.formulas import View
from headrace.dsl.python.policies import Condition, Duration, Moment, Policy, Write, as_duration, as_moment
from headrace.dsl.python.values import bare, written
from headrace.engine.core.workflow import Json

Overlap = Literal["skip", "queue_one", "queue_all", "cancel_running", "allow"]
Catchup = Literal["none", "last", "all"]


@dataclass(frozen=True, kw_only=True)
class Trigger(Policy):
    """What all triggers share. `params` gives the run's parameters, as templates over `event`."""

    id: str | None = None
    enabled: bool | None = None
    params: Mapping[str, object] | None = None
    priority: Literal["high", "normal", "low"] | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule(Trigger):
    """What triggers by time share. `jitter` spreads the starts; `overlap` says what happens while a run is going on,
    `catchup` what happens to moments that were missed; after `pause_after` failures in a row it is paused."""

    writes: ClassVar[Mapping[str, Write]] = {
        "start": as_moment,
        "end": as_moment,
        "at": as_moment,
        "jitter": as_duration,
        "every": as_duration,
    }

    timezone: str | None = None
    start: Moment | None = None
    end: Moment | None = None
    jitter: Duration | None = None
    overlap: Overlap | None = None
    catchup: Catchup | None = None
    dst: Mapping[str, str] | None = None
    pause_after: int | None = None


@dataclass(frozen=True)
class Cron(Schedule):
    """By a cron line of 5 or 6 fields, or `@daily` and its like."""

    cron: str = field(kw_only=False)


@dataclass(frozen=True)
class Every(Schedule):
    """By a fixed distance."""

    every: Duration = field(kw_only=False)


@dataclass(frozen=True)
class At(Schedule):
    """Once, at a moment."""

    at: Moment = field(kw_only=False)


def _workflow_name(value: object, view: View | None, key: str) -> Json:
    return written(getattr(value, "name", value), view)


@dataclass(frozen=True, kw_only=True)
class _Told(Trigger):
    """What triggers by news share."""

    writes: ClassVar[Mapping[str, Write]] = {"when": bare, "key": bare, "workflow": _workflow_name}
    kind: ClassVar[str]
    inner: ClassVar[tuple[str, ...]]  # the keys that stand under the kind's own

    when: Condition | None = None
    key: Condition | None = None

    def document(self, view: View | None) -> dict[str, Json]:
        document = super().document(view)
        own = {key: document.pop(key) for key in self.inner if key in document}
        return {self.kind: own, **document}


@dataclass(frozen=True)
class Kafka(_Told):
    """By a message on a topic; `key` (over `event`, `message`) removes duplicates and is required."""

    kind: ClassVar[str] = "kafka"
    inner: ClassVar[tuple[str, ...]] = ("topic",)

    topic: str = field(kw_only=False)


@dataclass(frozen=True, kw_only=True)
class Webhook(_Told):
    """By a signed HTTP request; `secret` names the secret that signs it."""

    kind: ClassVar[str] = "webhook"
    inner: ClassVar[tuple[str, ...]] = ("secret", "preset")

    secret: str | None = None
    preset: str | None = None


@dataclass(frozen=True)
class After(_Told):
    """By the end of another workflow's run: the workflow itself, or its name."""

    kind: ClassVar[str] = "after"
    inner: ClassVar[tuple[str, ...]] = ("workflow", "states")

    workflow: object = field(kw_only=False)
    states: Sequence[str] | None = field(default=None, kw_only=True)


@dataclass(frozen=True, kw_only=True)
class Assets(_Told):
    """By news of any, or of all, of these assets."""

    kind: ClassVar[str] = "assets"
    inner: ClassVar[tuple[str, ...]] = ("any", "all")

    any: Sequence[str] | None = None
    all: Sequence[str] | None = None
