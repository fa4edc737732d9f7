"""Tasks that need no Python function: shell, http, container, sleep, signal, approval, gate, noop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Unpack

from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.options import TASK, TaskOptions, checked, item_name, write_options
from headrace.dsl.python.parameters import schema_of
from headrace.dsl.python.places import here
from headrace.dsl.python.policies import Condition, Duration, Signal
from headrace.dsl.python.references import Reference
from headrace.dsl.python.tracing import Document, ItemView, demand_scope
from headrace.dsl.python.values import bare, duration, moment, written

_ABSENT: Any = object()
OnExpiry = Literal["fail", "skip", "continue"]


class HttpAnswer:
    """What an http task gives. Header names are in lower case, a JSON body is parsed."""

    status: int
    headers: dict[str, str]
    body: Any


class Approval:
    """What an approval gives."""

    approved: bool
    by: str
    at: datetime
    form: Any
    expired: bool


class _Making:
    """One constructor's call: the node's view, and its document as it grows."""

    def __init__(self, kind: str, options: Mapping[str, Any]) -> None:
        self.kind = kind
        self.scope = demand_scope(f"{kind}()")
        self.options = checked(options, TASK, f"{kind}()")
        self.item = item_name(self.options) if "map" in self.options else None
        self.view = ItemView(self.scope, self.item)

    def made(self, work: Any) -> Any:
        node = self.scope.declare(self.kind, self.options.get("id"), here())
        node.mapped = self.item is not None
        document: Document = {self.kind: work}
        write_options(self.options, document, self.scope, self.item, None)
        self.scope.tasks[node.id] = document
        return Reference(node.formula)

    def values(self, **values: object) -> dict[str, Any]:
        """What was given, as templates."""
        return {key: written(value, self.view) for key, value in values.items() if value is not None}

    def durations(self, **values: object) -> dict[str, Any]:
        return {key: duration(value, key) for key, value in values.items() if value is not None}

    def conditions(self, **values: object) -> dict[str, Any]:
        return {key: bare(value, self.view, key) for key, value in values.items() if value is not None}


def shell(
    run: str | Sequence[object],
    *,
    interpreter: Sequence[str] | None = None,
    cwd: str | None = None,
    **options: Unpack[TaskOptions],
) -> Any:
    """Runs program text, or a list of arguments, of which each is data and may be a reference.

    Text is never a template: hand values over by `env={"ROWS": report.rows}`. The output is the JSON written to
    `$HEADRACE_OUTPUT`, else the last line printed if it is JSON.
    """
    making = _Making("shell", options)
    extra = making.values(interpreter=interpreter, cwd=cwd)
    if isinstance(run, str):
        return making.made({"run": str(run), **extra} if extra else str(run))
    if isinstance(run, Reference):
        raise BuildError(
            "the program of shell() is fixed when the workflow is built", "Pass the value by env={…}."
        )
    return making.made({"argv": written(list(run), making.view), **extra})


def http(
    url: str,
    *,
    method: str | None = None,
    headers: Mapping[str, object] | None = None,
    query: Mapping[str, object] | None = None,
    json: object = _ABSENT,
    form: Mapping[str, object] | None = None,
    body: str | None = None,
    expect: Sequence[int | str] | None = None,
    redirects: int | None = None,
    **options: Unpack[TaskOptions],
) -> HttpAnswer:
    """Sends a request. `json=None` sends null; statuses not in `expect` (default 200-299) fail."""
    making = _Making("http", options)
    work = making.values(
        url=url,
        method=method,
        headers=headers,
        query=query,
        form=form,
        body=body,
        expect=expect,
        redirects=redirects,
    )
    if json is not _ABSENT:
        work["json"] = written(json, making.view)
    answer: HttpAnswer = making.made(url if list(work) == ["url"] and isinstance(url, str) else work)
    return answer


def container(
    image: str,
    *,
    argv: Sequence[object] | None = None,
    cpu: str | None = None,
    memory: str | None = None,
    pull: str | None = None,
    **options: Unpack[TaskOptions],
) -> Any:
    """Runs a container; its output is as that of shell."""
    making = _Making("container", options)
    work = making.values(image=image, argv=argv, cpu=cpu, memory=memory, pull=pull)
    return making.made(image if list(work) == ["image"] else work)


def sleep(
    duration: Duration | None = None, *, until: str | datetime | None = None, **options: Unpack[TaskOptions]
) -> Any:
    """Waits for a while, or until a moment, without holding a worker. Raises BuildError unless it is one of both."""
    making = _Making("sleep", options)
    if (duration is None) == (until is None):
        raise BuildError("sleep() takes a duration or until=…, one of both", code="schema")
    if until is not None:
        return making.made({"until": moment(until, "until", making.view)})
    return making.made(making.durations(sleep=duration)["sleep"])


def signal(
    name: str | None = None,
    *,
    key: Condition | None = None,
    match: Condition | None = None,
    lookback: Duration | None = None,
    expires: Duration | None = None,
    on_expiry: OnExpiry | None = None,
    any: Sequence[Signal] | None = None,
    all: Sequence[Signal] | None = None,
    **options: Unpack[TaskOptions],
) -> Any:
    """Waits for a signal, or for any or all of several; gives its payload."""
    making = _Making("signal", options)
    work = {
        **making.values(name=name),
        **making.conditions(key=key, match=match),
        **making.durations(lookback=lookback, expires=expires),
        **making.values(on_expiry=on_expiry),
    }
    for word, several in (("any", any), ("all", all)):
        if several is not None:
            work[word] = [one.document(making.view) for one in several]
    return making.made(name if list(work) == ["name"] else work)


def approval(
    title: str | None = None,
    *,
    form: Mapping[str, object] | None = None,
    roles: Sequence[str] | None = None,
    approvers: int | None = None,
    self_: bool | None = None,
    expires: Duration | None = None,
    on_expiry: OnExpiry | None = None,
    on_reject: OnExpiry | None = None,
    **options: Unpack[TaskOptions],
) -> Approval:
    """Waits for people's decision. `form`: fields by name, each a Python type or a JSON Schema."""
    making = _Making("approval", options)
    work = making.values(title=title)
    if form is not None:
        work["form"] = {
            name: written(schema, None) if isinstance(schema, Mapping) else schema_of(name, schema)
            for name, schema in form.items()
        }
    work.update(making.values(roles=roles, approvers=approvers))
    if self_ is not None:
        work["self"] = self_
    work.update(making.durations(expires=expires))
    work.update(making.values(on_expiry=on_expiry, on_reject=on_reject))
    answer: Approval = making.made(title if list(work) == ["title"] else work)
    return answer


def gate(
    condition: Condition, /, *, respect_trigger_rules: bool | None = None, **options: Unpack[TaskOptions]
) -> bool:
    """Lets the run through where the condition holds; else all that depends on it, however far, is skipped."""
    making = _Making("gate", options)
    when = bare(condition, making.view, "gate")
    if respect_trigger_rules is None:
        answer: bool = making.made(when)
    else:
        answer = making.made({"when": when, "respect_trigger_rules": respect_trigger_rules})
    return answer


def noop(**options: Unpack[TaskOptions]) -> Any:
    """Does nothing: a joint of edges."""
    return _Making("noop", options).made({})
