"""Arguments bound to a function's signature while the workflow is built, so that a wrong call never reaches a worker."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from headrace.dsl.python.errors import BuildError
from headrace.engine.core.problems import did_you_mean

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Signature:
    """What a function takes, by keyword: that is how a worker calls it."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.required: list[str] = []
        self.positional: list[str] = []
        self.names: list[str] = []
        self.open = False  # takes any keyword
        self.refused: str | None = None
        for parameter in inspect.signature(function).parameters.values():
            match parameter.kind:
                case inspect.Parameter.VAR_KEYWORD:
                    self.open = True
                    continue
                case inspect.Parameter.VAR_POSITIONAL:
                    self.refused = f"*{parameter.name}"
                    continue
                case inspect.Parameter.POSITIONAL_ONLY:
                    self.refused = f"{parameter.name}, /"
            self.names.append(parameter.name)
            if parameter.kind in _POSITIONAL:
                self.positional.append(parameter.name)
            if parameter.default is inspect.Parameter.empty:
                self.required.append(parameter.name)

    def known(self, names: Mapping[str, object]) -> None:
        """Raises BuildError when a name is no parameter."""
        for name in names:
            if name not in self.names and not self.open:
                raise self._error(f'has no parameter "{name}".', did_you_mean(name, self.names))

    def bind(
        self,
        positional: Sequence[Any],
        named: Mapping[str, Any],
        fixed: Mapping[str, Any] = MappingProxyType({}),
        *,
        complete: bool = True,
    ) -> dict[str, Any]:
        """Values by parameter name, in the order of the signature; positions count past the fixed ones.

        `complete`: all that are required must be there.

        Raises BuildError naming the missing, unknown, repeated or surplus argument.
        """
        if self.refused is not None:
            raise self._error(
                f"takes `{self.refused}`: a worker passes arguments by name", "Give each parameter a name."
            )
        self.known(named)
        free = [name for name in self.positional if name not in fixed]
        if len(positional) > len(free):
            taken = f"{len(free)} argument{'' if len(free) == 1 else 's'}"
            raise self._error(f"takes {taken} by position, not {len(positional)}", None)
        given = dict(zip(free, positional, strict=False))
        for name in named:
            if name in given:
                raise self._error(f'gets "{name}" twice', None)
        values = {**fixed, **given, **named}
        missing = [name for name in self.required if name not in values]
        if missing and complete:
            raise self._error(f"misses {', '.join(missing)}", None)
        order = {name: place for place, name in enumerate(self.names)}
        return dict(sorted(values.items(), key=lambda entry: order.get(entry[0], len(order))))

    def _error(self, message: str, hint: str | None) -> BuildError:
        return BuildError(f"{self.name}() {message}", hint, code="schema", task=self.name)
