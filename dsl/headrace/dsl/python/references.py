"""A reference: what a task call gives inside a workflow, in place of the value that exists only once the task has run.

Fields and items of it are paths, operators make expressions, text made of it is a template. What Python would have to
decide now, and cannot, raises `BuildError` at the user's line and names the way out.
"""

from __future__ import annotations

from typing import Any, NoReturn

from headrace.dsl.python import places
from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.formulas import AND, OR, PRODUCT, RELATION, SUM, Formula, View
from headrace.dsl.python.tracing import current_view


class Reference:
    """A value that will exist. It has no methods and no attributes of its own: every name is a field of the value."""

    __slots__ = ("__formula__",)
    __formula__: Formula

    def __init__(self, formula: Formula) -> None:
        object.__setattr__(self, "__formula__", formula)

    # -- paths -------------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Reference:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # the protocols of Python and its tools, never a field
        _no_secret(self, f".{name}")
        return Reference(self.__formula__.field(name))

    def __getitem__(self, key: object) -> Reference:
        _no_secret(self, f"[{key!r}]")
        if isinstance(key, Reference):
            return Reference(self.__formula__.looked_up(key.__formula__))
        if isinstance(key, slice):
            raise BuildError(
                "a reference cannot be sliced: its value does not exist yet",
                "Cut the list inside a task.",
            )
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise BuildError(f"an item of a reference is named by a text or a number, not by {key!r}")
        if isinstance(key, int) and key < 0:
            raise BuildError(
                "an item cannot be counted from the end: how long the list is, only the run knows",
                'Write expr("list[size(list) - 1]", list=…).',
            )
        return Reference(self.__formula__.item(key))

    # -- expressions -------------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> Reference:  # type: ignore[override]
        return _binary(self, "==", other, RELATION)

    def __ne__(self, other: object) -> Reference:  # type: ignore[override]
        return _binary(self, "!=", other, RELATION)

    def __lt__(self, other: object) -> Reference:
        return _binary(self, "<", other, RELATION)

    def __le__(self, other: object) -> Reference:
        return _binary(self, "<=", other, RELATION)

    def __gt__(self, other: object) -> Reference:
        return _binary(self, ">", other, RELATION)

    def __ge__(self, other: object) -> Reference:
        return _binary(self, ">=", other, RELATION)

    def __and__(self, other: object) -> Reference:
        return _binary(self, "&&", _condition(other, "&"), AND)

    def __rand__(self, other: object) -> Reference:
        return _binary(_condition(other, "&"), "&&", self, AND)

    def __or__(self, other: object) -> Reference:
        return _binary(self, "||", _condition(other, "|"), OR)

    def __ror__(self, other: object) -> Reference:
        return _binary(_condition(other, "|"), "||", self, OR)

    def __invert__(self) -> Reference:
        _no_secret(self, "~")
        return Reference(self.__formula__.unary("!"))

    def __neg__(self) -> Reference:
        _no_secret(self, "-")
        return Reference(self.__formula__.unary("-"))

    def __add__(self, other: object) -> Reference:
        return _binary(self, "+", other, SUM)

    def __radd__(self, other: object) -> Reference:
        return _binary(other, "+", self, SUM)

    def __sub__(self, other: object) -> Reference:
        return _binary(self, "-", other, SUM)

    def __rsub__(self, other: object) -> Reference:
        return _binary(other, "-", self, SUM)

    def __mul__(self, other: object) -> Reference:
        return _binary(self, "*", other, PRODUCT)

    def __rmul__(self, other: object) -> Reference:
        return _binary(other, "*", self, PRODUCT)

    def __truediv__(self, other: object) -> Reference:
        return _binary(self, "/", other, PRODUCT)

    def __rtruediv__(self, other: object) -> Reference:
        return _binary(other, "/", self, PRODUCT)

    def __mod__(self, other: object) -> Reference:
        return _binary(self, "%", other, PRODUCT)

    def __rmod__(self, other: object) -> Reference:
        return _binary(other, "%", self, PRODUCT)

    # -- templates ---------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return template(self, current_view())

    # A list of references in an f-string is written by its items' repr: it must be a template too, never a riddle.
    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        if spec:
            raise BuildError(
                f'the format "{spec}" cannot be applied: the value does not exist yet',
                "Format inside a task, or write expr(\"format_time(t, '%Y-%m-%d', 'UTC')\", t=…).",
            )
        return str(self)

    # -- what Python would have to decide now ------------------------------------------------------------------------

    def __bool__(self) -> NoReturn:
        message, hint = _TRUTH[places.truth_construct()]
        raise BuildError(message, hint)

    def __iter__(self) -> NoReturn:
        message, hint = _ITERATION[places.iteration_construct()]
        raise BuildError(message, hint)

    def __len__(self) -> NoReturn:
        raise BuildError(
            "len() of a reference: how long it is, only the run knows", 'Write expr("size(x)", x=…).'
        )

    def __contains__(self, item: object) -> NoReturn:
        raise BuildError(*_TRUTH["in"])

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        text = self.__formula__.text(current_view())
        raise BuildError(
            f"{text} is a reference, not a function: a reference has no methods",
            "Write the call in CEL, such as expr(\"x.startsWith('a')\", x=…), or do it inside a task.",
        )

    def __hash__(self) -> int:
        raise BuildError(
            "a reference cannot be a key of a dict or a member of a set: its value does not exist yet",
            "Use a list, or keep it as a value.",
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise BuildError(f"a reference cannot be changed: .{name} is set", "Change the value inside a task.")

    def __delattr__(self, name: str) -> None:
        raise BuildError(
            f"a reference cannot be changed: .{name} is deleted", "Change the value inside a task."
        )

    def __setitem__(self, key: object, value: object) -> None:
        raise BuildError(
            f"a reference cannot be changed: [{key!r}] is set", "Change the value inside a task."
        )

    def __delitem__(self, key: object) -> None:
        raise BuildError(f"a reference cannot be changed: [{key!r}] is deleted", "Change it inside a task.")

    def __await__(self) -> NoReturn:
        raise BuildError(
            "a task call inside a workflow is not awaited", "Drop the await: the call gives a reference."
        )

    def __copy__(self) -> Reference:
        return self

    def __deepcopy__(self, memo: object) -> Reference:
        return self


def _refused(operation: str, hint: str) -> Any:
    def refuse(self: Reference, *operands: object) -> NoReturn:
        raise BuildError(f"{operation} of a reference is no expression", hint)

    return refuse


for _name, _operation, _hint in (
    ("__int__", "int()", 'Write expr("int(x)", x=…).'),
    ("__index__", "a number made", 'Write expr("int(x)", x=…).'),
    ("__float__", "float()", 'Write expr("double(x)", x=…).'),
    ("__complex__", "complex()", "Compute it inside a task."),
    ("__abs__", "abs()", 'Write expr("math.abs(x)", x=…).'),
    ("__round__", "round()", 'Write expr("math.round(x)", x=…).'),
    ("__floor__", "floor()", 'Write expr("math.floor(x)", x=…).'),
    ("__ceil__", "ceil()", 'Write expr("math.ceil(x)", x=…).'),
    ("__trunc__", "trunc()", 'Write expr("int(x)", x=…).'),
    ("__pos__", "unary +", "Leave it out."),
    ("__reversed__", "reversed()", "Turn the list inside a task."),
    ("__bytes__", "bytes()", "Encode inside a task."),
    ("__aiter__", "async for", "Fan out with task.map(list)."),
    ("__enter__", "with", "Open it inside a task."),
    ("__exit__", "with", "Open it inside a task."),
    ("__fspath__", "a file path", "Open the file inside a task."),
    *(
        (f"__{prefix}{operator}__", sign, "Compute it inside a task.")
        for operator, sign in (
            ("floordiv", "//"),
            ("pow", "**"),
            ("matmul", "@"),
            ("lshift", "<<"),
            ("rshift", ">>"),
            ("xor", "^"),
            ("divmod", "divmod()"),
        )
        for prefix in ("", "r")
    ),
):
    setattr(Reference, _name, _refused(_operation, _hint))


_LATER = "a reference has no truth value: it exists only once the task has run"
_WHEN = "Write .options(when=…) on the task, or with switch(id=…)."
_TRUTH: dict[str | None, tuple[str, str]] = {
    "if": (f"`if` on a reference: {_LATER}", _WHEN),
    "while": (f"`while` on a reference: {_LATER}", "Use poll, or a group with loop."),
    "assert": (f"`assert` on a reference: {_LATER}", "Check it inside a task, or with gate(…)."),
    "and": (f"`and` on a reference: {_LATER}", "Write (a) & (b)."),
    "or": (f"`or` on a reference: {_LATER}", 'Write (a) | (b); for a default, expr("default(x, 1)", x=…).'),
    "not": (f"`not` on a reference: {_LATER}", "Write ~(a)."),
    "in": (f"`in` on a reference: {_LATER}", 'Write expr("x in list", x=…, list=…).'),
    "chain": (f"a chained comparison of references: {_LATER}", "Write (1 < x) & (x < 10)."),
    None: (_LATER, _WHEN + " Combine conditions with & | ~."),
}
_ITERATION: dict[str | None, tuple[str, str]] = {
    "for": (
        "`for` over a reference: its items exist only once the task has run",
        "Fan out with task.map(list).",
    ),
    "unpack": (
        "a reference cannot be unpacked: its items exist only once the task has run",
        "Write x[0], x[1].",
    ),
    None: (
        "a reference cannot be iterated: its items exist only once the task has run",
        "Use task.map(list).",
    ),
}


def _no_secret(reference: Reference, operation: str) -> None:
    parts = reference.__formula__.parts
    if len(parts) == 1 and isinstance(parts[0], str) and parts[0].startswith("secrets."):
        raise BuildError(
            f"a secret stands alone or within text, never under an operation ({operation})",
            "Pass it to the task whole.",
        )


def _condition(value: object, operator: str) -> object:
    if isinstance(value, bool):
        raise BuildError(
            f"{value} beside {operator} is a plain value of Python, decided while the workflow is built",
            "`is None` and isinstance() cannot see a reference: write x == None.",
        )
    return value


def _binary(left: object, operator: str, right: object, level: int) -> Reference:
    from headrace.dsl.python.values import operand

    for side in (left, right):
        if isinstance(side, Reference):
            _no_secret(side, operator)
    return Reference(operand(left).binary(operator, operand(right), level))


def formula(reference: Reference) -> Formula:
    """What the reference says. A function, because a reference has no methods of its own."""
    return reference.__formula__


def template(reference: Reference, view: View | None) -> str:
    """`${{ … }}` around the reference, as it is written at `view`."""
    return "${{ " + reference.__formula__.text(view) + " }}"
