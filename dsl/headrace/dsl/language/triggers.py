"""What starts a workflow by itself (docs/language.md, section 3).

A trigger is kept as JSON with its defaults filled in: its schedule is judged by whoever keeps schedules, its templates
by whoever receives its events.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from headrace.dsl.json_schema import violations
from headrace.dsl.language.formulas import Bare, Condition, Inputs, template
from headrace.dsl.language.kinds import WORKFLOW
from headrace.dsl.language.records import Key, ListOf, Record, exclusive
from headrace.dsl.language.shapes import (
    Definitions,
    Duration,
    Flag,
    Moment,
    Name,
    Schema,
    Shape,
    Text,
    Whole,
    Word,
    one_of,
)
from headrace.dsl.language.spot import Spot
from headrace.dsl.words import PARAMETER_NAME, WORKFLOW_NAME, show
from headrace.engine.core.expressions import check_names, parse_expression
from headrace.engine.core.problems import did_you_mean
from headrace.engine.core.schedules.timetable import WORDS
from headrace.engine.core.units import format_duration
from headrace.engine.core.workflow import Json

_SAMPLE = datetime(
    2000, 1, 1
)  # before a leap day, so that even `0 0 29 2 *` comes within the years looked at
SCOPE = frozenset(("event", "message"))
"""What the expressions of a trigger may name."""


class _Cron(Shape):
    """Five or six fields, or a word."""

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, str):
            at.not_a("a cron line such as 0 6 * * *", value)
            return value
        written = " ".join(value.split())
        if written.startswith("@"):
            if written not in WORDS:
                hint = did_you_mean(written[:50], WORDS) or f"It is {one_of(list(WORDS))}."
                at.tell("invalid_schedule", f"{show(written)} is no schedule.", hint)
            return written
        if len(written) > 200 or len(written.split(" ")) not in (5, 6):
            at.tell(
                "invalid_schedule",
                f"{show(written)} is no cron line.",
                "It has 5 fields: minute hour day month weekday; a 6th before them is seconds.",
            )
            return written
        wrong = _unusable(written)
        if wrong:
            at.tell("invalid_schedule", f"{show(written)}: {wrong}.")
        return written

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "string", "examples": ["0 6 * * *", "@daily"]}


def _unusable(line: str) -> str | None:
    from headrace.engine.calendars import IanaCalendar

    try:
        return None if any(IanaCalendar().walls(line, _SAMPLE)) else "it never comes"
    except ValueError as problem:
        return str(problem)


class _Zone(Shape):
    """A time zone by its IANA name."""

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, str):
            at.not_a("a time zone such as Europe/Berlin", value)
        elif not _is_zone(value):
            from zoneinfo import available_timezones

            hint = did_you_mean(value[:100], available_timezones()) or "Use a name such as Europe/Berlin."
            at.tell("invalid_schedule", f"{show(value)} is no time zone.", hint)
        return value

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "string", "examples": ["Europe/Berlin"]}


def _is_zone(name: str) -> bool:
    from headrace.engine.calendars import IanaCalendar

    try:
        IanaCalendar().zone(name)
    except ValueError:
        return False
    return True


class Written(Shape):
    """A duration that stays text, in its one spelling."""

    def __init__(self, least: timedelta = timedelta(0)) -> None:
        self.duration = Duration(least)

    def read(self, value: Json, at: Spot) -> Any:
        found = self.duration.read(value, at)
        return None if found is None else format_duration(found)

    def schema(self, definitions: Definitions) -> Schema:
        return self.duration.schema(definitions)


def as_map(**given: Any) -> dict[str, Any]:
    """The given keys as a plain map, lists as lists."""
    return {key: list(item) if isinstance(item, tuple) else item for key, item in given.items()}


_NAME = Name(
    WORKFLOW_NAME,
    "the id of a trigger",
    "Begin with a letter or _, then use letters, digits, _ and -, at most 100.",
)
_SECRET = Name(PARAMETER_NAME, "the name of a secret", "Use letters, digits and _.")
_TOPIC = Name(
    re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII), "a topic", "Use letters, digits, dots, _ and -."
)
_COMMON = (
    Key("id", _NAME, "What the trigger is called; <kind>_<n> unless given."),
    Key("enabled", Flag(), "false: it starts nothing; true unless given."),
    Key("params", Inputs("a parameter"), "The run's parameters; templates over `event`."),
    Key("priority", Word("high", "normal", "low"), "Of the runs that it starts."),
)
_TIMED = (
    Key("timezone", _Zone(), "UTC unless given."),
    Key("start", Moment(), "No run before this."),
    Key("end", Moment(), "No run after this."),
    Key("jitter", Written(), "Spreads the starts by up to this."),
    Key("overlap", Word("skip", "queue_one", "queue_all", "cancel_running", "allow"), "What happens while a run is going on; skip unless given."),
    Key("catchup", Word("none", "last", "all"), "What happens to moments that were missed; last unless given."),
    Key(
        "dst",
        Record(
            "dst",
            "a rule for clock changes",
            as_map,
            Key("gap", Word("after", "skip"), "A moment that the clock jumps over: right after it, or not at all."),
            Key("overlap", Word("first", "last"), "A moment that comes twice: which one counts."),
        ),
        "What happens where the clock changes; {gap: after, overlap: first} unless given.",
    ),
    Key("pause_after", Whole(1), "Failures in a row after which it is paused; never unless given."),
)  # fmt: skip
_TOLD = (
    Key("when", Condition(), "Which events count; a condition over `event` and `message`."),
    Key("key", Bare(), "What makes two events the same: the second one starts nothing."),
)
_STATES = ("succeeded", "failed", "cancelled")
_ASSETS = ListOf(Text(empty=False), "a list of assets", least=1)

_TIMED_DEFAULTS: dict[str, Json] = {
    "timezone": "UTC",
    "jitter": "0s",
    "overlap": "skip",
    "catchup": "last",
    "dst": {"gap": "after", "overlap": "first"},
}


class _Assets(Shape):
    """Any, or all, of some assets."""

    def read(self, value: Json, at: Spot) -> Any:
        given = _ASSET_KEYS.given(value, at)
        exclusive(given, ("any", "all"), at, "assets")
        return as_map(**given)

    def schema(self, definitions: Definitions) -> Schema:
        return _ASSET_KEYS.schema(definitions)


_ASSET_KEYS = Record(
    "assets", "assets", as_map, Key("any", _ASSETS, "Any of these."), Key("all", _ASSETS, "All of these.")
)

KIND_WORDS = ("cron", "every", "at", "kafka", "webhook", "after", "assets")

_KINDS: dict[str, tuple[Key, tuple[Key, ...]]] = {
    "cron": (Key("cron", _Cron(), "5 or 6 fields, or @daily and its like."), _TIMED),
    "every": (Key("every", Written(timedelta(seconds=1)), "A fixed distance."), _TIMED),
    "at": (Key("at", Moment(), "Once, at this time."), _TIMED),
    "kafka": (
        Key("kafka", Record("kafka", "a kafka trigger", as_map, Key("topic", _TOPIC, "The topic.", required=True)), "A message on a topic; needs `key`."),
        _TOLD,
    ),
    "webhook": (
        Key("webhook", Record("webhook", "a webhook", as_map, Key("secret", _SECRET, "The name of the secret that signs it."), Key("preset", Text(empty=False), "Who sends it.")), "A signed HTTP request."),
        _TOLD,
    ),
    "after": (
        Key("after", Record("after", "an after trigger", as_map, Key("workflow", WORKFLOW, "The workflow.", required=True), Key("states", ListOf(Word(*_STATES), "a list of states", least=1, unique=True), "The ends that count; [succeeded] unless given.")), "The end of another workflow's run."),
        _TOLD,
    ),
    "assets": (Key("assets", _Assets(), "News of assets."), _TOLD),
}  # fmt: skip
_TABLES = {
    kind: {key.name: key for key in (own, *beside, *_COMMON)} for kind, (own, beside) in _KINDS.items()
}
_ALL = dict.fromkeys(name for table in _TABLES.values() for name in table)


class Triggers(Shape):
    """The list of triggers, each one kind."""

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, list | tuple):
            at.not_a(
                "a list of triggers",
                value,
                "Begin each trigger with `- `." if isinstance(value, Mapping) else None,
            )
            return ()
        counts: dict[str, int] = {}
        found = [self._one(item, at.below(place), counts) for place, item in enumerate(value)]
        seen: set[str] = set()
        for place, trigger in enumerate(found):
            name = trigger.get("id")
            if name in seen:
                at.below(place).wrong(f"there are two triggers {show(name)}.", "Give one of them another id.")
            seen.add(str(name))
        return tuple(found)

    def _one(self, value: Json, at: Spot, counts: dict[str, int]) -> dict[str, Json]:
        if not isinstance(value, Mapping):
            at.not_a("a trigger (a map)", value)
            return {}
        kinds = [kind for kind in _KINDS if kind in value]
        if not kinds:
            for name in value:
                if name not in _ALL:
                    at.unknown_key(name, _ALL, "a trigger")
            if not at.has_misspelt_key():
                at.wrong(f"a trigger has exactly one of {one_of(KIND_WORDS)}; this one has none.")
            return {}
        if len(kinds) > 1:
            at.wrong(
                f"a trigger has exactly one of {one_of(KIND_WORDS)}; this one has {' and '.join(kinds)}."
            )
        kind = kinds[0]
        counts[kind] = counts.get(kind, 0) + 1
        table = _TABLES[kind]
        what = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} trigger"
        given: dict[str, Json] = {}
        for name, item in value.items():
            if name in table:
                given[name] = table[name].shape.read(item, at.below(name))
            elif name in kinds:
                continue
            elif name in _ALL:
                at.below(name).wrong(f"{what} has no {name}.", f"It has {', '.join(table)}.")
            else:
                at.unknown_key(name, table, what)
        if kind == "kafka" and "key" not in value:
            at.wrong(
                "a kafka trigger needs key: messages come at least once, and the key removes duplicates."
            )
        return _completed(kind, given, counts[kind])

    def schema(self, definitions: Definitions) -> Schema:
        return {
            "type": "array",
            "items": {
                "anyOf": [
                    {
                        "type": "object",
                        "required": [kind],
                        "additionalProperties": False,
                        "properties": {name: key.schema(definitions) for name, key in table.items()},
                    }
                    for kind, table in _TABLES.items()
                ]
            },
        }


def _completed(kind: str, given: dict[str, Json], number: int) -> dict[str, Json]:
    """With every default filled in."""
    made: dict[str, Json] = {"id": f"{kind}_{number}", "enabled": True}
    if kind in ("cron", "every", "at"):
        made.update(_TIMED_DEFAULTS)
        given["dst"] = {**_TIMED_DEFAULTS["dst"], **(given.get("dst") or {})}
    if kind == "after" and isinstance(given.get("after"), dict):
        given["after"] = {"states": ["succeeded"], **given["after"]}
    made.update(given)
    if "params" in made:
        made["params"] = dict(made["params"])
    return made


TRIGGERS = Triggers()


def without_defaults(trigger: Mapping[str, Json], number: int) -> dict[str, Json]:
    """The inverse of filling in: what has to be written. `number`: which of its kind it is, from 1."""
    kind = next(kind for kind in _KINDS if kind in trigger)
    blank = _completed(kind, {}, number)
    made = {key: item for key, item in trigger.items() if key == kind or item != blank.get(key)}
    if kind == "after" and made["after"].get("states") == ["succeeded"]:
        made["after"] = {"workflow": made["after"]["workflow"]}
    return made


def check_against(
    params: Mapping[str, Mapping[str, Json]],
    triggers: tuple[Mapping[str, Json], ...],
    at: Spot,
    workflow: str | None = None,
) -> None:
    """What can be wrong between triggers and parameters, in the names that triggers use, and in what they wait for."""
    for place, trigger in enumerate(triggers):
        below = at.below(place)
        after = trigger.get("after")
        if isinstance(after, Mapping) and workflow is not None and after.get("workflow") == workflow:
            below.below("after", "workflow").tell(
                "cycle",
                f"{workflow} → {workflow} is a cycle: the end of each run would start the next one, for ever.",
                "Name another workflow, or use `every`.",
            )
        given = trigger.get("params", {})
        for name, value in given.items():
            spot = below.below("params", name)
            if name not in params:
                hint = did_you_mean(name, params) or (
                    f"It has {', '.join(params)}." if params else "It has none."
                )
                spot.tell("invalid_parameter", f"the workflow has no parameter {show(name)}.", hint)
                continue
            parsed = template(value, Spot([], spot.path))
            if parsed is None:
                continue
            if parsed.constant:
                for path, message in violations(params[name], value):
                    spot.below(*path).tell("invalid_parameter", f"{name}: {message}")
            for problem in check_names(parsed, SCOPE, params):
                spot.below(*problem.path).tell("invalid_expression", problem.message, problem.hint)
        for key in ("when", "key"):
            if isinstance(trigger.get(key), str):
                for problem in check_names(parse_expression(trigger[key]), SCOPE, params):
                    below.below(key).tell("invalid_expression", problem.message, problem.hint)
        missing = [name for name, schema in params.items() if name not in given and "default" not in schema]
        if missing and trigger:
            plural = "s" if len(missing) > 1 else ""
            below.tell(
                "invalid_parameter",
                f"the trigger {show(trigger.get('id'))} leaves the required parameter{plural} {', '.join(missing)} "
                "without a value.",
                f"Give {'them' if plural else 'it'} under the trigger's params, or a default.",
            )
