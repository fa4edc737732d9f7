"""A workflow in the words of the language: as short as it can be said, keys in the order that people write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from headrace.dsl.language.policies import TRIES
from headrace.dsl.language.triggers import KIND_WORDS as TRIGGER_KINDS
from headrace.dsl.language.triggers import without_defaults
from headrace.engine.core.canonical import language_document
from headrace.engine.core.workflow import Json, Workflow

Document: TypeAlias = dict[str, Any]

_TRIED = ("python", "shell", "http", "container")
_SHORT = {
    "shell": "run",
    "http": "url",
    "container": "image",
    "workflow": "name",
    "gate": "when",
    "signal": "name",
    "approval": "title",
    "pool": "name",
    "map": "over",
    "retry": "attempts",
}
_TASK_ORDER = [
    "description",
    "tags",
    "python",
    "shell",
    "http",
    "container",
    "workflow",
    "sleep",
    "signal",
    "approval",
    "switch",
    "gate",
    "noop",
    "tasks",
    "with",
    "env",
    "output",
    "map",
    "max_parallel",
    "tolerate",
    "fail_fast",
    "on_empty",
    "loop",
    "depends_on",
    "teardown_of",
    "trigger_rule",
    "when",
    "retry",
    "timeout",
    "timeouts",
    "poll",
    "cache",
    "pool",
    "queue",
    "labels",
    "isolation",
    "on_lost",
    "priority",
    "concurrency",
    "fails_run",
    "compensate",
]
_TOP_ORDER = [
    "workflow",
    "description",
    "tags",
    "params",
    "triggers",
    "limits",
    "concurrency",
    "priority",
    "deadline",
    "tasks",
    "on_failure",
    "finally",
    "output",
    "retention",
    "notify",
]
_SECTIONS = ("tasks", "on_failure", "finally")


def language_of(workflow: Workflow) -> Document:
    """What a file would say for this workflow. Read again, it gives the same value."""
    document = language_document(workflow)
    for name in _SECTIONS:
        if name in document:
            document[name] = {key: _task(task) for key, task in document[name].items()}
    if "triggers" in document:
        document["triggers"] = list(_triggers(document["triggers"]))
    return _in_order(document, _TOP_ORDER)


def _triggers(triggers: list[Mapping[str, Json]]) -> Iterator[Document]:
    counts: dict[str, int] = {}
    for trigger in triggers:
        kind = next(word for word in TRIGGER_KINDS if word in trigger)
        counts[kind] = counts.get(kind, 0) + 1
        made = without_defaults(trigger, counts[kind])
        yield {key: made[key] for key in sorted(made, key=lambda key: key != kind)}


def _task(task: Document) -> Document:
    kinds = [kind for kind in _TRIED if kind in task]
    if kinds:
        retry = task.setdefault("retry", {"attempts": 1})
        if retry == {"attempts": TRIES}:
            del task["retry"]
        elif len(retry) > 1 and retry.get("attempts") == TRIES:
            del retry["attempts"]
    if "http" in task:
        _timeouts(task)
    if set(task.get("timeouts", ())) == {"attempt"} and task["timeouts"]["attempt"] is not None:
        task["timeout"] = task.pop("timeouts")["attempt"]
    if task.get("switch") == {}:
        task["switch"] = {"default": []}
    for key, short in _SHORT.items():
        value = task.get(key)
        if isinstance(value, dict) and list(value) == [short]:
            task[key] = value[short]
    if "compensate" in task:
        undo = _task(task["compensate"])
        undo.pop("id", None)
        task["compensate"] = undo
    if "tasks" in task:
        task["tasks"] = {key: _task(inner) for key, inner in task["tasks"].items()}
    return _in_order(task, _TASK_ORDER)


def _timeouts(task: Document) -> None:
    """An http task's attempts end after a minute unless it says otherwise."""
    timeouts = task.get("timeouts", {})
    if timeouts.get("attempt") == "1m":
        del timeouts["attempt"]
    if not timeouts:
        task.pop("timeouts", None)


def _in_order(document: Document, order: list[str]) -> Document:
    place = {key: at for at, key in enumerate(order)}
    return dict(sorted(document.items(), key=lambda entry: place.get(entry[0], len(place))))
