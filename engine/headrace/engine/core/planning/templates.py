"""The parsed expressions of one node, made when they are first needed and kept with the plan."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.engine.core.evaluation import Expression, Template
from headrace.engine.core.expressions import parse_expression, parse_template
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning.slots import http_bodies
from headrace.engine.core.workflow import (
    Approval,
    Container,
    Gate,
    Group,
    Http,
    Json,
    Shell,
    Signal,
    Sleep,
    Switch,
    Task,
)


@dataclass(frozen=True, slots=True)
class NodeTemplates:
    """What the machine asks the evaluator about one node, parsed.

    `inputs` fills to one map by language key: `with` and `env` where they are not empty, and what the kind has of
    `argv url headers query json form body title`. `map` fills to `{"over" | "product" | "zip": …}`.
    """

    inputs: Template
    when: Expression | None = None
    map: Template | None = None
    label: Template | None = None
    cases: tuple[tuple[Expression, tuple[str, ...]], ...] = ()
    gate: Expression | None = None
    sleep_until: Template | None = None
    cache_key: Template | None = None
    retry: tuple[Expression | None, ...] = ()  # by retry rule; None matches every error
    output: Template | None = None  # of a group
    signal_keys: tuple[Template | None, ...] = ()  # by signal that is waited for
    signal_matches: tuple[Expression | None, ...] = ()
    poll: Expression | None = None  # until when


NOTHING = NodeTemplates(Template({}))


def compiled(plan: Plan, node: int) -> NodeTemplates:
    """The node's templates. Cheap from the second time on."""
    known = plan.memo.get(("templates", node))
    if isinstance(known, NodeTemplates):
        return known
    made = _compile(plan.tasks[node])
    plan.memo["templates", node] = made
    return made


def _compile(task: Task) -> NodeTemplates:
    work = task.work
    made = NodeTemplates(
        inputs=_template(_inputs(task)) or NOTHING.inputs,
        when=_expression(task.when),
        map=_map_template(_map(task)),
        label=_template(task.map.label) if task.map is not None else None,
        cases=tuple((parse_expression(case.when), case.then) for case in work.cases)
        if isinstance(work, Switch)
        else (),
        gate=_expression(work.when) if isinstance(work, Gate) else None,
        sleep_until=_template(work.until) if isinstance(work, Sleep) else None,
        cache_key=_template(task.cache.key) if task.cache is not None else None,
        retry=tuple(_expression(rule.on) for rule in task.retry.rules),
        output=_template(work.output) if isinstance(work, Group) else None,
        signal_keys=tuple(None if one.key is None else _bare(one.key) for one in signals(task)),
        signal_matches=tuple(_expression(one.match) for one in signals(task)),
        poll=_expression(task.poll.until) if task.poll is not None else None,
    )
    return NOTHING if made == NOTHING else made


def _expression(text: str | None) -> Expression | None:
    return None if text is None else parse_expression(text)


def _template(value: Json) -> Template | None:
    return None if value is None else parse_template(ordered(value))


def _bare(text: str) -> Template:
    """A bare expression that may give any value."""
    return parse_template(f"${{{{ {text} }}}}")


def signals(task: Task) -> tuple[Signal, ...]:
    """The signals that a task waits for, in written order."""
    work = task.work
    return (work.any or work.all or (work,)) if isinstance(work, Signal) else ()


def _map_template(value: dict[str, Json] | None) -> Template | None:
    if value is None:
        return None
    return parse_template(
        {
            how: {name: ordered(items) for name, items in given.items()} if how != "over" else ordered(given)
            for how, given in value.items()
        }
    )


def ordered(value: Json) -> Json:
    """The value with the keys of every map in it sorted: as it reads when the plan comes back from its document."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [ordered(element) for element in value]
    return value


def _inputs(task: Task) -> dict[str, Json]:
    found: dict[str, Json] = {}
    if task.with_:
        found["with"] = dict(task.with_)
    if task.env:
        found["env"] = dict(task.env)
    match task.work:
        case Shell(argv=argv) if argv is not None:
            found["argv"] = list(argv)
        case Container(argv=argv) if argv:
            found["argv"] = list(argv)
        case Http() as http:
            found["url"] = http.url
            if http.headers:
                found["headers"] = dict(http.headers)
            found.update(http_bodies(http))
        case Approval(title=title) if title is not None:
            found["title"] = title
    return found


def _map(task: Task) -> dict[str, Json] | None:
    if task.map is None:
        return None
    if task.map.product is not None:  # the one map whose written order means something
        return {"product": dict(task.map.product)}
    if task.map.zip is not None:
        return {"zip": dict(task.map.zip)}
    return {"over": task.map.over}
