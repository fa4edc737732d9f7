"""The parser: tokens into a syntax tree, with the bounds that make judging it safe checked on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from headrace.engine.core.expressions.hints import MEANT, WORDS, check_task_minus
from headrace.engine.core.expressions.lexer import MAX_INT, RESERVED, Token, spell
from headrace.engine.core.expressions.problems import ExpressionProblem
from headrace.engine.core.expressions.syntax import (
    FUNCTIONS,
    MACROS,
    MAX_DEPTH,
    MAX_MACROS,
    NAMESPACES,
    TYPE_NAMES,
    Call,
    Chain,
    Choice,
    Has,
    Index,
    ListOf,
    Literal,
    Logic,
    Macro,
    MapOf,
    Name,
    Node,
    Select,
    TypeName,
    Unary,
)
from headrace.engine.core.problems import did_you_mean

_LEVELS = (
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset({"==", "!=", "<", "<=", ">", ">=", "in"}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}

N = TypeVar("N", bound=Node)


def parse(tokens: Sequence[Token]) -> Node:
    """The tree of a whole expression. Raises ExpressionProblem for the first thing that is wrong."""
    return _Parser(tokens).whole()


class _Parser:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.macros = 0
        self.within_macro = False

    # reading ---------------------------------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def accept(self, kind: str) -> bool:
        if self.tokens[self.at].kind == kind:
            self.at += 1
            return True
        return False

    def expect(self, kind: str, where: str) -> Token:
        if self.token.kind != kind:
            raise self.unexpected(f"`{kind}` {where}")
        return self.take()

    def unexpected(self, expected: str) -> ExpressionProblem:
        token = self.token
        if token.kind == "end":
            return ExpressionProblem(f"the expression ends where {expected} is expected.", offset=token.start)
        shown = spell(token)
        hint = None
        if token.kind == "name" and shown in WORDS:
            hint = f"CEL writes `{WORDS[shown]}`."
        elif token.kind == "?":
            hint = "Optional values (`.?`) are not supported: use get(map, key, default)."
        return ExpressionProblem(f"`{shown}` stands where {expected} is expected.", hint, token.start)

    def built(self, node: N) -> N:
        """Counts a node's levels and nodes; the tree may be MAX_DEPTH deep."""
        for child in node.children():
            node.weight += child.weight
            node.depth = max(node.depth, child.depth + 1)
        if node.depth > MAX_DEPTH:
            raise _too_deep(node.start)
        return node

    def previous_end(self) -> int:
        return self.tokens[self.at - 1].end

    # grammar ---------------------------------------------------------------------------------------------------

    def whole(self) -> Node:
        if self.token.kind == "end":
            raise ExpressionProblem("the expression is empty.", offset=self.token.start)
        node = self.expression()
        if self.token.kind != "end":
            raise self.unexpected("an operator or the end")
        return node

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _too_deep(self.token.start)
        node = self.chain(0)
        if self.accept("?"):
            then = self.expression()
            self.expect(":", "of `test ? then : otherwise`")
            otherwise = self.expression()
            node = self.built(
                Choice(test=node, then=then, otherwise=otherwise, start=node.start, end=otherwise.end)
            )
        self.depth -= 1
        return node

    def chain(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self.unary()
        first = self.chain(level + 1)
        operators = _LEVELS[level]
        rest: list[tuple[str, Node]] = []
        while (operator := self.operator()) in operators:
            self.take()
            rest.append((operator, self.chain(level + 1)))
        if not rest:
            return first
        end = rest[-1][1].end
        if level < 2:
            terms = (first, *(node for _, node in rest))
            return self.built(Logic(operator=rest[0][0], terms=terms, start=first.start, end=end))
        if level == 2:
            first, rest = self.type_names(first, rest)
        elif level == 3:
            check_task_minus(first, rest)
        return self.built(Chain(first=first, rest=tuple(rest), start=first.start, end=end))

    def operator(self) -> str:
        token = self.token
        return "in" if token.kind == "name" and token.value == "in" else token.kind

    def type_names(self, first: Node, rest: list[tuple[str, Node]]) -> tuple[Node, list[tuple[str, Node]]]:
        """`type(x) == int`: the name beside `type` is a type, no variable."""
        operator, second = rest[0]
        if len(rest) == 1 and operator in ("==", "!="):
            if _is_type(first):
                return first, [(operator, _type_name(second))]
            if _is_type(second):
                return _type_name(first), rest
        return first, rest

    def unary(self) -> Node:
        token = self.token
        if token.kind not in ("!", "-"):
            return self.postfix(self.primary())
        self.take()
        following = self.token
        if token.kind == "-" and following.kind in ("int", "double"):
            self.take()
            assert isinstance(following.value, (int, float))
            number = Literal(value=-following.value, start=token.start, end=following.end)
            return self.postfix(number)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _too_deep(token.start)
        operand = self.unary()
        self.depth -= 1
        return self.built(Unary(operator=token.kind, operand=operand, start=token.start, end=operand.end))

    def postfix(self, node: Node) -> Node:
        while True:
            if self.accept("."):
                node = self.member(node)
            elif self.accept("["):
                node = self.index(node)
            elif self.token.kind == "{":
                raise ExpressionProblem(
                    "a type's fields cannot be written here.", "A map is `{'key': value}`.", self.token.start
                )
            elif self.token.kind == "(":
                raise ExpressionProblem("only a function's name can be called.", None, self.token.start)
            else:
                return node

    def member(self, base: Node) -> Node:
        token = self.token
        if token.kind != "name":
            raise self.unexpected("a field's name after `.`")
        self.take()
        name = str(token.value)
        if self.token.kind == "(":
            if isinstance(base, Name) and base.name in NAMESPACES:
                return self.call(f"{base.name}.{name}", base.start, token)
            return self.call(name, base.start, token, base)
        if name in RESERVED:
            raise ExpressionProblem(
                f"`{name}` is a word of the language and cannot follow a dot.",
                f'Write ["{name}"].',
                token.start,
            )
        return self.select(base, name)

    def index(self, base: Node) -> Node:
        key = self.expression()
        self.expect("]", "of an index")
        if isinstance(key, Literal) and (
            isinstance(key.value, str) or (type(key.value) is int and key.value >= 0)
        ):
            return self.select(base, key.value)
        return self.built(Index(base=base, key=key, start=base.start, end=self.previous_end()))

    def select(self, base: Node, key: str | int) -> Node:
        end = self.previous_end()
        if isinstance(base, Select):
            return self.built(Select(base=base.base, keys=(*base.keys, key), start=base.start, end=end))
        return self.built(Select(base=base, keys=(key,), start=base.start, end=end))

    def primary(self) -> Node:
        token = self.take()
        match token.kind:
            case "name":
                return self.named(token)
            case "int":
                assert isinstance(token.value, int)
                if token.value > MAX_INT:
                    raise ExpressionProblem(f"{token.value} does not fit into 64 bits.", None, token.start)
                return Literal(value=token.value, start=token.start, end=token.end)
            case "double" | "string" | "bytes":
                return Literal(value=token.value, start=token.start, end=token.end)
            case "(":
                node = self.expression()
                self.expect(")", "of a bracket")
                node.start, node.end = token.start, self.previous_end()
                return node
            case "[":
                items = self.items("]")
                return self.built(ListOf(items=items, start=token.start, end=self.previous_end()))
            case "{":
                return self.map_of(token)
            case _:
                self.at -= 1
        raise self.unexpected("a value")

    def named(self, token: Token) -> Node:
        name = str(token.value)
        if name in _CONSTANTS:
            return Literal(value=_CONSTANTS[name], start=token.start, end=token.end)
        if name in RESERVED or (name == "not" and self.token.kind in ("name", "(")):
            self.at -= 1
            raise self.unexpected("a value")
        if self.token.kind == "(":
            return self.call(name, token.start, token)
        return Name(name=name, start=token.start, end=token.end)

    def items(self, closing: str) -> tuple[Node, ...]:
        """Expressions by comma up to `closing`, which is taken; one comma may end them."""
        items: list[Node] = []
        while not self.accept(closing):
            if items:
                self.expect(",", f"or `{closing}`")
                if closing != ")" and self.accept(closing):
                    break
            items.append(self.expression())
        return tuple(items)

    def map_of(self, opening: Token) -> Node:
        pairs: list[tuple[Node, Node]] = []
        while not self.accept("}"):
            if pairs:
                self.expect(",", "or `}`")
                if self.accept("}"):
                    break
            key = self.expression()
            self.expect(":", "after a map's key")
            pairs.append((key, self.expression()))
        return self.built(MapOf(pairs=tuple(pairs), start=opening.start, end=self.previous_end()))

    # calls -----------------------------------------------------------------------------------------------------

    def call(self, name: str, start: int, at: Token, target: Node | None = None) -> Node:
        self.expect("(", "of a call")
        if name == "has" and target is None:
            return self.has(start)
        if name in MACROS:
            if target is None:
                raise ExpressionProblem(
                    f"`{name}` needs a list before it.", f"Write list.{name}(x, …).", at.start
                )
            return self.macro(name, start, at, target)
        args = self.items(")")
        if target is not None:
            args = (target, *args)
        limits = FUNCTIONS.get(name)
        if limits is None:
            meant = MEANT.get(name.rpartition(".")[2])
            hint = f"Did you mean `{meant}`?" if meant else did_you_mean(name, [*FUNCTIONS, *MACROS, "has"])
            raise ExpressionProblem(f"there is no function `{name}`.", hint, at.start)
        least, most = limits
        if len(args) < least or (most is not None and len(args) > most):
            counted = f"{least}" if most == least else f"{least} to {most}" if most else f"at least {least}"
            raise ExpressionProblem(
                f"`{name}` takes {counted} argument{'s' if counted != '1' else ''}, not {len(args)}.",
                "A method's target counts as its first argument." if target is not None else None,
                at.start,
            )
        return self.built(Call(function=name, args=args, start=start, end=self.previous_end()))

    def has(self, start: int) -> Node:
        args = self.items(")")
        path = args[0] if len(args) == 1 else None
        if not isinstance(path, Select) or not isinstance(path.keys[-1], str):
            raise ExpressionProblem("`has` takes one path to a field.", "Write has(a.b).", start)
        return self.built(Has(path=path, start=start, end=self.previous_end()))

    def macro(self, name: str, start: int, at: Token, target: Node) -> Node:
        if self.within_macro:
            raise ExpressionProblem(
                f"`{name}` stands inside another macro's argument.",
                "Macros can follow each other, list.filter(x, …).map(x, …), but not nest: use a task.",
                at.start,
            )
        self.macros += 1
        if self.macros > MAX_MACROS:
            raise ExpressionProblem(f"more than {MAX_MACROS} macros.", "Compute this in a task.", at.start)
        bound = self.token
        if bound.kind != "name" or bound.value in RESERVED or self.tokens[self.at + 1].kind != ",":
            raise ExpressionProblem(
                f"`{name}` begins with a name for the element.", f"Write list.{name}(x, …).", bound.start
            )
        if bound.value in ("tasks", "secrets", *NAMESPACES):
            raise ExpressionProblem(f"`{bound.value}` cannot be a macro's name.", None, bound.start)
        self.at += 2
        self.within_macro = True
        body = self.items(")")
        self.within_macro = False
        if not 1 <= len(body) <= (2 if name == "map" else 1):
            counted = "one or two expressions" if name == "map" else "one expression"
            raise ExpressionProblem(f"`{name}` takes a name and {counted}.", None, at.start)
        return self.built(
            Macro(
                macro=name,
                target=target,
                name=str(bound.value),
                body=body,
                start=start,
                end=self.previous_end(),
            )
        )


def _too_deep(offset: int) -> ExpressionProblem:
    return ExpressionProblem(
        f"the expression is nested more than {MAX_DEPTH} deep.", "Compute this in a task.", offset
    )


def _is_type(node: Node) -> bool:
    return isinstance(node, Call) and node.function == "type"


def _type_name(node: Node) -> Node:
    if isinstance(node, Name) and node.name in TYPE_NAMES:
        return TypeName(name=node.name, start=node.start, end=node.end)
    return node
