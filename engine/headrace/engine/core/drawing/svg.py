"""The graph as one SVG file that needs nothing else: no script, no font, no network, for light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from xml.sax.saxutils import escape

from headrace.engine.core.drawing.layout import Layout, layered
from headrace.engine.core.drawing.markup import edge_list, label
from headrace.engine.core.plan import Plan, Section
from headrace.engine.core.workflow import Kind

_CHARACTER = 7.3  # width of a character of the 12 px monospace, in px
_BOX, _ROW, _PAD, _GAP, _MARGIN = 34, 50, 12, 56, 24
_LONGEST = 36  # characters of an id that are shown

_STYLE = """
  text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: #1f2933; }
  .small { font-size: 9px; fill: #66727f; }
  .task { fill: #fff; stroke: #7b8794; }
  .edge { fill: none; stroke: #9aa5b1; }
  .group { fill: #7b879414; stroke: #7b879466; stroke-dasharray: 4 3; }
  .shell, .container { stroke: #0f766e; } .python { stroke: #1d4ed8; } .http { stroke: #7c3aed; }
  .switch, .gate { stroke: #b45309; } .workflow { stroke: #be185d; } .noop { stroke: #9aa5b1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb; } .small { fill: #9aa5b1; } .task { fill: #1f2933; } .edge { stroke: #616e7c; }
  }"""


def svg(plan: Plan) -> str:
    """The graph from left to right. Groups get a frame where their tasks lie side by side."""
    tasks = [node for node in range(len(plan.ids)) if node not in plan.members]
    slot = {node: at for at, node in enumerate(tasks)}
    edges = [(slot[source], slot[target]) for source, target in edge_list(plan)]
    layout = layered(_columns(plan, tasks), edges, [plan.group[node] for node in tasks])
    canvas = _Canvas(plan, tasks, layout)
    parts = [
        *canvas.frames(),
        *(canvas.edge(source, target) for source, target in edges),
        *map(canvas.box, range(len(tasks))),
    ]
    title = escape(plan.workflow.name)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {canvas.width:.0f} {canvas.height:.0f}" '
        f'width="{canvas.width:.0f}" height="{canvas.height:.0f}" role="img">\n'
        f"<title>{title}</title>\n<style>{_STYLE}\n</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#9aa5b1"/></marker></defs>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _columns(plan: Plan, tasks: Sequence[int]) -> list[int]:
    """By level, and what runs at the end of a run behind everything else."""
    depths = [0] * len(Section)
    for node in tasks:
        section = plan.sections[node]
        depths[section] = max(depths[section], plan.level[node] + 1)
    first = list(accumulate(depths, initial=0))
    return [first[plan.sections[node]] + plan.level[node] for node in tasks]


class _Canvas:
    """Turns columns and rows into pixels."""

    def __init__(self, plan: Plan, tasks: list[int], layout: Layout) -> None:
        self.plan, self.tasks, self.layout = plan, tasks, layout
        self.lines = [label(plan, node) for node in tasks]
        widths = [0.0] * (max(layout.column, default=0) + 1)
        for at, column in enumerate(layout.column):
            longest = min(_LONGEST, max(len(self.lines[at][0]), 6))
            widths[column] = max(widths[column], longest * _CHARACTER + 2 * _PAD)
        self.widths = widths
        self.left = [_MARGIN + sum(widths[:column]) + column * _GAP for column in range(len(widths))]
        self.width = self.left[-1] + widths[-1] + _MARGIN
        self.height = (max(layout.row, default=0.0) + 1) * _ROW + 2 * _MARGIN

    def middle(self, row: float) -> float:
        return _MARGIN + (row + 0.5) * _ROW

    def box(self, at: int) -> str:
        node = self.tasks[at]
        column = self.layout.column[at]
        x, y, width = self.left[column], self.middle(self.layout.row[at]) - _BOX / 2, self.widths[column]
        name, *more = self.lines[at]
        kind = self.plan.kinds[node]
        note = " · ".join((kind.value, *more))
        shown = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
        rounded = _BOX / 2 if kind in (Kind.SWITCH, Kind.GATE) else 5
        behind = ""
        if node in self.plan.items:
            behind = f'<rect class="task {kind.value}" x="{x + 4:.1f}" y="{y + 4:.1f}" width="{width:.1f}" height="{_BOX}" rx="5"/>'
        return (
            f"<g><title>{escape(self.plan.ids[node])}: {escape(note)}</title>{behind}"
            f'<rect class="task {kind.value}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BOX}" rx="{rounded:g}"/>'
            f'<text x="{x + _PAD:.1f}" y="{y + 15:.1f}">{escape(shown)}</text>'
            f'<text class="small" x="{x + _PAD:.1f}" y="{y + 27:.1f}">{escape(note)}</text></g>'
        )

    def edge(self, source: int, target: int) -> str:
        column, row = self.layout.column, self.layout.row
        x, y = self.left[column[source]] + self.widths[column[source]], self.middle(row[source])
        path = f"M{x:.1f} {y:.1f}"
        for over, at in self.layout.bends.get((source, target), ()):
            begin, end, level = self.left[over], self.left[over] + self.widths[over], self.middle(at)
            path += _curve(x, y, begin, level) + f"H{end:.1f}"
            x, y = end, level
        path += _curve(x, y, self.left[column[target]] - 1, self.middle(row[target]))
        return f'<path class="edge" d="{path}" marker-end="url(#tip)"/>'

    def frames(self) -> list[str]:
        """Around each group whose rectangle holds no other task."""
        spots = [(self.layout.column[at], self.layout.row[at]) for at in range(len(self.tasks))]
        within: dict[int, set[int]] = {}
        for at, node in enumerate(self.tasks):
            group = self.plan.group[node]
            while group >= 0:
                within.setdefault(group, set()).add(at)
                group = self.plan.group[group]
        found = []
        for group, inner in sorted(within.items(), key=lambda item: -len(item[1])):
            columns, rows = [spots[at][0] for at in inner], [spots[at][1] for at in inner]
            first, last, top, bottom = min(columns), max(columns), min(rows), max(rows)
            if any(
                first <= column <= last and top - 0.9 < row < bottom + 0.9
                for at, (column, row) in enumerate(spots)
                if at not in inner
            ):
                continue
            x, y = self.left[first] - 10, self.middle(top) - _BOX / 2 - 14
            width = self.left[last] + self.widths[last] + 10 - x
            height = self.middle(bottom) + _BOX / 2 + 8 - y
            words = " · ".join(label(self.plan, group))
            found.append(
                f"<g><title>{escape(self.plan.ids[group])}</title>"
                f'<rect class="group" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8"/>'
                f'<text class="small" x="{x + 6:.1f}" y="{y + 10:.1f}">{escape(words)}</text></g>'
            )
        return found


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    bend = (to_x - x) / 2
    return f"C{x + bend:.1f} {y:.1f} {to_x - bend:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
