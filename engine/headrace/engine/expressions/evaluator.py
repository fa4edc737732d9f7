"""The evaluator: expressions and templates, with the values of a scope put in."""

from __future__ import annotations

from functools import lru_cache

from headrace.engine.core.evaluation import (
    Artifact,
    EvaluationError,
    Expression,
    Filled,
    Hole,
    PathParts,
    Reference,
    Scope,
    Secret,
    Template,
)
from headrace.engine.core.expressions import path_text, tree_of
from headrace.engine.core.workflow import Json
from headrace.engine.expressions.compiler import Frame, Judge, compile_tree
from headrace.engine.expressions.faults import Fault
from headrace.engine.expressions.kinds import kind
from headrace.engine.expressions.lookup import look_up
from headrace.engine.expressions.values import as_text, to_json
from headrace.engine.expressions.work import Work

Part = str | Secret | Artifact

_NOT_LOADED = "expressions read values of at most 16 MiB; a path alone hands on any"


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Judge:
    return compile_tree(tree_of(text), text)


class CelEvaluator:
    """Judges CEL. Pure and without state of its own: one instance serves all threads."""

    def condition(self, expression: Expression, scope: Scope) -> bool:
        """The boolean value. Raises EvaluationError, also when the value is no boolean."""
        if expression.lone is not None:
            value = look_up(expression.lone, scope, expression.text)
        else:
            try:
                value = _compiled(expression.text)(Frame(scope, Work()))
            except Fault as fault:
                raise _told(expression, fault) from None
        if type(value) is bool:
            return value
        raise EvaluationError(expression.text, f"a condition gives true or false, not {kind(value)}")

    def fill(self, template: Template, scope: Scope) -> Filled:
        """The template's value, with holes for what only the worker knows. Raises EvaluationError."""
        if not template.pieces:
            return Filled(template.value)
        work = Work()
        holes: list[Hole] = []
        filling = _Filling(template.value)
        for path, parts in template.pieces:
            if len(parts) == 1:
                value, found = self._lone(parts[0], path, scope, work)
            else:
                value, found = self._text(parts, path, scope, work)
            holes += found
            filling.put(path, value)
        return Filled(filling.value, tuple(holes))

    def _lone(
        self, part: str | Expression, path: PathParts, scope: Scope, work: Work
    ) -> tuple[Json, list[Hole]]:
        """A string that is one piece: the value keeps its type."""
        if isinstance(part, str):
            return part, []
        reference = part.lone
        if reference is None:
            return self._value(part, scope, work), []
        if reference.root == "secrets":
            return None, [Hole(path, (_secret(reference),))]
        value = look_up(reference, scope, part.text)
        if type(value) is Artifact:
            return None, [Hole(path, (value,))]
        if type(value) is list and Artifact in map(type, value):  # outputs of a mapped task's items
            holes = [Hole((*path, at), (item,)) for at, item in enumerate(value) if type(item) is Artifact]
            return [None if type(item) is Artifact else item for item in value], holes
        return value, []

    def _text(
        self, parts: tuple[str | Expression, ...], path: PathParts, scope: Scope, work: Work
    ) -> tuple[Json, list[Hole]]:
        """A string with text around its pieces, or with several."""
        written: list[str | Secret] = [""]
        for part in parts:
            if isinstance(part, str):
                text = part
            elif part.lone is not None and part.lone.root == "secrets":
                written += (_secret(part.lone), "")
                continue
            else:
                text = self._written(part, scope, work)
            written[-1] = f"{written[-1]}{text}"
        if len(written) == 1:
            return written[0], []
        return None, [Hole(path, tuple(part for part in written if part != ""))]

    def _written(self, expression: Expression, scope: Scope, work: Work) -> str:
        """One piece inside text."""
        if expression.lone is None:
            value = self._value(expression, scope, work)
        else:
            value = look_up(expression.lone, scope, expression.text)
            if type(value) is Artifact:
                raise EvaluationError(expression.text, f"{kind(value)}; {_NOT_LOADED}")
        try:
            text = as_text(value)
            work.spend(len(text) >> 4)
            work.keep(len(text))
        except Fault as fault:
            raise _told(expression, fault) from None
        return text

    def _value(self, expression: Expression, scope: Scope, work: Work) -> Json:
        try:
            return to_json(work, _compiled(expression.text)(Frame(scope, work)))
        except Fault as fault:
            raise _told(expression, fault) from None


class _Filling:
    """A copy of a template's value, of just as much as is written to."""

    def __init__(self, value: Json) -> None:
        self.value = value
        self._own: set[PathParts] = set()

    def put(self, path: PathParts, value: Json) -> None:
        if not path:
            self.value = value
            return
        if () not in self._own:
            self._own.add(())
            self.value = self.value.copy()
        within = self.value
        for depth, key in enumerate(path[:-1], start=1):
            if path[:depth] not in self._own:
                self._own.add(path[:depth])
                within[key] = within[key].copy()
            within = within[key]
        within[path[-1]] = value


def _secret(reference: Reference) -> Secret:
    assert reference.name is not None, path_text(reference.root, reference.path)
    return Secret(reference.name)


def _told(expression: Expression, fault: Fault) -> EvaluationError:
    why = fault.why
    if "not loaded" in why or "not loaded" in str(fault.operands):
        why = f"{why}; {_NOT_LOADED}"
    return EvaluationError(expression.text, why, fault.operands)
