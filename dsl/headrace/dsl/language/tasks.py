"""Tasks and groups: their keys, which kind knows which, and what `defaults` adds (docs/language.md, sections 2 to 9)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from headrace.dsl.language.keys import (
    COMMON,
    DECIDED,
    DECIDED_TIMEOUTS,
    RUN,
    TABLES,
    TRIED,
    VARIABLES,
    WORK,
    Nested,
)
from headrace.dsl.language.kinds import KINDS, TASK, TASKS
from headrace.dsl.language.policies import (
    TRIES,
)
from headrace.dsl.language.records import Key, Record
from headrace.dsl.language.shapes import (
    Definitions,
    Schema,
    Shape,
    one_of,
)
from headrace.dsl.language.spot import Spot
from headrace.dsl.reading import MAX_TASKS
from headrace.dsl.words import TASK_ID, describe, show
from headrace.engine.core.workflow import (
    EMPTY,
    Group,
    Json,
    Loop,
    Retry,
    Switch,
    Task,
    Timeouts,
)

_EVERY = dict.fromkeys(name for table in TABLES.values() for name in table)
_KIND_WORDS = (*KINDS, "tasks")
_NOT_COMPENSATING = frozenset(
    [
        "depends_on",
        "trigger_rule",
        "map",
        "max_parallel",
        "tolerate",
        "fail_fast",
        "on_empty",
        "teardown_of",
        "compensate",
        "fails_run",
    ]
)
_NEEDS_MAP = ("max_parallel", "tolerate", "fail_fast", "on_empty")
_MERGED = frozenset(("labels", "env"))
_HTTP_ATTEMPT = timedelta(minutes=1)

DEFAULTS = Record(
    "defaults",
    "defaults",
    dict,
    *(key for key in (*COMMON, *RUN, *WORK, VARIABLES) if isinstance(key, Key) and key.name in (
        "queue", "labels", "pool", "retry", "timeout", "timeouts", "env", "priority", "max_parallel", "tolerate"
    )),
)  # fmt: skip


def read_defaults(value: Json, at: Spot) -> dict[str, Any]:
    """The section `defaults`: fields of tasks, those of `retry` and `timeouts` as maps of their own."""
    given = DEFAULTS.given(value, at)
    _join_timeout(given, at)
    return given


def _join_timeout(given: dict[str, Any], at: Spot) -> None:
    """`timeout: 10m` is `timeouts: {attempt: 10m}`."""
    if "timeout" in given:
        attempt = given.pop("timeout")
        if "attempt" in given.get("timeouts", ()):
            at.below("timeout").wrong("timeout and timeouts.attempt are the same.", "Keep one of the two.")
        given["timeouts"] = {**given.get("timeouts", {}), "attempt": attempt}


def read_tasks(value: Json, at: Spot, defaults: Mapping[str, Any], prefix: str = "") -> tuple[Task, ...]:
    """A map of tasks, sorted by id. `prefix`: the full id of the enclosing group with a dot."""
    if not isinstance(value, Mapping):
        hint = "Write each task as a key: `load: {python: …}`." if isinstance(value, list) else None
        at.not_a("a map of ids and tasks", value, hint)
        return ()
    if (
        len(value) > MAX_TASKS
    ):  # planning counts those of all groups together; here none of them was looked at yet
        at.tell(
            "too_large",
            f"the workflow has more than {MAX_TASKS:,} tasks.",
            "Use `map` for many runs of one task, or split the workflow.",
        )
        return ()
    fits = TASK_ID.fullmatch
    found = []
    for name, spec in value.items():
        spot = at.below(name).of_task(prefix + name)
        if not fits(name):
            spot.tell(
                "invalid_task_id",
                f"{show(name)} cannot be the id of a task.",
                TASK.rule,
            )
        found.append(_task(name, spec, spot, defaults))
    found.sort(key=lambda task: task.id)
    return tuple(found)


def _task(name: str, spec: Json, at: Spot, defaults: Mapping[str, Any], *, undoes: bool = False) -> Task:
    if not isinstance(spec, Mapping):
        hint = (
            f"Write {show(name)[1:-1]}: {{python: {spec}}}."
            if isinstance(spec, str) and ":" in spec[1:80]
            else None
        )
        at.wrong(f"a task is a map with one of {one_of(_KIND_WORDS)}, not {describe(spec)}.", hint)
        return Task(name, _UNREADABLE)
    kind = _kind(spec, at)
    if kind is None:
        return Task(name, _UNREADABLE, depends_on=_upstreams(spec))
    table = TABLES[kind]
    word = "switch" if kind == "switch by python" else kind
    given: dict[str, Any] = {}
    for key, value in spec.items():
        known = table.get(key)
        if known is None:
            if key != word:
                _unknown(key, word, table, at)
        elif undoes and key in _NOT_COMPENSATING:
            at.below(key).wrong(f"a compensation has no {key}: it runs when the run has failed.")
        elif isinstance(known, Nested):
            given[known.field] = _task(name, value, at.below(key), defaults, undoes=True)
        else:
            given[known.field] = known.shape.read(value, at.below(key))
    if kind in DECIDED:
        _refuse_tries(given, word, at)
    _join_timeout(given, at)
    if "map" not in given:
        for key in _NEEDS_MAP:
            if key in given:
                at.below(key).wrong(f"{key} means nothing without map.", "Add map, or leave it out.")
    _fill_in(given, table, defaults, DECIDED_TIMEOUTS if kind in DECIDED else None)
    _policies(given, kind)
    if given.get("teardown_of") is not None and given.get("trigger_rule", _TEARDOWN_RULE) != _TEARDOWN_RULE:
        at.below("trigger_rule").tell(
            "invalid_trigger_rule", f"a teardown has the rule {_TEARDOWN_RULE}.", "Leave trigger_rule out."
        )
    if word != "tasks":
        return Task(name, KINDS[word][1].read(spec[word], at.below(word)), **given)
    if undoes:
        at.below("tasks").wrong("a compensation is one task, not a group.", "Call a workflow.")
    return Task(name, _group(spec, at, defaults, given), **given)


_UNREADABLE = Switch()
_TEARDOWN_RULE = "all_done_setup_success"


def _group(spec: Mapping[str, Any], at: Spot, defaults: Mapping[str, Any], given: dict[str, Any]) -> Group:
    inside = at.below("tasks")
    if isinstance(spec["tasks"], Mapping) and not spec["tasks"]:
        inside.tell("empty_workflow", f"the group {show(at.task)} has no tasks.", "Add one.")
    tasks = read_tasks(spec["tasks"], inside, defaults, f"{at.task}.")
    loop: Loop | None = given.pop("loop", None)
    return Group(tasks, given.pop("output", None), loop)


def _kind(spec: Mapping[str, Any], at: Spot) -> str | None:
    """The one kind, told apart by its word."""
    found = [word for word in _KIND_WORDS if word in spec]
    if len(found) == 1:
        if found[0] == "switch" and isinstance(spec["switch"], Mapping) and "python" in spec["switch"]:
            return "switch by python"
        return found[0]
    if found:
        at.wrong(f"a task has exactly one kind; this one has {' and '.join(found)}.", "Make two tasks of it.")
        return None
    before = len(at.problems)
    for key in spec:
        if key not in _EVERY:
            at.unknown_key(key, (*_KIND_WORDS, *_EVERY), "a task")
    if len(at.problems) == before or not any(p.hint and "Did" in p.hint for p in at.problems[before:]):
        at.wrong(f"a task needs a kind: one of {one_of(_KIND_WORDS)}.")
    return None


def _upstreams(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Of a task that cannot be read: what it waits for, so that the graph can be looked at all the same."""
    return (
        tuple(TASKS.read(spec["depends_on"], Spot([])))
        if isinstance(spec.get("depends_on"), str | list)
        else ()
    )


