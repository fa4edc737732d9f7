"""A workflow in the words of the language: as short as it can be said, keys in the order that people write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from headrace.dsl.language.policies import TRIES
from headrace.dsl.language.spacing import spaced, spaced_template
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
    for limit in document.get("concurrency", ()):
        _space(limit, "key")
    for key in ("params", "output"):
        if key in document:
            document[key] = _templates(document[key])
    return _in_order(document, _TOP_ORDER)


def _space(document: Any, *keys: str) -> None:
    """Spaces the bare expressions under these keys."""
    for key in keys:
        if isinstance(document, dict) and isinstance(document.get(key), str):
            document[key] = spaced(document[key])


def _templates(value: Json) -> Json:
    """The value with its templates spaced."""
    if isinstance(value, str):
        return spaced_template(value)
    if isinstance(value, Mapping):
        return {key: _templates(item) for key, item in value.items()}
    return [_templates(item) for item in value] if isinstance(value, list | tuple) else value


def _triggers(triggers: list[Mapping[str, Json]]) -> Iterator[Document]:
    counts: dict[str, int] = {}
    for trigger in triggers:
        kind = next(word for word in TRIGGER_KINDS if word in trigger)
        counts[kind] = counts.get(kind, 0) + 1
        made = without_defaults(trigger, counts[kind])
        _space(made, "when", "key")
        if "params" in made:
            made["params"] = _templates(made["params"])
        yield {key: made[key] for key in sorted(made, key=lambda key: key != kind)}


def _task(task: Document) -> Document:
    usual = any(kind in task for kind in _TRIED)
    if usual:
        task.setdefault("retry", {"attempts": 1})
    if task.get("retry") == {"attempts": TRIES} and usual:
        del task["retry"]
    elif len(task.get("retry", ())) > 1 and task["retry"]["attempts"] == TRIES:
        del task["retry"]["attempts"]
    if "http" in task:
        _timeouts(task)
    if set(task.get("timeouts", ())) == {"attempt"} and task["timeouts"]["attempt"] is not None:
        task["timeout"] = task.pop("timeouts")["attempt"]
    _expressions(task)
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


_TEMPLATED = ("with", "env", "map", "output", "http", "sleep")


def _expressions(task: Document) -> None:
    """Spaces what stands in the task itself."""
    _space(task, "when")
    _space(task.get("gate"), "when")
    _space(task.get("poll"), "until")
    _space(task.get("loop"), "until")
    for rule in task.get("retry", {}).get("rules", ()):
        if rule.get("on") is None:
            rule.pop("on", None)
    for holder, key in (
        *((case, "when") for case in task.get("switch", {}).get("cases", ())),
        *((rule, "on") for rule in task.get("retry", {}).get("rules", ())),
        *((limit, "key") for limit in task.get("concurrency", ())),
    ):
        _space(holder, key)
    signals = [task["signal"]] if "signal" in task else []
    while signals:
        signal = signals.pop()
        _space(signal, "key", "match")
        signals += (*signal.get("any", ()), *signal.get("all", ()))
    for key in _TEMPLATED:
        if key in task:
            task[key] = _templates(task[key])
    for kind, key in (("shell", "argv"), ("container", "argv"), ("approval", "title"), ("cache", "key")):
        if key in task.get(kind, ()):
            task[kind][key] = _templates(task[kind][key])
    if "map" in task:
        order = ("over", "product", "zip", "as", "label", "max_items")
        task["map"] = _in_order(task["map"], order)


def _timeouts(task: Document) -> None:
    """An http task's attempts end after a minute unless it says otherwise."""
    timeouts = task.get("timeouts", {})
    if timeouts.get("attempt") == "1m":
        del timeouts["attempt"]
    if not timeouts:
        task.pop("timeouts", None)


def _in_order(document: Document, order: Sequence[str]) -> Document:
    place = {key: at for at, key in enumerate(order)}
    return dict(sorted(document.items(), key=lambda entry: place.get(entry[0], len(place))))
