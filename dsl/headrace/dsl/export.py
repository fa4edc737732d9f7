"""A workflow as a YAML file: its plan is the same, defaults are left out."""

from __future__ import annotations

from headrace.dsl.language.writing import language_of
from headrace.dsl.yaml_writer import write_yaml
from headrace.engine.core.workflow import Workflow


def to_yaml(workflow: Workflow) -> str:
    """YAML that reads back to the same workflow, and so to the same hash."""
    return write_yaml(language_of(workflow))
