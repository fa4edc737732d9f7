"""The kinds that workers execute: functions, programs, requests, containers (docs/language.md, section 4)."""

from __future__ import annotations

import re
from typing import Any

from headrace.dsl.language.formulas import Template, TemplateMap, TemplateText
from headrace.dsl.language.records import Key, ListOf, MapOf, Record, exclusive
from headrace.dsl.language.shapes import (
    Definitions,
    Name,
    Schema,
    Shape,
    Size,
    Text,
    Whole,
    Word,
)
from headrace.dsl.language.spot import Spot
from headrace.dsl.words import FUNCTION, show
from headrace.engine.core.expressions import has_template
from headrace.engine.core.workflow import (
    Container,
    Http,
    Json,
    PythonCall,
    Shell,
)


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


CONTAINER = Record(
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


class PythonShape(Function):
    """The function that a worker calls."""

    def read(self, value: Json, at: Spot) -> Any:
        return PythonCall(super().read(value, at))