def _unknown(key: str, kind: str, table: Collection[str], at: Spot) -> None:
    what = "a group" if kind == "tasks" else f"{'an' if kind in ('http', 'approval') else 'a'} {kind} task"
    if key not in _EVERY:
        at.unknown_key(key, (kind, *table), what)
        return
    hint = {
        "retry": "It is tried once; retry the python, shell, http and container tasks.",
        "with": "Hand values over by env."
        if "env" in table
        else "Write the values under the kind's own keys.",
        "env": "Hand values over by with." if "with" in table else None,
    }.get(key)
    at.below(key).wrong(f"{what} has no {key}.", hint)


def _refuse_tries(given: Mapping[str, Any], kind: str, at: Spot) -> None:
    """What bounds tries means nothing for a task that no worker takes: it would be passed over in silence."""
    what = f"{'an' if kind == 'approval' else 'a'} {kind} task"
    hint = "Bound the whole wait: timeouts: {total: …}."
    if given.get("timeout") is not None:
        at.below("timeout").wrong(f"{what} has no tries that could take too long.", hint)
    for key, value in given.get("timeouts", {}).items():
        if key not in DECIDED_TIMEOUTS and value is not None:
            at.below("timeouts", key).wrong(f"{what} has no timeouts.{key}: no worker takes it.", hint)


