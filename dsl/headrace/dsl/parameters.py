"""The parameters of one run: what was given, checked, and completed with defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace.dsl.json_schema import violations
from headrace.dsl.reading import check_values
from headrace.dsl.words import show
from headrace.engine.core.concurrency import key_of
from headrace.engine.core.evaluation import EvaluationError, Evaluator, Scope
from headrace.engine.core.expressions import ExpressionProblem, has_template, parse_template
from headrace.engine.core.problems import InvalidWorkflow, Problem, did_you_mean
from headrace.engine.core.workflow import Json, Workflow


def complete(
    workflow: Workflow, given: Mapping[str, Json], *, scope: Scope, evaluator: Evaluator
) -> dict[str, Json]:
    """Every parameter's value, in the order of the workflow: the given one, else its default.

    `scope` holds `run` and `event`, over which defaults that are templates are judged. Raises InvalidWorkflow with one
    problem (code `invalid_parameter`, path `params`, name, …) for everything that is wrong, missing or unknown, and for a
    concurrency key that cannot be judged with these values.
    """
    problems: list[Problem] = []

    def tell(name: str, message: str, hint: str | None = None, below: tuple[str | int, ...] = ()) -> None:
        problems.append(Problem("invalid_parameter", message, hint, ("params", name, *below)))

    known = workflow.params
    for name in given:
        if name not in known:
            hint = did_you_mean(name[:100], known)
            if hint is None:
                hint = f"It has {', '.join(known)}." if known else "It has none."
            tell(name, f'workflow "{workflow.name}" has no parameter {show(name)}.', hint)
    completed: dict[str, Json] = {}
    for name, schema in known.items():
        if name in given:
            value = given[name]
        elif "default" in schema:
            try:
                value = _default(schema["default"], scope, evaluator)
            except (EvaluationError, ExpressionProblem) as problem:
                tell(name, f"the default of {name} cannot be judged: {problem}.", f"Give {name} a value.")
                continue
        else:
            about = schema.get("description")
            tell(name, f"the parameter {name} is missing.", f"It is: {show(about)[1:-1]}" if about else None)
            continue
        found = [problem.message for problem in check_values(value)]
        if found:
            tell(name, f"{name}: {found[0]}")
            continue
        for below, message in violations(schema, value):
            where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in below)
            tell(name, f"{name}{show(where)[1:-1]}: {message}", None, below)
        completed[name] = value
    if not problems:
        problems += _unjudged_keys(workflow, {**scope, "params": completed}, evaluator)
    if problems:
        raise InvalidWorkflow(problems)
    return completed


def _unjudged_keys(workflow: Workflow, scope: Scope, evaluator: Evaluator) -> Iterator[Problem]:
    for place, entry in enumerate(workflow.concurrency):
        try:
            key_of(entry, scope, evaluator)
        except EvaluationError as problem:
            message = f"the key of concurrency[{place}] cannot be judged: {problem}."
            yield Problem("invalid_parameter", message, None, ("concurrency", place, "key"))


def _default(default: Json, scope: Scope, evaluator: Evaluator) -> Json:
    if not has_template(default):
        return default
    return evaluator.fill(parse_template(default), scope).value
