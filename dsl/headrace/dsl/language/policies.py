"""Policies of tasks: retries, timeouts, pools, caches, maps, loops (docs/language.md, sections 5, 7 and 8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from headrace.dsl.language.formulas import Bare, Condition, Template, TemplateList, TemplateText
from headrace.dsl.language.records import Key, ListOf, MapOf, OrNull, Record, exclusive
from headrace.dsl.language.shapes import Definitions, Duration, Name, Number, Schema, Shape, Text, Whole, Word
from headrace.dsl.language.spot import Spot
from headrace.dsl.words import PARAMETER_NAME, QUEUE_NAME, SCOPE_NAMES, show
from headrace.engine.core.keys import MAX_ITEMS
from headrace.engine.core.limits import STRATEGIES
from headrace.engine.core.workflow import (
    Cache,
    Concurrency,
    Json,
    Limits,
    Loop,
    Map,
    Poll,
    Pool,
    Retry,
    RetryRule,
    Timeouts,
)

SOME = timedelta(milliseconds=1)
"""The least of durations that must not be nothing."""

QUEUE = Name(QUEUE_NAME, "the name of a queue", "Use a-z, 0-9, dots, _ and -, at most 100.")
POOL_NAME = Name(QUEUE_NAME, "the name of a pool", "Use a-z, 0-9, dots, _ and -, at most 100.")
LABEL = Name(
    re.compile(r"[\w./-]{1,100}", re.ASCII), "a label", "Use letters, digits and . _ / -, at most 100."
)
LABELS = MapOf(LABEL, LABEL, "a map of labels")

RULE = Record(
    "retry_rule",
    "a retry rule",
    lambda on=None, **given: RetryRule(on=on, **given),
    Key("on", OrNull(Condition()), "A condition over `error`; left out, it always matches."),
    Key("then", Word("retry", "fail", "skip"), "What to do: retry, fail or skip."),
    Key("delay", Duration(), "How long to wait before this retry."),
)

RETRY = Record(
    "retry",
    "a retry policy",
    Retry,
    Key("attempts", Whole(1, 1_000_000), "Tries, not repeats; 3 unless given."),
    Key("delay", Duration(), "The first wait; 1s unless given."),
    Key("factor", Number(1, 1_000), "Each wait is this many times the one before; 2 unless given."),
    Key("max_delay", Duration(), "The longest wait; 5m unless given."),
    Key("jitter", Word("full", "none"), "full: each wait is drawn between 0 and its length."),
    Key(
        "rules",
        ListOf(RULE, "a list of rules"),
        "The first rule that matches the error decides; else it is retried.",
    ),
    short="attempts",
)

TRIES = 3
"""How often python, shell, http and container tasks are tried unless they say otherwise; all others once."""

TIMEOUTS = Record(
    "timeouts",
    "timeouts",
    Timeouts,
    Key("queue", OrNull(Duration(SOME)), "From ready to started, waits for pools included."),
    Key("attempt", OrNull(Duration(SOME)), "One try; of an http task 1m unless given."),
    Key("total", OrNull(Duration(SOME)), "From ready to final, retries and polls included."),
    Key(
        "heartbeat",
        Duration(timedelta(seconds=1)),
        "How long a silent worker keeps its lease; 30s unless given.",
    ),
    Key("grace", Duration(), "From SIGTERM to SIGKILL; 10s unless given."),
)

POOL = Record(
    "pool",
    "a pool",
    Pool,
    Key("name", POOL_NAME, "The pool.", required=True),
    Key("cost", Whole(1, 1_000_000), "How many of its slots one task run takes; 1 unless given."),
    short="name",
)

CACHE = Record(
    "cache",
    "a cache",
    Cache,
    Key("ttl", Duration(SOME), "How long an output may be used again.", required=True),
    Key("key", Template(), "What makes two task runs the same; the inputs unless given."),
    Key("version", Text(), "Part of the key: change it to forget what was cached."),
)

POLL = Record(
    "poll",
    "a poll",
    Poll,
    Key("every", Duration(SOME), "How long to wait before it runs again.", required=True),
    Key("until", Condition(), "The condition over `output` that ends it.", required=True),
)

CONCURRENCY = ListOf(
    Record(
        "concurrency",
        "a concurrency limit",
        Concurrency,
        Key("key", Bare(), "What is the same has one limit.", required=True),
        Key("limit", Whole(1, 1_000_000), "How many at once; 1 unless given."),
        Key("strategy", Word(*STRATEGIES), "What happens to what is too much; queue unless given."),
    ),
    "a list of concurrency limits",
)

LIMITS = Record(
    "limits",
    "limits",
    Limits,
    Key("active_runs", OrNull(Whole(1)), "Runs of this workflow at once."),
    Key("active_tasks", OrNull(Whole(1)), "Task runs at once in one run."),
)

LOOP = Record(
    "loop",
    "a loop",
    Loop,
    Key("until", Condition(), "The condition that ends it.", required=True),
    Key("max", Whole(1, 1_000_000), "How often at most; then it fails with not_converged.", required=True),
    Key("delay", Duration(), "How long to wait between rounds."),
)


class _AsName(Shape):
    """What an element is called in expressions."""

    def read(self, value: Json, at: Spot) -> Any:
        if isinstance(value, str) and value in SCOPE_NAMES and value != "item":
            at.wrong(f"{show(value)} has a meaning in expressions already.", "Give the item another name.")
            return value
        return PARAMETER.read(value, at)

    def schema(self, definitions: Definitions) -> Schema:
        return PARAMETER.schema(definitions)


PARAMETER = Name(
    PARAMETER_NAME,
    "a name in expressions",
    "Begin with a letter or _, then use letters, digits and _, at most 100.",
)
_NAMED_LISTS = MapOf(PARAMETER, TemplateList(), "a map of names and lists", least=1)

_MAP = Record(
    "map",
    "a map over items",
    Map,
    Key("over", TemplateList(), "A list, or a template that gives one: one run per element."),
    Key("product", _NAMED_LISTS, "One run per combination, the last name fastest."),
    Key("zip", _NAMED_LISTS, "One run per place in lists of one length."),
    Key("as", _AsName(), "What an element is called; item unless given.", field="as_"),
    Key("label", TemplateText(), "What an item is called for people."),
    Key("max_items", Whole(1, MAX_ITEMS), "More fail the task with map_too_large; 100000 unless given."),
    short="over",
)


class MapShape(Shape):
    """`map`: a list, a lone template, or the long form."""

    def read(self, value: Json, at: Spot) -> Any:
        given = _MAP.given(value, at)
        if not isinstance(value, Mapping):
            return Map(**given)
        if exclusive(given, ("over", "product", "zip"), at, "map") and "zip" in given:
            lengths = {name: len(each) for name, each in given["zip"].items() if isinstance(each, list)}
            if len(set(lengths.values())) > 1:
                said = ", ".join(f"{name} has {count}" for name, count in lengths.items())
                at.below("zip").wrong(f"the lists of a zip need one length: {said}.")
        return Map(**given)

    def schema(self, definitions: Definitions) -> Schema:
        return _MAP.schema(definitions)
