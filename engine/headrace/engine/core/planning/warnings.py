"""What `validate` warns of: legal workflows that will surprise their author."""

from __future__ import annotations

from headrace.engine.core.plan import Plan
from headrace.engine.core.planning.findings import Findings
from headrace.engine.core.planning.names import Names


def warn(plan: Plan, names: Names, findings: Findings) -> None:
    """Add every warning that needs the finished plan."""
