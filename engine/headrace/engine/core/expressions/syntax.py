"""The syntax tree of an expression: what the parser makes, the reference finder walks and the evaluator compiles.

Chains of one precedence and paths are flat, so a tree is only as deep as the text is nested.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_DEPTH = 32
MAX_MACROS = 8

MACROS = frozenset({"map", "filter", "all", "exists", "exists_one"})

TYPE_NAMES = frozenset(
    {"bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string", "timestamp"}
)
"""What `type(x)` is compared with."""

FUNCTIONS: dict[str, tuple[int, int | None]] = {
    # CEL's own
    "size": (1, 1),
    "contains": (2, 2),
    "startsWith": (2, 2),
    "endsWith": (2, 2),
    "matches": (2, 2),
    "bool": (1, 1),
    "bytes": (1, 1),
    "double": (1, 1),
    "duration": (1, 1),
    "dyn": (1, 1),
    "int": (1, 1),
    "string": (1, 1),
    "timestamp": (1, 1),
    "type": (1, 1),
    "getFullYear": (1, 2),
    "getMonth": (1, 2),
    "getDate": (1, 2),
    "getDayOfMonth": (1, 2),
    "getDayOfWeek": (1, 2),
    "getDayOfYear": (1, 2),
    "getHours": (1, 2),
    "getMinutes": (1, 2),
    "getSeconds": (1, 2),
    "getMilliseconds": (1, 2),
    # CEL's extension libraries
    "split": (2, 3),
    "join": (1, 2),
    "replace": (3, 4),
    "substring": (2, 3),
    "trim": (1, 1),
    "lowerAscii": (1, 1),
    "upperAscii": (1, 1),
    "indexOf": (2, 3),
    "math.greatest": (1, None),
    "math.least": (1, None),
    "math.abs": (1, 1),
    "math.ceil": (1, 1),
    "math.floor": (1, 1),
    "math.round": (1, 1),
    # Headrace's
    "get": (3, 3),
    "default": (2, 2),
    "compact": (1, 1),
    "keys": (1, 1),
    "entries": (1, 1),
    "sum": (1, 1),
    "json": (1, 1),
    "parse_json": (1, 1),
    "hash": (1, 1),
    "date_add": (2, 2),
    "format_time": (2, 3),
}
"""Every function with the least and the greatest number of its arguments, a method's target counted."""

NAMESPACES = frozenset({"math"})


@dataclass(slots=True, eq=False, kw_only=True)
class Node:
    """`start` and `end` are offsets in the parsed text; `depth` and `weight` count levels and nodes."""

    start: int
    end: int
    depth: int = field(default=1, init=False)
    weight: int = field(default=1, init=False)

    def children(self) -> Iterator[Node]:
        yield from ()


@dataclass(slots=True, eq=False, kw_only=True)
class Literal(Node):
    value: bool | int | float | str | bytes | None


@dataclass(slots=True, eq=False, kw_only=True)
class Name(Node):
    """A variable: a name of the scope, or one that a macro binds."""

    name: str


@dataclass(slots=True, eq=False, kw_only=True)
class TypeName(Node):
    """A type's name beside `type(x) ==`."""

    name: str


@dataclass(slots=True, eq=False, kw_only=True)
class Select(Node):
    """`base.a["b"][0]`: literal keys, as many as follow each other."""

    base: Node
    keys: tuple[str | int, ...]

    def children(self) -> Iterator[Node]:
        yield self.base


@dataclass(slots=True, eq=False, kw_only=True)
class Index(Node):
    """`base[key]` with a computed key."""

    base: Node
    key: Node

    def children(self) -> Iterator[Node]:
        yield self.base
        yield self.key


@dataclass(slots=True, eq=False, kw_only=True)
class Has(Node):
    """`has(base.key)`: whether the last key is there."""

    path: Select

    def children(self) -> Iterator[Node]:
        yield self.path


@dataclass(slots=True, eq=False, kw_only=True)
class Call(Node):
    """A function; `x.f(y)` and `f(x, y)` are the same call."""

    function: str
    args: tuple[Node, ...]

    def children(self) -> Iterator[Node]:
        yield from self.args


@dataclass(slots=True, eq=False, kw_only=True)
class Macro(Node):
    """`target.macro(name, body…)`; `map` may have a condition before its body."""

    macro: str
    target: Node
    name: str
    body: tuple[Node, ...]

    def children(self) -> Iterator[Node]:
        yield self.target
        yield from self.body


@dataclass(slots=True, eq=False, kw_only=True)
class Unary(Node):
    operator: str  # ! -
    operand: Node

    def children(self) -> Iterator[Node]:
        yield self.operand


@dataclass(slots=True, eq=False, kw_only=True)
class Chain(Node):
    """`first op a op b …` of one precedence, judged from the left."""

    first: Node
    rest: tuple[tuple[str, Node], ...]

    def children(self) -> Iterator[Node]:
        yield self.first
        for _, node in self.rest:
            yield node


@dataclass(slots=True, eq=False, kw_only=True)
class Logic(Node):
    operator: str  # && ||
    terms: tuple[Node, ...]

    def children(self) -> Iterator[Node]:
        yield from self.terms


@dataclass(slots=True, eq=False, kw_only=True)
class Choice(Node):
    """`test ? then : otherwise`."""

    test: Node
    then: Node
    otherwise: Node

    def children(self) -> Iterator[Node]:
        yield self.test
        yield self.then
        yield self.otherwise


@dataclass(slots=True, eq=False, kw_only=True)
class ListOf(Node):
    items: tuple[Node, ...]

    def children(self) -> Iterator[Node]:
        yield from self.items


@dataclass(slots=True, eq=False, kw_only=True)
class MapOf(Node):
    pairs: tuple[tuple[Node, Node], ...]

    def children(self) -> Iterator[Node]:
        for key, value in self.pairs:
            yield key
            yield value
