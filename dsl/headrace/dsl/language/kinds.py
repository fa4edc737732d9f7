"""What each kind of task takes (docs/language.md, section 4). Groups are in `tasks`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from headrace.dsl.language.formulas import Bare, Condition, TemplateText
from headrace.dsl.language.parameters import FORM
from headrace.dsl.language.policies import SOME
from headrace.dsl.language.programs import CONTAINER, Function, HttpShape, PythonShape, ShellShape
from headrace.dsl.language.records import Key, ListOf, Record, exclusive
from headrace.dsl.language.shapes import (
    Definitions,
    Duration,
    Flag,
    Name,
    Schema,
    Shape,
    Text,
    Whole,
    Word,
    moment,
)
from headrace.dsl.language.spot import Spot
from headrace.dsl.words import TASK_ID, WORKFLOW_NAME, describe
from headrace.engine.core.expressions import has_template
from headrace.engine.core.workflow import (
    Approval,
    Case,
    Child,
    Gate,
    Json,
    Kind,
    Noop,
    Signal,
    Sleep,
    Switch,
)
from headrace.engine.ports.waits import SIGNAL_KEPT_SECONDS

WORKFLOW = Name(
    WORKFLOW_NAME,
    "the name of a workflow",
    "Begin with a letter or _, then use letters, digits, _ and -, at most 100.",
)


class TaskName(Name):
    """The id of another task. What cannot be one stays there as text, because the graph is looked at all the same."""

    def read(self, value: Json, at: Spot) -> Any:
        found = super().read(value, at)
        return found if found is not None else str(value)


TASK = TaskName(
    re.compile(rf"{TASK_ID.pattern}(?:\.[A-Za-z0-9_.-]{{1,750}})?", re.ASCII),
    "the id of a task",
    "An id begins with a letter or _, then has up to 249 letters, digits, _ . or -.",
    code="invalid_task_id",
)
TASKS = ListOf(TASK, "an id or a list of ids", alone=True, unique=True)
_ON_END = Word("fail", "skip", "continue")
KEPT = timedelta(seconds=SIGNAL_KEPT_SECONDS)
"""How far back a signal can be looked for."""


# -- what the engine does itself -------------------------------------------------------------------------------------


class _Version(Shape):
    """`latest`, or a version's number."""

    def read(self, value: Json, at: Spot) -> Any:
        if value != "latest" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            at.not_a("latest, or the number of a version", value)
        return value

    def schema(self, definitions: Definitions) -> Schema:
        return {"anyOf": [{"const": "latest"}, {"type": "integer", "minimum": 1}]}


_CHILD = Record(
    "child",
    "a child workflow",
    Child,
    Key("name", WORKFLOW, "The workflow to run.", required=True),
    Key("wait", Flag(), "Whether to wait for its end; true unless given."),
    Key("on_cancel", Word("cancel", "abandon"), "What a cancel of this run does to it; cancel unless given."),
    Key("version", _Version(), "latest unless given; fixed when this run starts."),
    short="name",
)


class _Until(TemplateText):
    """A time, or a template that gives one."""

    def read(self, value: Json, at: Spot) -> Any:
        found = super().read(value, at)
        if found is not None and not has_template(found):
            time = moment(found)
            if time is None:
                at.not_a(
                    "a time", value, "Write RFC 3339 with Z or an offset, in quotes: 2030-01-31T06:00:00Z."
                )
            return time
        return found


_SLEEP = Record(
    "sleep",
    "a sleep",
    Sleep,
    Key("until", _Until(), "The moment to wait for; a template.", required=True),
)


class SleepShape(Shape):
    """A duration, or `{until: time}`."""

    def read(self, value: Json, at: Spot) -> Any:
        if isinstance(value, Mapping):
            return _SLEEP.read(value, at)
        return Sleep(duration=_LONG.read(value, at))

    def schema(self, definitions: Definitions) -> Schema:
        return {"anyOf": [_LONG.schema(definitions), _SLEEP.schema(definitions)]}


_LONG = Duration()


class SignalShape(Shape):
    """One awaited signal, or several under `any` or `all`."""

    def read(self, value: Json, at: Spot) -> Any:
        given = _SIGNAL.given(value, at)
        exclusive(given, ("name", "any", "all"), at, "signal")
        if "name" not in given:
            for key in ("key", "match", "lookback"):
                if key in given:
                    at.below(key).wrong(f"{key} belongs to one signal.", "Write it beside the name.")
        if (given.get("lookback") or timedelta()) > KEPT:
            at.below("lookback").wrong("lookback is at most 7d: signals are not kept longer.")
        for several in ("any", "all"):
            for place, one in enumerate(given.get(several) or ()):
                _alone(one, at.below(several).below(place))
        return Signal(**given)

    def schema(self, definitions: Definitions) -> Schema:
        return _SIGNAL.schema(definitions)


