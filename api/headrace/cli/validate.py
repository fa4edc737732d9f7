"""`headrace validate`: every problem of every file, each with its place. Nothing is run."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from headrace.cli.failure import Status, Stop
from headrace.cli.files import expand
from headrace.cli.output import print_json, say
from headrace.cli.problems import show_problems
from headrace.engine.core.problems import InvalidWorkflow, Problem


def validate(
    *files: Annotated[str, Parameter(allow_leading_hyphen=True)],
    json: Annotated[bool, Parameter(help="One object on stdout, for programs.")] = False,
    strict: Annotated[bool, Parameter(help="Warnings fail too.")] = False,
) -> int:
    """Check workflows; every problem with its place.

    Parameters
    ----------
    files
        Workflow files (FILE.py:name for one workflow of a Python file), folders, or - for YAML on stdin.
    """
    for file in files:
        if file.startswith("-") and file != "-":
            raise Stop(f"Unknown option: {file}.", hint="headrace validate --help tells what it takes.")
    if not files:
        raise Stop("validate takes at least one file or folder.", hint="headrace validate .")
    targets = list(expand(files))
    if not targets:
        raise Stop(f"no workflow file in {', '.join(files)}.")
    from headrace.dsl.source import load, not_supported, plan

    problems: list[Problem] = []
    warnings: list[Problem] = []
    plans: list[tuple[str, str]] = []
    for target in targets:
        try:
            for source in load(target.path, target.name):
                try:
                    planned = plan(source)
                except InvalidWorkflow as error:
                    problems += error.problems
                    warnings += error.warnings
                    continue
                warnings += planned.warnings
                known = {(warning.code, warning.path) for warning in planned.warnings}
                warnings += [
                    problem.at(source.locate(problem.path, problem.task))
                    for problem in not_supported(source.workflow)
                    if (problem.code, problem.path) not in known
                ]
                plans.append((source.workflow.name, planned.plan.hash))
        except InvalidWorkflow as error:
            problems += error.problems
            warnings += error.warnings
    valid = not problems
    if json:
        print_json(verdict(problems, warnings, plans if valid else []))
    else:
        show_problems(problems, warnings)
        if valid:
            for name, plan_hash in plans:
                say(f"✓ {name}  {plan_hash[:19]}")
    return Status.OK if valid and not (strict and warnings) else Status.USAGE


def verdict(
    problems: list[Problem] | tuple[Problem, ...],
    warnings: list[Problem] | tuple[Problem, ...] = (),
    plans: list[tuple[str, str]] | tuple[()] = (),
) -> dict[str, object]:
    """The object of `validate --json`; `workflow` and `plan` are null unless exactly one workflow was valid."""
    from headrace.engine.core.drawing import problem_document

    only = plans[0] if len(plans) == 1 else (None, None)
    return {
        "schema": 1,
        "valid": not problems,
        "workflow": only[0],
        "plan": only[1],
        "problems": [problem_document(problem) for problem in problems],
        "warnings": [problem_document(problem) for problem in warnings],
    }
