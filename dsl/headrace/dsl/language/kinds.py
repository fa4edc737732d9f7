"""What each kind of task takes (docs/language.md, section 4). Groups are in `tasks`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headrace.dsl.language.formulas import Bare, Template, TemplateMap, TemplateText
from headrace.dsl.language.parameters import FORM
from headrace.dsl.language.policies import SOME
from headrace.dsl.language.shapes import (
    Definitions,
    Duration,
    Flag,
    Key,
    ListOf,
    MapOf,
    Name,
    Record,
    Schema,
    Shape,
    Size,
    Text,
    Whole,
    Word,
    exclusive,
    moment,
)
from headrace.dsl.language.spot import Spot
from headrace.dsl.words import FUNCTION, TASK_ID, WORKFLOW_NAME, describe, show
from headrace.engine.core.expressions import has_template
from headrace.engine.core.workflow import (
    Approval,
    Case,
    Child,
    Container,
    Gate,
    Http,
    Json,
    Kind,
    Noop,
    PythonCall,
    Shell,
    Signal,
    Sleep,
    Switch,
)

WORKFLOW = Name(
    WORKFLOW_NAME,
    "the name of a workflow",
    "Begin with a letter or _, then use letters, digits, _ and -, at most 100.",
)
TASK = Name(
    re.compile(rf"{TASK_ID.pattern}(?:\.[A-Za-z0-9_.-]{{1,750}})?", re.ASCII),
    "the id of a task",
    "An id begins with a letter or _, then has up to 249 letters, digits, _ . or -.",
    code="invalid_task_id",
)
TASKS = ListOf(TASK, "an id or a list of ids", alone=True, unique=True)
_ON_END = Word("fail", "skip", "continue")


class Function(Shape):
    """`module:function`, looked up by workers."""

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, str):
            at.not_a("module:function", value)
        elif FUNCTION.fullmatch(value):
            return value
        elif has_template(value):
            at.tell("invalid_expression", f"{at.key} cannot hold a template (${{{{ … }}}}).", _FIXED)
        else:
            module, dot, function = value.rpartition(".")
            dotted = f"{module}:{function}"
            hint = (
                f"Write {dotted}"
                if dot and ":" not in value and FUNCTION.fullmatch(dotted)
                else "Write module:function"
            )
            at.wrong(f"{show(value)} names no function.", f"{hint}, as in shop.sales:extract.")
        return None

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "string", "pattern": r"^[\w.]+:[\w.]+$"}


_FIXED = "Which function runs is fixed; let a switch choose between tasks."


# -- shell, container ------------------------------------------------------------------------------------------------

_ARGV = ListOf(TemplateText(), "a list of arguments", least=1)

_SHELL = Record(
    "shell",
    "a shell task",
    Shell,
    Key("run", Text(empty=False, hint="Hand values over by env: {X: …}, and write \"$X\" in the program."), "Program text; never a template."),
    Key("argv", _ARGV, "A program and its arguments; each is data and may be a template."),
    Key("interpreter", ListOf(Text(empty=False), "a list of arguments", least=1), "What runs the text; bash -eo pipefail -c."),
    Key("cwd", Text(empty=False), "The folder to run in."),
    short="run",
)  # fmt: skip


class ShellShape(Shape):
    """Program text, or arguments."""

    def read(self, value: Json, at: Spot) -> Any:
        given = _SHELL.given(value, at)
        exclusive(given, ("run", "argv"), at, "shell")
        if "argv" in given and "interpreter" in given:
            at.below("interpreter").wrong(
                "an interpreter runs program text; argv is run as it is.", "Leave it out."
            )
        return Shell(**given)

    def schema(self, definitions: Definitions) -> Schema:
        return _SHELL.schema(definitions)


class _Cpu(Shape):
    """A number of processors, as text."""

    def read(self, value: Json, at: Spot) -> Any:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,4}(\.\d{1,3})?|\d{1,7}m", text, re.ASCII):
            at.not_a("a number of processors such as 2, 0.5 or 500m", value)
        return text

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": ["number", "string"]}


_CONTAINER = Record(
    "container",
    "a container task",
    Container,
    Key("image", Text(empty=False), "The image.", required=True),
    Key("argv", _ARGV, "The program and its arguments; each may be a template."),
    Key("cpu", _Cpu(), "Processors."),
    Key("memory", Size(), "Memory, such as 512MiB."),
    Key("pull", Word("always", "missing", "never"), "When to pull the image."),
    short="image",
)


# -- http ------------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}", re.ASCII)


class _Url(TemplateText):
    """An http or https URL; it may hold templates."""

    def read(self, value: Json, at: Spot) -> Any:
        found = super().read(value, at)
        if found is not None and not re.match(r"https?://[^\s/?#]|\$\{\{", found, re.IGNORECASE):
            at.wrong(f"{show(found)} is no URL.", "It begins with http:// or https://.")
        return found


class _HeaderValue(TemplateText):
    def read(self, value: Json, at: Spot) -> Any:
        found = super().read(value, at)
        if found is not None and any(mark in found for mark in "\r\n\0"):
            at.wrong("a header is one line.", "Leave out the line ends.")
        return found


class _Statuses(Shape):
    """Good statuses: 204, or a range as 200-299; inclusive pairs."""

    def read(self, value: Json, at: Spot) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
            return value, value
        found = (
            re.fullmatch(r"([1-5]\d\d)(?:\s*-\s*([1-5]\d\d))?", value, re.ASCII)
            if isinstance(value, str)
            else None
        )
        if found is None:
            at.not_a("a status such as 204, or a range such as 200-299", value)
            return 200, 299
        low, high = int(found[1]), int(found[2] or found[1])
        if low > high:
            at.wrong(f"the range {value} is empty.", f"Write {high}-{low}.")
        return low, high

    def schema(self, definitions: Definitions) -> Schema:
        return {
            "anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 599},
                {"type": "string", "pattern": r"^[1-5]\d\d(-[1-5]\d\d)?$"},
            ]
        }


_HTTP = Record(
    "http",
    "an http task",
    Http,
    Key("url", _Url(), "Where to; a template.", required=True),
    Key("method", Name(re.compile(r"[A-Z]{1,20}", re.ASCII), "a method", "Write it in capitals, such as POST."), "GET unless given."),
    Key("headers", MapOf(Name(_TOKEN, "the name of a header", "Use letters, digits and -."), _HeaderValue(), "a map of headers"), "Headers; templates."),
    Key("query", TemplateMap(), "What follows the ? of the URL; a template."),
    Key("json", Template(), "The body as JSON; a template."),
    Key("form", TemplateMap(), "The body as a form; a template."),
    Key("body", TemplateText(), "The body as text; a template."),
    Key("expect", ListOf(_Statuses(), "a list of statuses", least=1), "Good statuses; 200-299 unless given."),
    Key("redirects", Whole(0, 50), "How many redirects are followed; 0 unless given."),
    short="url",
)  # fmt: skip


class HttpShape(Shape):
    """A request."""

    def read(self, value: Json, at: Spot) -> Any:
        given = {"url": None, **_HTTP.given(value, at)}
        bodies = [key for key in ("json", "form", "body") if key in given]
        if len(bodies) > 1:
            at.wrong(f"a request has one body; here are {' and '.join(bodies)}.")
        return Http(**given, has_json="json" in given)

    def schema(self, definitions: Definitions) -> Schema:
        return _HTTP.schema(definitions)


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
        return Signal(**given)

    def schema(self, definitions: Definitions) -> Schema:
        return _SIGNAL.schema(definitions)


_SIGNALS = ListOf(SignalShape(), "a list of signals", least=1)
_SIGNAL = Record(
    "signal",
    "a signal",
    Signal,
    Key("name", Text(empty=False), "The signal."),
    Key("key", Bare(), "Only signals with this key."),
    Key("match", Bare(), "Only signals for which this holds."),
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
    Key("roles", ListOf(Text(empty=False), "a list of roles"), "Who may decide."),
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
                Key("when", Bare(), "The condition.", required=True),
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
    Key("when", Bare(), "The condition; false skips what is downstream.", required=True),
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


class PythonShape(Function):
    """The function that a worker calls."""

    def read(self, value: Json, at: Spot) -> Any:
        return PythonCall(super().read(value, at))


KINDS: dict[str, tuple[Kind, Shape, str]] = {
    "python": (
        Kind.PYTHON,
        PythonShape(),
        "A Python function, module:function, called with `with` as keywords.",
    ),
    "shell": (Kind.SHELL, ShellShape(), "Program text for bash, or argv."),
    "http": (Kind.HTTP, HttpShape(), "An HTTP request; a URL alone is a GET."),
    "container": (Kind.CONTAINER, _CONTAINER, "A container."),
    "workflow": (Kind.WORKFLOW, _CHILD, "Another workflow; `with` gives its parameters."),
    "sleep": (Kind.SLEEP, SleepShape(), "Wait for a duration, or until a time."),
    "signal": (Kind.SIGNAL, SignalShape(), "Wait for a signal."),
    "approval": (Kind.APPROVAL, _APPROVAL, "Wait for a person's decision."),
    "switch": (Kind.SWITCH, SwitchShape(), "Choose which direct downstream tasks go on."),
    "gate": (Kind.GATE, _GATE, "Go on only if a condition holds."),
    "noop": (Kind.NOOP, NoopShape(), "Do nothing: a point to wait for."),
}
"""The kinds but groups: how each is read, and what it is."""
