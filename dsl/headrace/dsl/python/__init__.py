"""The Python spelling of the language: decorators, references, blocks and policies (docs/language.md, section 11).

A workflow function is executed while it is built. It writes the same document that a YAML file gives, which then goes
through the same checks, so that both spellings have one meaning and one plan hash.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headrace.dsl.python.blocks import Switch, finally_, on_failure, switch
from headrace.dsl.python.constructors import (
    Approval,
    HttpAnswer,
    approval,
    container,
    gate,
    http,
    noop,
    shell,
    signal,
    sleep,
)
from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.groups import Group, group
from headrace.dsl.python.loading import PythonSource, load_python
from headrace.dsl.python.names import (
    Outcome,
    error,
    event,
    expr,
    item,
    item_index,
    literal,
    loop,
    message,
    outcome,
    output,
    params,
    run,
    secret,
)
from headrace.dsl.python.options import ChildOptions, Defaults, GroupOptions, TaskOptions, TriggerRule
from headrace.dsl.python.parameters import Param
from headrace.dsl.python.policies import (
    Cache,
    Concurrency,
    Condition,
    Duration,
    Limits,
    Loop,
    Map,
    Poll,
    Pool,
    Retention,
    Retry,
    Rule,
    Signal,
    Timeouts,
)
from headrace.dsl.python.tasks import AsyncTask, Task, task
from headrace.dsl.python.triggers import After, Assets, At, Cron, Every, Kafka, Trigger, Webhook
from headrace.dsl.python.workflows import ChildWorkflow, WorkflowFunction, WorkflowOptions, child, workflow

if TYPE_CHECKING:
    from headrace.runners.context import Fail, Skip, current

_CONTEXT = ("Fail", "Skip", "current")


def __getattr__(name: str) -> Any:
    if name in _CONTEXT:  # what a running task says and asks: the runners' own, loaded when it is needed
        return getattr(import_module("headrace.runners.context"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
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
