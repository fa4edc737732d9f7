"""Authoring: Python decorators and YAML files, both yielding one Workflow value.

Names are loaded when first used (PEP 562), so `import headrace.dsl` costs nothing: the Python language does not pay
for the YAML reader, nor the reader for pydantic before a document is checked.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.dsl.document import read_document as read_document
    from headrace.dsl.export import to_yaml as to_yaml
    from headrace.dsl.export_python import to_python as to_python
    from headrace.dsl.parameters import complete as complete
    from headrace.dsl.python import *  # noqa: F403
    from headrace.dsl.report import validation_report as validation_report
    from headrace.dsl.schema import workflow_schema as workflow_schema
    from headrace.dsl.source import Planned as Planned
    from headrace.dsl.source import Source as Source
    from headrace.dsl.source import load as load
    from headrace.dsl.source import plan as plan
    from headrace.dsl.source import read_text as read_text
    from headrace.dsl.unsupported import not_supported as not_supported

# What `headrace.dsl.python` offers, by name: looking there would import it. No module here may have one of these names,
# or importing it would put the module in the name's place.
_PYTHON = [
    "After",
    "Approval",
    "Assets",
    "AsyncTask",
    "At",
    "BuildError",
    "Cache",
    "ChildOptions",
    "ChildWorkflow",
    "Concurrency",
    "Condition",
    "Cron",
    "Defaults",
    "Duration",
    "Every",
    "Fail",
    "Group",
    "GroupOptions",
    "HttpAnswer",
    "Kafka",
    "Limits",
    "Loop",
    "Map",
    "Outcome",
    "Param",
    "Poll",
    "Pool",
    "PythonSource",
    "Retention",
    "Retry",
    "Rule",
    "Signal",
    "Skip",
    "Switch",
    "Task",
    "TaskOptions",
    "Timeouts",
    "Trigger",
    "TriggerRule",
    "Webhook",
    "WorkflowFunction",
    "WorkflowOptions",
    "approval",
    "child",
    "container",
    "current",
    "error",
    "event",
    "expr",
    "finally_",
    "gate",
    "group",
    "http",
    "item",
    "item_index",
    "literal",
    "load_python",
    "loop",
    "message",
    "noop",
    "on_failure",
    "outcome",
    "output",
    "params",
    "run",
    "secret",
    "shell",
    "signal",
    "sleep",
    "switch",
    "task",
    "workflow",
]
_HOMES = {
    **dict.fromkeys(_PYTHON, "headrace.dsl.python"),
    "Planned": "headrace.dsl.source",
    "Source": "headrace.dsl.source",
    "complete": "headrace.dsl.parameters",
    "load": "headrace.dsl.source",
    "not_supported": "headrace.dsl.unsupported",
    "plan": "headrace.dsl.source",
    "read_document": "headrace.dsl.document",
    "read_text": "headrace.dsl.source",
    "to_python": "headrace.dsl.export_python",
    "to_yaml": "headrace.dsl.export",
    "validation_report": "headrace.dsl.report",
    "workflow_schema": "headrace.dsl.schema",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