def _alone(one: Signal, at: Spot) -> None:
    """One of several signals is a name and what goes with it."""
    if one.any or one.all:
        at.wrong("signals of a list are not lists themselves.", "Write all of them in one list.")
    if one.expires is not None or one.on_expiry != "fail":
        at.wrong("expires and on_expiry belong to the whole wait.", "Write them beside any or all.")


_SIGNALS = ListOf(SignalShape(), "a list of signals", least=1)
_SIGNAL = Record(
    "signal",
    "a signal",
    Signal,
    Key("name", Text(empty=False), "The signal."),
    Key("key", Bare(), "Only signals with this key."),
    Key("match", Condition(), "Only signals for which this holds."),
    Key("lookback", Duration(), "Signals this old are taken too."),
    Key("expires", Duration(SOME), "How long to wait."),
    Key("on_expiry", _ON_END, "What happens then; fail unless given."),
    Key("any", _SIGNALS, "The first of these."),
    Key("all", _SIGNALS, "Every one of these."),
    short="name",
)

_APPROVAL = Record(
    "approval",
    "an approval",
    Approval,
    Key("title", TemplateText(), "What is asked; a template."),
    Key("form", FORM, "What the approver fills in; as params."),
    Key("roles", ListOf(Word("operator", "author", "admin"), "a list of roles"), "Who may decide."),
    Key("approvers", Whole(1, 100), "How many must agree; 1 unless given."),
    Key("self", Flag(), "Whether who started the run may approve; false unless given.", field="self_"),
    Key("expires", Duration(SOME), "How long to wait."),
    Key("on_expiry", _ON_END, "What happens then; fail unless given."),
    Key("on_reject", _ON_END, "What a rejection does; fail unless given."),
    short="title",
)

_SWITCH = Record(
    "switch",
    "a switch",
    Switch,
    Key(
        "cases",
        ListOf(
            Record(
                "case",
                "a case",
                Case,
                Key("when", Condition(), "The condition.", required=True),
                Key("then", TASKS, "Direct downstream tasks that go on; may be empty."),
            ),
            "a list of cases",
        ),
        "The first whose condition holds wins.",
    ),
    Key("default", TASKS, "Who goes on when no case holds; may be empty."),
    Key("python", Function(), "A function that returns the ids instead."),
)


class SwitchShape(Shape):
    """Cases, or a function."""

    def read(self, value: Json, at: Spot) -> Any:
        given = _SWITCH.given(value, at)
        if "python" in given and len(given) > 1:
            at.wrong("a switch has cases or a function, not both.")
        elif isinstance(value, Mapping) and not value:
            at.wrong("a switch takes cases, or python.")
        return Switch(**given)

    def schema(self, definitions: Definitions) -> Schema:
        return _SWITCH.schema(definitions)


_GATE = Record(
    "gate",
    "a gate",
    Gate,
    Key("when", Condition(), "The condition; false skips what is downstream.", required=True),
    Key("respect_trigger_rules", Flag(), "Skip only direct downstream tasks; false unless given."),
    short="when",
)


class NoopShape(Shape):
    """Nothing."""

    def read(self, value: Json, at: Spot) -> Any:
        if value is not None and value != {}:
            at.wrong(f"noop takes nothing: {{}}, not {describe(value)}.")
        return _NOOP

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": ["object", "null"], "maxProperties": 0}


_NOOP = Noop()


KINDS: dict[str, tuple[Kind, Shape, str]] = {
    "python": (
        Kind.PYTHON,
        PythonShape(),
        "A Python function, module:function, called with `with` as keywords.",
    ),
    "shell": (Kind.SHELL, ShellShape(), "Program text for bash, or argv."),
    "http": (Kind.HTTP, HttpShape(), "An HTTP request; a URL alone is a GET."),
    "container": (Kind.CONTAINER, CONTAINER, "A container."),
    "workflow": (Kind.WORKFLOW, _CHILD, "Another workflow; `with` gives its parameters."),
    "sleep": (Kind.SLEEP, SleepShape(), "Wait for a duration, or until a time."),
    "signal": (Kind.SIGNAL, SignalShape(), "Wait for a signal."),
    "approval": (Kind.APPROVAL, _APPROVAL, "Wait for a person's decision."),
    "switch": (Kind.SWITCH, SwitchShape(), "Choose which direct downstream tasks go on."),
    "gate": (Kind.GATE, _GATE, "Go on only if a condition holds."),
    "noop": (Kind.NOOP, NoopShape(), "Do nothing: a point to wait for."),
}
"""The kinds but groups: how each is read, and what it is."""
