"""What deciding needs from expressions: parsed forms made by `core.expressions`, values asked of an injected Evaluator.

The machine builds a *scope* holding only what an expression's references name: `params`, `run`, `event`, `item`
(or the map's `as` name), `item_index`, `error`, `output` and `tasks` ({id as written: {"output", "state", "reason",
"error", "run", "counts"}}). Secrets never enter a scope: a piece that names one becomes a hole for the worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from headrace.engine.core.workflow import Json

PathParts = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A value too large to be inline: where it lies in the artifact store, its SHA-256 and size in bytes."""

    uri: str
    digest: str
    size: int


class Reference(NamedTuple):
    """One name that an expression reads: `tasks.a.output.files[0]` is ("tasks", "a", ("output", "files", 0))."""

    root: str  # tasks params run event secrets item item_index error output loop, or a map's `as` name
    name: str | None  # tasks: the id as written; params, run, secrets: the field; else None
    path: PathParts  # what follows literally, as far as it is literal
    whole: bool  # True when the piece is this lone path and nothing else: it is looked up without CEL


@dataclass(frozen=True, slots=True)
class Expression:
    """One parsed bare expression in canonical text. `lone` is set when it is nothing but a path."""

    text: str
    references: tuple[Reference, ...]
    lone: Reference | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A JSON value whose strings may hold `${{ … }}` pieces. `value` is its canonical source.

    `pieces` lists the templated strings: (path in value, parts), a part being literal text or an Expression.
    A string that is exactly one piece has parts == (Expression,) and keeps the type of its value.
    """

    value: Json
    pieces: tuple[tuple[PathParts, tuple[str | Expression, ...]], ...] = ()
    references: tuple[Reference, ...] = ()

    @property
    def constant(self) -> bool:
        return not self.pieces


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by name; the worker resolves it."""

    name: str


@dataclass(frozen=True, slots=True)
class Hole:
    """A spot in a filled value that the worker fills: one part alone replaces the value, several make a text."""

    path: PathParts
    parts: tuple[str | Secret | Artifact, ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """A template with its values put in. Spots named by `holes` hold None until the worker fills them."""

    value: Json
    holes: tuple[Hole, ...] = ()


class EvaluationError(Exception):
    """An expression failed, in a way the user can act on: its text, why, and the types of its operands."""

    def __init__(self, text: str, why: str, operands: Mapping[str, str] | None = None) -> None:
        self.text, self.why, self.operands = text, why, dict(operands or {})
        seen = ", ".join(f"{name} is {kind}" for name, kind in self.operands.items())
        super().__init__(f"`{text}`: {why}" + (f" ({seen})" if seen else ""))


Scope = Mapping[str, Json]


@runtime_checkable
class Evaluator(Protocol):
    """Pure: the same expression and scope always give the same value, in bounded time and memory."""

    def condition(self, expression: Expression, scope: Scope) -> bool:
        """The boolean value. Raises EvaluationError, also when the value is no boolean."""

    def fill(self, template: Template, scope: Scope) -> Filled:
        """The template's value. Raises EvaluationError."""
