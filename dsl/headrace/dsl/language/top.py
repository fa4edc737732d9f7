"""The keys of a workflow (docs/language.md, section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.dsl.language.formulas import Template
from headrace.dsl.language.keys import PRIORITY, TAGS
from headrace.dsl.language.kinds import WORKFLOW
from headrace.dsl.language.parameters import PARAMS
from headrace.dsl.language.policies import CONCURRENCY, LIMITS, SOME
from headrace.dsl.language.records import Key, ListOf, OrNull, Record, exclusive
from headrace.dsl.language.shapes import Definitions, Duration, Schema, Shape, Text, Whole, Word
from headrace.dsl.language.spot import Spot
from headrace.dsl.language.tasks import DEFAULTS, TASKS_SHAPE
from headrace.dsl.language.triggers import TRIGGERS, Written, as_map
from headrace.engine.core.workflow import Json

WHAT = "a workflow"
TASK_SECTIONS = ("tasks", "on_failure", "finally")

_KEPT = Written()
_RETENTION = Record(
    "retention",
    "retention",
    as_map,
    Key("success", _KEPT, "How long succeeded runs are kept."),
    Key("failed", _KEPT, "How long failed runs are kept."),
    Key("logs", _KEPT, "How long logs are kept."),
    Key("outputs", _KEPT, "How long outputs are kept."),
    Key("keep_last", Whole(0), "So many runs are kept whatever their age."),
)

_NOTE = Record(
    "notify",
    "a notification",
    as_map,
    Key(
        "on",
        ListOf(Word("succeeded", "failed", "cancelled"), "a list of ends", alone=True, least=1, unique=True),
        "Which ends are told.",
        required=True,
    ),
    Key("webhook", Text(empty=False), "A URL to call."),
    Key("slack", Text(empty=False), "A channel."),
    Key("email", ListOf(Text(empty=False), "a list of addresses", alone=True, least=1), "Addresses."),
)


class _Note(Shape):
    """One notification, to exactly one receiver."""

    def read(self, value: Json, at: Spot) -> Any:
        given = _NOTE.given(value, at)
        if isinstance(value, Mapping):
            exclusive(given, ("webhook", "slack", "email"), at, "a notification")
        return as_map(**given)

    def schema(self, definitions: Definitions) -> Schema:
        return _NOTE.schema(definitions)


KEYS: dict[str, Key] = {
    key.name: key
    for key in (
        Key("workflow", WORKFLOW, "The workflow's name.", required=True, field="name"),
        Key("description", Text(), "For people."),
        Key("tags", TAGS, "Words to find it by."),
        Key("params", PARAMS, "Parameters: names to JSON Schemas. Without a default, one is required."),
        Key("triggers", TRIGGERS, "What starts it by itself."),
        Key("limits", LIMITS, "How much of it may be active at once."),
        Key("concurrency", CONCURRENCY, "Limits over runs that have the same key."),
        Key("priority", PRIORITY, "normal unless given."),
        Key(
            "deadline",
            OrNull(Duration(SOME)),
            "From the run's creation; then it is cancelled and has failed.",
        ),
        Key("defaults", DEFAULTS, "What every task takes that its kind knows."),
        Key("tasks", TASKS_SHAPE, "The tasks, by id; their order has no meaning.", required=True),
        Key("on_failure", TASKS_SHAPE, "Tasks that run when the run has failed."),
        Key("finally", TASKS_SHAPE, "Tasks that run at the end, whatever it is.", field="finally_"),
        Key("output", Template(), "What the run returns; a template."),
        Key("retention", _RETENTION, "How long what is left of runs is kept."),
        Key("notify", ListOf(_Note(), "a list of notifications"), "Who is told about ends."),
    )
}
