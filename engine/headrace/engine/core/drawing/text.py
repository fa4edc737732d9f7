"""The graph for a terminal: one line a task, level by level, with what it waits for."""

from __future__ import annotations

from headrace.engine.core.drawing.document import rule_text
from headrace.engine.core.plan import Plan, Section
from headrace.engine.core.planning.edges import edges_between_tasks

_SHOWN = 6  # upstream tasks that are named
_WIDEST = 40  # characters of a column; what is longer pushes the rest of its line


def text(plan: Plan) -> str:
    """A heading with the facts, then the tasks in the order in which they may start."""
    facts = plan.facts
    words = (
        _counted(facts.tasks, "task"),
        _counted(facts.edges, "edge"),
        f"depth {facts.depth}",
        f"width {facts.width}",
    )
    lines = [f"{plan.workflow.name}: {', '.join(words)}"]
    nodes = [node for node in range(len(plan.ids)) if node not in plan.members]
    nodes.sort(key=lambda node: (plan.sections[node], plan.level[node], plan.ids[node]))
    names = {node: plan.ids[node] + ("[]" if plan.tasks[node].map is not None else "") for node in nodes}
    name_width = min(_WIDEST, max(map(len, names.values())))
    kind_width = max(len(plan.kinds[node].value) for node in nodes)
    before: tuple[int, int] = (Section.MAIN, -1)
    for node in nodes:
        section, level = plan.sections[node], plan.level[node]
        if section != before[0]:
            lines.append(f"{Section(section).name.lower()}:")
        mark = "" if (section, level) == before else str(level)
        before = section, level
        line = f"{mark:>4}  {names[node]:<{name_width}}  {plan.kinds[node].value:<{kind_width}}  {_waits(plan, node)}"
        lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


def _waits(plan: Plan, node: int) -> str:
    upstream = [plan.ids[source] for source in edges_between_tasks(plan).row(node)]
    if len(upstream) > _SHOWN:
        upstream[_SHOWN:] = [f"{len(upstream) - _SHOWN:,} more"]
    rule = rule_text(plan, node)
    parts = [f"← {', '.join(upstream)}"] if upstream else []
    if rule != "all_success":
        parts.append(f"({rule})")
    return " ".join(parts)


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")
