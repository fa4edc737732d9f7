"""What checking workflows found, as one object for programs: `validate --json`, and the answer to a refused upload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.engine.core.plan import Plan
from headrace.engine.core.problems import Problem


def validation_report(
    problems: Sequence[Problem], warnings: Sequence[Problem] = (), plans: Sequence[Plan] = ()
) -> dict[str, Any]:
    """The object; `workflow` and `plan` are null unless there is exactly one plan and no problem."""
    from headrace.engine.core.drawing import problem_document

    only = plans[0] if len(plans) == 1 and not problems else None
    return {
        "schema": 1,
        "valid": not problems,
        "workflow": None if only is None else only.workflow.name,
        "plan": None if only is None else only.hash,
        "problems": [problem_document(problem) for problem in problems],
        "warnings": [problem_document(warning) for warning in warnings],
    }
