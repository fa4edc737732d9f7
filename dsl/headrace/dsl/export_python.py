"""A workflow as a Python file: functions are imported by name and wrapped by `task()`; the plan's hash stays the same.

The file is text made from the workflow alone: nothing of the user's is imported to write it. References to tasks and
parameters become variables where these are in sight; every other expression stays text, which means the same in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.dsl.language.writing import language_of
from headrace.dsl.python_source.annotations import annotation
from headrace.dsl.python_source.layout import Code, Names, call, constant, lines, listing, quote
from headrace.dsl.python_source.module import Document, Module, unwritable
from headrace.dsl.python_source.sections import every_name, list_names, write_section
from headrace.dsl.python_source.values import Scope, value
from headrace.engine.core.workflow import Workflow

_TRIGGERS = {"cron": "Cron", "every": "Every", "at": "At"}


def to_python(workflow: Workflow) -> str:
    """The source of a Python file that defines the same workflow.

    Raises InvalidWorkflow for the few things that only YAML can say, such as a parameter named by a word of Python's.
    """
    document = language_of(workflow)
    params: Document = document.get("params", {})
    for name in params:
        if not name.isidentifier() or name in Names.WORDS:
            raise unwritable(f'the parameter "{name}"', "Give it another name.", ("params", name))
    module = Module(params, list_names(document))
    function = module.names.give(workflow.name)
    scope = Scope(module)
    scope.read = frozenset(every_name(document))
    body = write_section(document["tasks"], scope, ("tasks",), 4)
    for key, opening in (("on_failure", "on_failure"), ("finally", "finally_")):
        if key in document:
            body.append(f"    with {module.dsl(opening)}():")
            body += write_section(document[key], scope.section(), (key,), 8)
    if "output" in document:
        body += lines(value(document["output"], scope), 4, "return ")
    head = _decorator(document, function, module)
    signature = _signature(function, params, module)
    text = document.get("description", "")
    doc = [f'    """{text}"""'] if _is_docstring(text) else []
    return "\n".join([*module.header(), "", "", *head, *signature, *doc, *_tidy(body)]) + "\n"


def _tidy(body: Sequence[str]) -> list[str]:
    """Without blank lines at the beginning of a block, at the end, or twice."""
    found: list[str] = []
    for line in body:
        if line or (found and found[-1] and not found[-1].endswith(":")):
            found.append(line)
    return found[:-1] if found and not found[-1] else found


def _is_docstring(text: str) -> bool:
    return (
        bool(text)
        and "\n" not in text
        and '"""' not in text
        and "\\" not in text
        and text[-1] != '"'
        and len(text) < 100
    )


def _decorator(document: Document, function: str, module: Module) -> list[str]:
    options: dict[str, Code | None] = {}
    if document["workflow"] != function:
        options["name"] = quote(document["workflow"])
    if "description" in document and not _is_docstring(document["description"]):
        options["description"] = quote(document["description"])
    for key in ("tags", "priority", "deadline", "notify"):
        if key in document:
            options[key] = constant(document[key])
    if "triggers" in document:
        options["triggers"] = listing(_trigger(each, module) for each in document["triggers"])
    for key, name in (("limits", "Limits"), ("retention", "Retention")):
        if key in document:
            options[key] = module.policy(name, document[key])
    if "concurrency" in document:
        options["concurrency"] = listing(
            module.policy("Concurrency", each) for each in document["concurrency"]
        )
    decorator = f"@{module.dsl('workflow')}"
    return list(lines(call(decorator, **options), 0)) if options else [decorator]


def _trigger(trigger: Document, module: Module) -> Code:
    for kind, name in _TRIGGERS.items():
        if kind in trigger:
            rest = {key: constant(item) for key, item in trigger.items() if key != kind}
            return call(module.dsl(name), constant(trigger[kind]), **rest)
    return constant(trigger)


def _signature(function: str, params: Document, module: Module) -> Sequence[str]:
    """`def …`: parameters without a default first, or all by keyword where the order cannot be kept."""
    ordered = sorted(params, key=lambda name: "default" in params[name])
    items = []
    for name in ordered:
        schema = {key: item for key, item in params[name].items() if key != "default"}
        default = f" = {_default(params[name]['default'])}" if "default" in params[name] else ""
        items.append(f"{name}: {annotation(schema, module)}{default}")
    one = f"def {function}({', '.join(items)}):"
    if len(one) <= 100:
        return [one]
    return [f"def {function}(", *(f"    {item}," for item in items), "):"]


def _default(default: Any) -> str:
    from headrace.dsl.python_source.layout import flat

    return flat(constant(default))
