"""Keys that hold expressions: bare ones, and templates in values (docs/language.md, section 6).

What is stored is the one canonical text, so that blanks and quotes never make a new version. Which names an expression
may use is checked by planning, which knows every task.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from headrace.dsl.language.shapes import OPENING, Definitions, Schema, Shape, quote_hint
from headrace.dsl.language.spot import Spot
from headrace.dsl.words import show
from headrace.engine.core.evaluation import Template as Parsed
from headrace.engine.core.expressions import ExpressionProblem, parse_expression, parse_template, tree_of
from headrace.engine.core.expressions.sorts import BOOLEAN, NUMBER, certain_sort
from headrace.engine.core.workflow import EMPTY, Json

_bare = lru_cache(maxsize=4096)(lambda text: parse_expression(text).text)
_text: Any = lru_cache(maxsize=4096)(parse_template)


def tell(problem: ExpressionProblem, at: Spot) -> None:
    """Records what is wrong with an expression, and with the rest of its template."""
    for each in (problem, *problem.others):
        at.below(*each.path).tell("invalid_expression", each.message, each.hint)


def template(value: Json, at: Spot) -> Parsed | None:
    """A value as a parsed template, or None with its problems told."""
    try:
        if isinstance(value, str):
            found: Parsed = _text(value) if OPENING in value else Parsed(value)
            return found
        return parse_template(value) if isinstance(value, dict | list | tuple) else Parsed(value)
    except ExpressionProblem as problem:
        tell(problem, at)
        return None


def is_lone(parsed: Parsed) -> bool:
    """Whether the template is one text of exactly one piece, which keeps the type of its value."""
    return len(parsed.pieces) == 1 and parsed.pieces[0][0] == () and len(parsed.pieces[0][1]) == 1


class Bare(Shape):
    """One expression without `${{ }}` (one enclosing pair is allowed)."""

    def read(self, value: Json, at: Spot) -> Any:
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, str):
            at.not_a("an expression", value, quote_hint(value))
            return None
        try:
            return _bare(value)
        except ExpressionProblem as problem:
            tell(problem, at)
            return None

    def schema(self, definitions: Definitions) -> Schema:
        definitions["expression"] = {
            "type": ["string", "boolean"],
            "description": "A CEL expression, without ${{ }}: tasks.check.output.rows > 0",
        }
        return {"$ref": "#/$defs/expression"}


class Condition(Bare):
    """A bare expression that is true or false: one that can be neither is refused."""

    def read(self, value: Json, at: Spot) -> Any:
        text = super().read(value, at)
        if text is None or isinstance(value, bool):
            return text
        sort = _sort(text)
        if sort not in (None, BOOLEAN):
            hint = f"Compare it with something, such as `{text} > 0`." if sort == NUMBER else _COMPARE
            at.tell("invalid_expression", f"{at.key} is a condition, and `{text}` gives {sort}.", hint)
        return text


_COMPARE = "A condition is true or false: compare it with something."
_sort = lru_cache(maxsize=4096)(lambda text: certain_sort(tree_of(text)))


class Template(Shape):
    """Any JSON value whose texts may hold `${{ … }}`."""

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, str | dict | list | tuple):
            return value
        if isinstance(value, str) and OPENING not in value:
            return value
        parsed = template(value, at)
        return None if parsed is None else parsed.value

    def schema(self, definitions: Definitions) -> Schema:
        definitions["template"] = {
            "description": "Any value; texts in it may hold templates: ${{ params.day }}"
        }
        return {"$ref": "#/$defs/template"}


class TemplateText(Template):
    """Text that may hold `${{ … }}`."""

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, str):
            at.not_a("text", value, quote_hint(value))
            return None
        return super().read(value, at)

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "string"}


class _Whole(Template):
    """A list or map, or one lone template that gives it."""

    kinds: tuple[type, ...]
    what: str

    def read(self, value: Json, at: Spot) -> Any:
        if isinstance(value, str):
            parsed = template(value, at)
            if parsed is None:
                return None
            if not is_lone(parsed):
                at.not_a(self.what, value, 'One template alone keeps its type: "${{ … }}".')
            return parsed.value
        if not isinstance(value, self.kinds):
            at.not_a(self.what, value)
            return None
        return super().read(value, at)


class TemplateList(_Whole):
    """A list of templates, or a lone template that gives a list."""

    kinds = (list, tuple)
    what = "a list, or one template that gives a list"

    def schema(self, definitions: Definitions) -> Schema:
        return {"anyOf": [{"type": "array"}, {"type": "string", "pattern": r"^\$\{\{"}]}


class TemplateMap(_Whole):
    """A map of templates, or a lone template that gives a map."""

    kinds = (dict,)
    what = "a map, or one template that gives a map"

    def schema(self, definitions: Definitions) -> Schema:
        return {"anyOf": [{"type": "object"}, {"type": "string", "pattern": r"^\$\{\{"}]}


class Inputs(Shape):
    """Names to templates: `with`, `env`, parameters of a trigger."""

    def __init__(self, what: str, *, identifiers: bool = True) -> None:
        self.what, self.identifiers = what, identifiers

    def read(self, value: Json, at: Spot) -> Any:
        if not isinstance(value, Mapping):
            at.not_a("a map of names and values", value)
            return EMPTY
        found = {}
        read = _TEMPLATE.read
        for name, item in value.items():
            below = at.below(name)
            if not (name.isidentifier() if self.identifiers else _names_a_variable(name)):
                below.wrong(f"{show(name)} cannot be the name of {self.what}.", "Use letters, digits and _.")
            found[name] = read(item, below)
        return found or EMPTY

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "object", "additionalProperties": _TEMPLATE.schema(definitions)}


def _names_a_variable(name: str) -> bool:
    return bool(name) and name.isprintable() and "=" not in name and OPENING not in name


_TEMPLATE = Template()
