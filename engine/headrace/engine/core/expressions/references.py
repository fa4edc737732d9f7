"""References: which names an expression reads, as far as its text tells literally."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.engine.core.evaluation import PathParts, Reference
from headrace.engine.core.expressions.lexer import is_name, quote
from headrace.engine.core.expressions.problems import ExpressionProblem
from headrace.engine.core.expressions.syntax import Index, Macro, Name, Node, Select

NAMED_ROOTS = frozenset({"tasks", "params", "run", "secrets"})
"""Roots whose first key is part of the name: a reference tells them by `name`."""


def references(tree: Node, *, secrets: bool) -> tuple[Reference, ...]:
    """Every reference once, in order of appearance; names bound by macros are none.

    `secrets`: whether the expression may be one secret, whole. Raises ExpressionProblem where a secret or a task is
    referred to in a way that cannot be followed.
    """
    alone = lone(tree, secrets=secrets)
    if alone is not None:
        return (alone,)
    return tuple(dict.fromkeys(_walk(tree, frozenset())))


def lone(tree: Node, *, secrets: bool) -> Reference | None:
    """The reference that the whole expression is, or None when it is anything more or else."""
    base = tree.base if isinstance(tree, Select) else tree
    if not isinstance(base, Name):
        return None
    keys = tree.keys if isinstance(tree, Select) else ()
    return _reference(base, keys, whole=True, secrets=secrets)


def path_text(root: str, keys: PathParts) -> str:
    """A path as it is written: `tasks["my-task"].output.files[0]`."""
    return root + "".join(
        f".{key}" if is_name(key) else f"[{quote(key)}]" if isinstance(key, str) else f"[{key}]"
        for key in keys
    )


def _walk(node: Node, bound: frozenset[str]) -> Iterator[Reference]:
    if isinstance(node, Name):
        if node.name not in bound:
            yield _reference(node, (), whole=False, secrets=False)
        return
    if isinstance(node, Select) and isinstance(node.base, Name):
        if node.base.name not in bound:
            yield _reference(node.base, node.keys, whole=False, secrets=False)
        return
    if isinstance(node, Index) and isinstance(node.base, Name) and node.base.name == "tasks":
        raise ExpressionProblem(
            "tasks[…] with a computed id cannot be followed.",
            'Name each task: tasks.a or tasks["a"].',
            node.start,
        )
    if isinstance(node, Macro):
        yield from _walk(node.target, bound)
        for part in node.body:
            yield from _walk(part, bound | {node.name})
        return
    for child in node.children():
        yield from _walk(child, bound)


def _reference(base: Name, keys: PathParts, *, whole: bool, secrets: bool) -> Reference:
    root = base.name
    if root == "secrets":
        _check_secret(base, keys, whole and secrets)
    if root not in NAMED_ROOTS:
        return Reference(root, None, keys, whole)
    if keys and isinstance(keys[0], str):
        return Reference(root, keys[0], keys[1:], whole)
    if root == "tasks":
        raise ExpressionProblem(
            "`tasks` stands for no value of its own.", 'Name a task: tasks.a or tasks["a"].', base.start
        )
    return Reference(root, None, keys, whole)


def _check_secret(base: Name, keys: PathParts, allowed: bool) -> None:
    if not allowed:
        raise ExpressionProblem(
            "a secret stands only as a whole piece, never in a condition or under an operator.",
            "Pass it in `with` or `env` as ${{ secrets.name }}; text around the piece is fine.",
            base.start,
        )
    if len(keys) != 1 or not is_name(keys[0]):
        raise ExpressionProblem("a secret has a name and no fields.", "Write secrets.name.", base.start)
