"""Planning: a Workflow value becomes a Plan, or all of its problems at once."""

from headrace.engine.core.planning.build import PlanLimits, build_plan
from headrace.engine.core.planning.names import Check
from headrace.engine.core.planning.templates import NodeTemplates, compiled

__all__ = ["Check", "NodeTemplates", "PlanLimits", "build_plan", "compiled"]
