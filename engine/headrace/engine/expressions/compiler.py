"""The compiler: a syntax tree into nested Python closures, one call each, that judge it against a scope.

Expressions are CEL as docs/language.md bounds it. The values stay the Python values they are: nothing is copied
into another runtime, so the cost is that of what the expression touches, and `Work` counts it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.engine.core.evaluation import Scope
from headrace.engine.core.expressions import path_text
from headrace.engine.core.expressions.syntax import (
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
from headrace.engine.expressions.faults import Exhausted, Fault
from headrace.engine.expressions.functions import FUNCTIONS
from headrace.engine.expressions.kinds import CelType, is_map, kind
from headrace.engine.expressions.lookup import step
from headrace.engine.expressions.operators import BINARY, negate
from headrace.engine.expressions.work import Work

MAX_ELEMENTS = 1000
"""The longest list that a macro walks."""

_NODE = 2  # units to judge one node


class Frame:
    """One judgement: the scope, the work left, and the element that the running macro looks at."""

    __slots__ = ("element", "scope", "work")

    def __init__(self, scope: Scope, work: Work) -> None:
        self.scope = scope
        self.work = work
        self.element: Any = None


Judge = Callable[[Frame], Any]


def compile_tree(tree: Node, text: str) -> Judge:
    """What judges the tree. Calling it raises Fault."""
    judge = _Compiler(text).judge(tree, None)
    cost = _NODE * tree.weight

    def whole(frame: Frame) -> Any:
        frame.work.spend(cost)
        return judge(frame)

    return whole


class _Compiler:
    """Knows the text, so that faults can tell operands as they are written."""

    def __init__(self, text: str) -> None:
        self.text = text

    def judge(self, node: Node, bound: str | None) -> Judge:
        """`bound`: the name of the macro around the node. Macros do not nest, so there is one at most."""
        match node:
            case Literal(value=value):
                return lambda frame: value
            case TypeName(name=name):
                named = CelType(name)
                return lambda frame: named
            case Name(name=name):
                return self.name(name, bound)
            case Select():
                return self.select(node, bound)
            case Index():
                return self.index(node, bound)
            case Has():
                return self.has(node, bound)
            case Call():
                return self.call(node, bound)
            case Macro():
                return self.macro(node)
            case Unary():
                return self.unary(node, bound)
            case Chain():
                return self.chain(node, bound)
            case Logic():
                return self.logic(node, bound)
            case Choice():
                return self.choice(node, bound)
            case ListOf(items=items):
                judges = [self.judge(item, bound) for item in items]
                return lambda frame: [judge(frame) for judge in judges]
            case MapOf():
                return self.map_of(node, bound)
        raise AssertionError(f"no such node: {node!r}")

    def source(self, node: Node) -> str:
        return self.text[node.start : node.end]

    # values ----------------------------------------------------------------------------------------------------

    def name(self, name: str, bound: str | None) -> Judge:
        if name == bound:
            return lambda frame: frame.element

        def variable(frame: Frame) -> Any:
            try:
                return frame.scope[name]
            except KeyError:
                raise Fault(f"`{name}` has no value here") from None

        return variable

    def select(self, node: Select, bound: str | None) -> Judge:
        base = self.judge(node.base, bound)
        root = self.source(node.base)
        keys = node.keys

        def selected(frame: Frame) -> Any:
            value = base(frame)
            for place, key in enumerate(keys):
                made = type(value)
                if (made is dict and key in value) or (
                    made is list and type(key) is int and key < len(value)
                ):
                    value = value[key]
                else:
                    value = step(value, key, lambda: path_text(root, keys[:place]))  # noqa: B023
            return value

        return selected

    def index(self, node: Index, bound: str | None) -> Judge:
        base, key = self.judge(node.base, bound), self.judge(node.key, bound)
        text = self.source(node.base)
        return lambda frame: step(base(frame), key(frame), lambda: text)

    def has(self, node: Has, bound: str | None) -> Judge:
        path = node.path
        last = path.keys[-1]
        text = self.source(path)
        parent = Select(base=path.base, keys=path.keys[:-1], start=path.start, end=path.end)
        base = self.select(parent, bound) if parent.keys else self.judge(path.base, bound)

        def has(frame: Frame) -> bool:
            value = base(frame)
            if is_map(value):
                return last in value
            if value is None:
                raise Fault(f"what {text} looks into is null; write get(…) or … != null && … first")
            raise Fault(f"what {text} looks into is {kind(value)} and has no keys")

        return has

    def map_of(self, node: MapOf, bound: str | None) -> Judge:
        pairs = [(self.judge(key, bound), self.judge(value, bound)) for key, value in node.pairs]

        def mapping(frame: Frame) -> dict[str, Any]:
            made: dict[str, Any] = {}
            for key_judge, value_judge in pairs:
                key = key_judge(frame)
                if type(key) is not str:
                    raise Fault(f"a map's keys are strings, not {kind(key)}")
                if key in made:
                    raise Fault(f'the key "{key[:100]}" stands twice in a map')
                made[key] = value_judge(frame)
            return made

        return mapping

    # operators -------------------------------------------------------------------------------------------------

    def unary(self, node: Unary, bound: str | None) -> Judge:
        operand = self.judge(node.operand, bound)
        texts = (self.source(node.operand),)

        def invert(frame: Frame) -> bool:
            value = operand(frame)
            if type(value) is bool:
                return not value
            raise Fault("`!` takes a bool; there is no truthiness").of(texts, (value,))

        def minus(frame: Frame) -> Any:
            value = operand(frame)
            try:
                return negate(frame.work, value)
            except Fault as fault:
                raise fault.of(texts, (value,)) from None

        return invert if node.operator == "!" else minus

    def chain(self, node: Chain, bound: str | None) -> Judge:
        first = self.judge(node.first, bound)
        links: list[tuple[Callable[..., Any], Judge, tuple[str, str], int]] = []
        for operator, operand in node.rest:
            texts = (
                self.text[node.start : links[-1][3]] if links else self.source(node.first),
                self.source(operand),
            )
            links.append((BINARY[operator], self.judge(operand, bound), texts, operand.end))
        if len(links) == 1:
            operate, second, texts, _ = links[0]

            def pair(frame: Frame) -> Any:
                left, right = first(frame), second(frame)
                try:
                    return operate(frame.work, left, right)
                except Fault as fault:
                    raise fault.of(texts, (left, right)) from None

            return pair

        def many(frame: Frame) -> Any:
            value = first(frame)
            for operate, judge, texts, _ in links:
                right = judge(frame)
                try:
                    value = operate(frame.work, value, right)
                except Fault as fault:
                    raise fault.of(texts, (value, right)) from None
            return value

        return many

    def logic(self, node: Logic, bound: str | None) -> Judge:
        """`&&` and `||`: as CEL has it, a term that decides does so although another fails."""
        terms = [(self.judge(term, bound), self.source(term)) for term in node.terms]
        decides = node.operator == "||"
        operator = node.operator

        def logic(frame: Frame) -> bool:
            failed: Fault | None = None
            for judge, text in terms:
                try:
                    value = judge(frame)
                    if type(value) is not bool:
                        raise Fault(f"`{operator}` takes bools; there is no truthiness").of((text,), (value,))
                except Exhausted:
                    raise
                except Fault as fault:
                    failed = failed or fault
                    continue
                if value is decides:
                    return decides
            if failed is not None:
                raise failed
            return not decides

        return logic

    def choice(self, node: Choice, bound: str | None) -> Judge:
        test, then, otherwise = (self.judge(part, bound) for part in (node.test, node.then, node.otherwise))
        text = self.source(node.test)

        def choice(frame: Frame) -> Any:
            value = test(frame)
            if value is True:
                return then(frame)
            if value is False:
                return otherwise(frame)
            raise Fault("`? :` takes a bool; there is no truthiness").of((text,), (value,))

        return choice

    # calls -----------------------------------------------------------------------------------------------------

    def call(self, node: Call, bound: str | None) -> Judge:
        function = FUNCTIONS[node.function]
        judges = [self.judge(arg, bound) for arg in node.args]
        texts = [self.source(arg) for arg in node.args]

        def call(frame: Frame) -> Any:
            args = [judge(frame) for judge in judges]
            try:
                return function(frame.work, *args)
            except Fault as fault:
                raise fault.of(texts, args) from None

        return call

    def macro(self, node: Macro) -> Judge:
        target = self.judge(node.target, None)
        bodies = [self.judge(part, node.name) for part in node.body]
        cost = _NODE * sum(part.weight for part in node.body)
        text = self.source(node.target)
        walk = _MACROS[node.macro]

        def macro(frame: Frame) -> Any:
            value = target(frame)
            if is_map(value):
                elements: list[Any] = list(value) if len(value) > MAX_ELEMENTS else sorted(value)
            elif type(value) is list:
                elements = value
            else:
                raise Fault(f"{node.macro} walks a list, not {kind(value)}").of((text,), (value,))
            if len(elements) > MAX_ELEMENTS:
                raise Fault(
                    f"{text} has {len(elements):,} elements; a macro walks at most {MAX_ELEMENTS:,}: "
                    "use compact, sum, size, or a task"
                )
            frame.work.spend(cost * len(elements))
            return walk(frame, elements, bodies, node)

        return macro


# macros ---------------------------------------------------------------------------------------------------------


def _tested(frame: Frame, element: Any, condition: Judge, node: Macro) -> bool:
    frame.element = element
    value = condition(frame)
    if type(value) is bool:
        return value
    raise Fault(f"the condition of {node.macro} gives {kind(value)}, no bool")


def _map(frame: Frame, elements: list[Any], bodies: list[Judge], node: Macro) -> list[Any]:
    made = []
    body = bodies[-1]
    for element in elements:
        if len(bodies) == 1 or _tested(frame, element, bodies[0], node):
            frame.element = element
            made.append(body(frame))
    return made


def _filter(frame: Frame, elements: list[Any], bodies: list[Judge], node: Macro) -> list[Any]:
    return [element for element in elements if _tested(frame, element, bodies[0], node)]


def _quantifier(decides: bool) -> Callable[[Frame, list[Any], list[Judge], Macro], bool]:
    """`exists` (one true decides) and `all` (one false does), although other elements may fail."""

    def walk(frame: Frame, elements: list[Any], bodies: list[Judge], node: Macro) -> bool:
        failed: Fault | None = None
        for element in elements:
            try:
                if _tested(frame, element, bodies[0], node) is decides:
                    return decides
            except Exhausted:
                raise
            except Fault as fault:
                failed = failed or fault
        if failed is not None:
            raise failed
        return not decides

    return walk


def _exists_one(frame: Frame, elements: list[Any], bodies: list[Judge], node: Macro) -> bool:
    return sum(_tested(frame, element, bodies[0], node) for element in elements) == 1


_MACROS: dict[str, Callable[[Frame, list[Any], list[Judge], Macro], Any]] = {
    "map": _map,
    "filter": _filter,
    "all": _quantifier(False),
    "exists": _quantifier(True),
    "exists_one": _exists_one,
}
