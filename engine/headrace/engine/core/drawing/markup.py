"""The graph as text for other programs that draw: Mermaid and Graphviz."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from headrace.engine.core.drawing.document import rule_text
from headrace.engine.core.plan import Plan, Section
from headrace.engine.core.planning.edges import edges_between_tasks
from headrace.engine.core.workflow import Kind

_MERMAID_SHAPES = {
    Kind.SWITCH: ("{", "}"),
    Kind.GATE: ("{{", "}}"),
    Kind.APPROVAL: ("([", "])"),
    Kind.SIGNAL: ("([", "])"),
}
_DOT_SHAPES = {Kind.SWITCH: "diamond", Kind.GATE: "hexagon", Kind.APPROVAL: "oval", Kind.SIGNAL: "oval"}


def mermaid(plan: Plan) -> str:
    """A Mermaid flowchart, left to right; groups as subgraphs, mapped tasks with a double border."""
    lines = ["flowchart LR"]

    def task(node: int, depth: int) -> str:
        begin, end = _MERMAID_SHAPES.get(plan.kinds[node], ("[[", "]]") if node in plan.items else ("[", "]"))
        return f'{"  " * depth}n{node}{begin}"{"<br/>".join(map(_html, label(plan, node)))}"{end}'

    def opening(node: int, depth: int) -> str:
        return f'{"  " * depth}subgraph n{node}["{" · ".join(map(_html, label(plan, node)))}"]'

    lines += _nested(
        plan,
        task,
        opening,
        lambda depth: f"{'  ' * depth}end",
        lambda section: f"  subgraph {section.name.lower()}",
    )
    lines += [f"  n{source} --> n{target}" for source, target in edge_list(plan)]
    return "\n".join(lines) + "\n"


def dot(plan: Plan) -> str:
    """A Graphviz digraph; groups as clusters."""
    lines = [
        f"digraph {_quoted(plan.workflow.name)} {{",
        "  rankdir=LR;",
        '  node [shape=box, fontname="sans-serif"];',
    ]

    def task(node: int, depth: int) -> str:
        shape = _DOT_SHAPES.get(plan.kinds[node])
        more = (f", shape={shape}" if shape else "") + (", peripheries=2" if node in plan.items else "")
        words = "\\n".join(_escaped(line) for line in label(plan, node))
        return f'{"  " * depth}{_quoted(plan.ids[node])} [label="{words}"{more}];'

    def opening(node: int, depth: int) -> str:
        words = _quoted(" · ".join(label(plan, node)))
        return f"{'  ' * depth}subgraph {_quoted(f'cluster_{plan.ids[node]}')} {{ label={words};"

    lines += _nested(
        plan,
        task,
        opening,
        lambda depth: f"{'  ' * depth}}}",
        lambda section: f'  subgraph "cluster {section.name.lower()}" {{ label="{section.name.lower()}";',
    )
    lines += [f"  {_quoted(plan.ids[a])} -> {_quoted(plan.ids[b])};" for a, b in edge_list(plan)]
    return "\n".join((*lines, "}")) + "\n"


def label(plan: Plan, node: int) -> tuple[str, ...]:
    """The lines that name a node: its id without its group's, then what is unusual about it."""
    task = plan.tasks[node]
    lines = [f"{task.id}[]" if task.map is not None else task.id]
    rule = rule_text(plan, node)
    if rule != "all_success":
        lines.append(rule)
    return tuple(lines)


def edge_list(plan: Plan) -> Iterator[tuple[int, int]]:
    """The edges between tasks as (upstream, downstream)."""
    between = edges_between_tasks(plan)
    for target in range(len(plan.ids)):
        for source in between.row(target):
            yield source, target


def _nested(
    plan: Plan,
    task: Callable[[int, int], str],
    opening: Callable[[int, int], str],
    closing: Callable[[int], str],
    frame: Callable[[Section], str],
) -> Iterator[str]:
    """The lines of all nodes, the members of a group between its opening and its closing. What runs after
    the rest has a frame of its own."""
    top = [node for node in range(len(plan.ids)) if plan.group[node] < 0]
    for section in Section:
        late = section is not Section.MAIN
        pending = [(node, 1 + late) for node in reversed(top) if plan.sections[node] == section]
        if late and pending:
            yield frame(section)
        while pending:
            node, depth = pending.pop()
            if node < 0:
                yield closing(depth)
            elif node in plan.members:
                yield opening(node, depth)
                pending.append((-1, depth))
                pending += [(member, depth + 1) for member in reversed(plan.members[node])]
            else:
                yield task(node, depth)
        if late and any(plan.sections[node] == section for node in top):
            yield closing(1)


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'