def _fill_in(
    given: dict[str, Any],
    table: Collection[str],
    defaults: Mapping[str, Any],
    timeouts: frozenset[str] | None,
) -> None:
    """Adds the defaults that this kind knows. `timeouts`: the bounds in time that it knows, None for all."""
    for field, value in defaults.items():
        if field not in table or (field in _NEEDS_MAP and "map" not in given):
            continue
        if field == "timeouts" and timeouts is not None:
            value = {key: bound for key, bound in value.items() if key in timeouts}
            if not value:
                continue
        if field not in given:
            given[field] = value
        elif field in _MERGED or field in ("retry", "timeouts"):
            given[field] = {**value, **given[field]} or EMPTY


def _policies(given: dict[str, Any], kind: str) -> None:
    """Makes values of retry and timeouts, whose defaults depend on the kind."""
    if "retry" in given or (TRIED.name in TABLES[kind] and kind != "switch by python"):
        given["retry"] = _tried(given.get("retry", {}))
    timeouts = given.get("timeouts", {})
    if kind == "http" and "attempt" not in timeouts:
        timeouts = {**timeouts, "attempt": _HTTP_ATTEMPT}
    if timeouts:
        given["timeouts"] = Timeouts(**timeouts)
    else:
        given.pop("timeouts", None)


def _tried(given: Mapping[str, Any]) -> Retry:
    return Retry(**{"attempts": TRIES, **given}) if given else _USUAL


_USUAL = Retry(attempts=TRIES)


class TasksShape(Shape):
    """A map of tasks. Read by `read_tasks`, which needs the defaults."""

    def read(self, value: Json, at: Spot) -> Any:
        return read_tasks(value, at, {})

    def schema(self, definitions: Definitions) -> Schema:
        if "task" not in definitions:
            definitions["task"] = {}
            definitions["task"] = _task_schema(definitions)
        return {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": f"^(?:{TASK_ID.pattern})$"},
            "additionalProperties": {"$ref": "#/$defs/task"},
        }


def _task_schema(definitions: Definitions) -> Schema:
    keys = {name: key for table in TABLES.values() for name, key in table.items()}
    properties = {
        word: {**shape.schema(definitions), "description": what} for word, (_, shape, what) in KINDS.items()
    }
    properties["tasks"] = {**TASKS_SHAPE.schema(definitions), "description": "A group of tasks."}
    properties.update({name: key.schema(definitions) for name, key in keys.items()})
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "oneOf": [{"required": [word]} for word in _KIND_WORDS],
    }


TASKS_SHAPE = TasksShape()
