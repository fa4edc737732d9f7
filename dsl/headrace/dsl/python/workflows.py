"""`@workflow`: a function that is executed to write down a graph, and a workflow called inside another one."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, TypedDict, TypeVar, Unpack, overload

from headrace.dsl.python.arguments import Signature
from headrace.dsl.python.differences import difference
from headrace.dsl.python.errors import BuildError
from headrace.dsl.python.formulas import Formula
from headrace.dsl.python.functions import module_of, summary
from headrace.dsl.python.groups import refuse_async
from headrace.dsl.python.options import CHILD, ChildOptions, Defaults
from headrace.dsl.python.parameters import parameter_schemas
from headrace.dsl.python.places import shown
from headrace.dsl.python.policies import (
    Concurrency,
    Duration,
    Limits,
    Retention,
    policy,
)
from headrace.dsl.python.references import Reference
from headrace.dsl.python.steps import Fan, Fannable, P, R, Step
from headrace.dsl.python.tracing import Document, Node, Trace, current_scope, writing_to
from headrace.dsl.python.triggers import Trigger
from headrace.dsl.python.values import duration, written
from headrace.engine.core.problems import Place, did_you_mean
from headrace.engine.core.workflow import Workflow

T = TypeVar("T")


class WorkflowOptions(TypedDict, total=False):
    """The top-level keys of a workflow that its function does not say."""

    name: str
    description: str
    tags: Sequence[str]
    triggers: Sequence[Trigger | Mapping[str, object]]
    limits: Limits
    concurrency: Sequence[Concurrency]
    priority: Literal["high", "normal", "low"]
    deadline: Duration
    defaults: Defaults
    retention: Retention
    notify: Sequence[Mapping[str, object]]


_KNOWN = frozenset(WorkflowOptions.__annotations__)


class WorkflowFunction(Fannable[P, R]):
    """A workflow written as a function.

    Inside another workflow a call is a child; elsewhere it says how to run: `.run(…)`, `headrace.testing.run(flow, …)`,
    or `.build()` for the checked Workflow value.
    """

    def __init__(self, function: Callable[P, R], options: WorkflowOptions) -> None:
        for key in options:
            if key not in _KNOWN:
                raise BuildError(
                    f'@workflow has no option "{key}".', did_you_mean(key, _KNOWN), code="schema"
                )
        functools.update_wrapper(self, function)
        self.fn = function
        self.name: str = options.get("name", function.__name__)
        self._options = options

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"

    # -- building ----------------------------------------------------------------------------------------------------

    @property
    def place(self) -> Place:
        """The line of its `def` or first decorator."""
        code = self.fn.__code__
        return Place(shown(code.co_filename), code.co_firstlineno)

    @property
    def file(self) -> str:
        """The file that it is written in."""
        return self.fn.__code__.co_filename

    @property
    def module(self) -> str | None:
        """The module that workers import its functions from, if they stand beside it."""
        return module_of(self.fn)

    def build(self) -> Workflow:
        """The checked Workflow. Raises InvalidWorkflow with every problem, BuildError where the function stops."""
        from headrace.dsl.document import read_document

        trace, document = self.traced()
        return read_document(document, locate=trace.locate)

    def document(self) -> Document:
        """The workflow in the words of the language, as a YAML file would say it. Raises BuildError."""
        return self.traced()[1]

    def functions(self) -> dict[str, Callable[..., Any]]:
        """The Python functions that its tasks run, by `module:function`. Raises BuildError."""
        return dict(self._executed()[0].functions)

    def traced(self) -> tuple[Trace, Document]:
        """The trace and the document that it wrote, after a second build has given the same.

        Raises BuildError naming the first difference: a workflow that depends on a clock, on chance or on what an
        earlier build left behind has no plan.
        """
        trace, document = self._executed()
        found = difference(document, self._executed()[1])
        if found is not None:
            path, first, second = found
            raise BuildError(
                f"two builds of the workflow {self.name} differ at {path}: {first}, then {second}",
                "A plan cannot depend on a clock, on chance or on state outside of the function: "
                "make it a parameter, or use run.date.",
                code="schema",
                place=trace.locate(path, None) or self.place,
            )
        return trace, document

    def _executed(self) -> tuple[Trace, Document]:
        trace = Trace(self.name, self.place)
        document: Document = {"workflow": self.name, **self._head()}
        params = parameter_schemas(self.fn, self.place)
        if params:
            document["params"] = params
        given: dict[str, Any] = {name: Reference(Formula(("params",)).field(name)) for name in params}
        with writing_to(trace.root) as root:
            result = self.fn(**given)  # type: ignore[call-arg]
            if result is not None:
                document["output"] = written(result, root)
        trace.check_names()
        document["tasks"] = root.tasks
        for key in ("on_failure", "finally"):
            if key in trace.sections:
                document[key] = trace.sections[key].tasks
        return trace, document

    def _head(self) -> Document:
        document: Document = {}
        text = summary(self.fn)
        if text:
            document["description"] = text
        for key, value in self._options.items():
            if key != "name" and value is not None:
                document[key] = _written(key, value)
        return document

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Runs it in this process, in memory and in real time, and gives its output.

        Raises InvalidWorkflow for wrong parameters, `headrace.testing`'s RunFailed when the run does not succeed.
        """
        given = self._signature.bind(args, kwargs, complete=False)
        testing = importlib.import_module("headrace.testing")
        return testing.run_workflow(self, {name: written(value, None) for name, value in given.items()})

    # -- as a child --------------------------------------------------------------------------------------------------

    @cached_property
    def _signature(self) -> Signature:
        return Signature(self.name, self.fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if current_scope() is None:
            raise BuildError(
                f"the workflow {self.name} is called outside of a workflow, where there is nothing to be a child of",
                f"Run it here with {self.name}.run(…), test it with headrace.testing.run({self.name}, …), "
                f"or get its graph with {self.name}.build().",
                code="schema",
            )
        return self._child(*args, **kwargs)

    @property
    def _child(self) -> ChildWorkflow[P, R]:
        return ChildWorkflow(self.name, self.fn)

    def _map(self, lists: tuple[Any, ...], named: Mapping[str, Any]) -> list[R]:
        return self._child._map(lists, named)

    def _product(self, lists: Mapping[str, Any]) -> list[R]:
        return self._child._product(lists)

    def partial(self, **fixed: Any) -> ChildWorkflow[..., R]:
        """As a child with these parameters fixed."""
        return self._child.partial(**fixed)

    def options(self, **options: Unpack[ChildOptions]) -> ChildWorkflow[P, R]:
        """As a child with these keys: `wait`, `on_cancel`, `version`, and those of a task."""
        return self._child.options(**options)


def _written(key: str, value: Any) -> Any:
    match key:
        case "triggers":
            return [one.document(None) if isinstance(one, Trigger) else written(one, None) for one in value]
        case "limits":
            return policy(Limits, value, key).document(None)
        case "concurrency":
            return [policy(Concurrency, one, key).document(None) for one in value]
        case "deadline":
            return duration(value, key)
        case "defaults":
            return policy(Defaults, value, key).document(None)
        case "retention":
            return policy(Retention, value, key).document(None)
    return written(value, None)


class ChildWorkflow(Step[P, R]):
    """A workflow as a task of another one."""

    known_options: ClassVar[frozenset[str]] = CHILD
    what: ClassVar[str] = "workflow"

    def __init__(self, name: str, function: Callable[P, Any]) -> None:
        super().__init__(name, {})
        self._function = function

    @property
    def fn(self) -> Callable[P, Any]:
        return self._function

    def options(self, **options: Unpack[ChildOptions]) -> Self:
        """A copy with these keys set; a key that was set before is replaced."""
        made: Self = self._with(options)
        return made

    def partial(self, **fixed: Any) -> ChildWorkflow[..., R]:
        """A copy with these parameters fixed."""
        made: ChildWorkflow[..., R] = self._with_fixed(fixed)
        return made

    def _outside(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> R:
        raise BuildError(f"the child {self._name} is called outside of a workflow", code="schema")

    def _document(self, node: Node, arguments: dict[str, Any], fan: Fan | None) -> Document:
        extra = {key: self._options[key] for key in ("wait", "on_cancel", "version") if key in self._options}
        document: Document = {"workflow": {"name": self._name, **extra} if extra else self._name}
        if arguments:
            document["with"] = self._with_arguments(node.scope, arguments, fan)
        return self._finished(document, node.scope, fan)


def child(name: str) -> ChildWorkflow[..., Any]:
    """A workflow known by its name only, such as one written in YAML: `child("refresh")(day=day)`."""

    def anything(**params: Any) -> Any: ...

    return ChildWorkflow(name, anything)


@overload
def workflow(function: Callable[P, R], /) -> WorkflowFunction[P, R]: ...
@overload
def workflow(
    **options: Unpack[WorkflowOptions],
) -> Callable[[Callable[P, R]], WorkflowFunction[P, R]]: ...
def workflow(function: Any = None, /, **options: Any) -> Any:
    """Makes a function a workflow: `@workflow` or `@workflow(triggers=[Cron("@daily")], …)`.

    Raises BuildError for an unknown option, and for an async or generator function.
    """

    def wrap(function: Callable[..., Any]) -> WorkflowFunction[..., Any]:
        refuse_async(function, "workflow")
        made: WorkflowFunction[..., Any] = WorkflowFunction(function, options)  # type: ignore[arg-type]
        return made

    return wrap if function is None else wrap(function)
