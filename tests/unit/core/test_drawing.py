"""Graphs for programs and people: the document's shape is a promise, the drawings are well formed and complete."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from headrace.engine.core.drawing import DRAWINGS, dot, graph_document, mermaid, svg, text
from headrace.engine.core.drawing.layout import layered
from headrace.engine.core.plan import Plan
from headrace.engine.core.planning import build_plan
from headrace.engine.core.problems import Place, Problem
from headrace.engine.core.workflow import Case, Gate, Group, Map, Noop, PythonCall, Switch, Task, Workflow

SVG = "{http://www.w3.org/2000/svg}"


def task(id: str, *depends_on: str, **keys: object) -> Task:
    return replace(Task(id, PythonCall("m:f"), depends_on), **keys)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plan() -> Plan:
    over = Map(over=[1, 2])
    return build_plan(
        Workflow(
            "shop",
            (
                task("a"),
                Task("choice", Switch((Case("true", ("g",)),), ("lonely",))),
                Task("each", Group((task("m"), task("n", "m"))), ("a",), map=over),
                Task("g", Group((task("i"), task("j", "i"))), ("each",)),
                task("lonely"),
                task("z", "g", map=over),
                task("down", teardown_of=("a",)),
                Task("open", Gate("true"), ("lonely",), trigger_rule='success("lonely")'),
            ),
            finally_=(task("close"),),
        )
    )[0]


class TestDocument:
    def test_it_holds_exactly_what_is_promised(self, plan: Plan) -> None:
        document = graph_document(plan)
        keys = "tasks edges depth width roots leaves critical_path nodes warnings"
        assert list(document) == keys.split()
        for node in document["nodes"]:
            late = ["section"] if node["id"] == "close" else []
            assert list(node) == ["id", "kind", "group", "level", "upstream", "trigger_rule", "mapped", *late]
        assert json.loads(json.dumps(document)) == document

    def test_tasks_wait_for_tasks_and_the_numbers_agree(self, plan: Plan) -> None:
        document = graph_document(plan)
        nodes = {node["id"]: node for node in document["nodes"]}
        tasks = [node for node in document["nodes"] if node["kind"] != "group"]
        assert len(tasks) == document["tasks"]
        assert sum(len(node["upstream"]) for node in tasks) == document["edges"]
        assert nodes["g.i"]["upstream"] == ["choice", "each.n"]
        assert nodes["each.m"] == {
            "id": "each.m",
            "kind": "python",
            "group": "each",
            "level": 1,
            "upstream": ["a"],
            "trigger_rule": "all_success",
            "mapped": False,
        }
        assert (nodes["each"]["kind"], nodes["each"]["upstream"], nodes["each"]["mapped"]) == (
            "group",
            ["a"],
            True,
        )
        assert nodes["down"]["trigger_rule"] == "all_done_setup_success"
        assert nodes["close"]["section"] == "finally"

    def test_warnings_come_with_their_places(self, plan: Plan) -> None:
        warning = Problem("never_runs", "m", "h", ("tasks", "a", 0), "a", Place("f.yaml", 3, 4))
        assert graph_document(plan, [warning])["warnings"] == [
            {
                "code": "never_runs",
                "message": "m",
                "hint": "h",
                "file": "f.yaml",
                "line": 3,
                "column": 4,
                "path": ["tasks", "a", 0],
                "task": "a",
            }
        ]


class TestMarkup:
    def test_mermaid_nests_groups_and_draws_every_edge(self, plan: Plan) -> None:
        drawn = mermaid(plan)
        assert drawn.startswith("flowchart LR\n")
        assert drawn.count(" --> ") == plan.facts.edges
        assert drawn.count("subgraph ") == drawn.count("\n  end\n") == 3
        group = re.search(r'subgraph n\d+\["each\[\]"\]\n(.*?)\n  end', drawn, re.S)
        assert group is not None
        assert re.findall(r'"(\w+)"', group[1]) == ["m", "n"]
        assert "success(&quot;lonely&quot;)" in drawn

    def test_dot_is_balanced_and_draws_every_edge(self, plan: Plan) -> None:
        drawn = dot(plan)
        assert drawn.count(" -> ") == plan.facts.edges
        assert drawn.count("{") == drawn.count("}") == 4
        assert '"each.n" -> "g.i";' in drawn
        assert r'label="open\nsuccess(\"lonely\")"' in drawn
        assert 'subgraph "cluster finally"' in drawn


class TestText:
    def test_each_task_has_its_line(self, plan: Plan) -> None:
        lines = text(plan).splitlines()
        assert lines[0] == "shop: 11 tasks, 13 edges, depth 7, width 3"
        assert "finally:" in lines
        assert len(lines) == 2 + plan.facts.tasks
        assert next(line for line in lines if "g.i " in line).split() == [
            "3",
            "g.i",
            "python",
            "←",
            "choice,",
            "each.n",
        ]
        assert next(line for line in lines if "down " in line).endswith("(all_done_setup_success)")

    def test_many_upstream_tasks_are_counted(self) -> None:
        many = [f"t{n}" for n in range(10)]
        plan, _ = build_plan(Workflow("w", (*map(task, many), task("z", *many))))
        assert text(plan).splitlines()[-1].endswith("← t0, t1, t2, t3, t4, t5, 4 more")


class TestSvg:
    def test_it_is_xml_with_every_task_and_edge_and_nothing_from_elsewhere(self, plan: Plan) -> None:
        drawn = svg(plan)
        root = ElementTree.fromstring(drawn)
        titles = [title.text or "" for title in root.iter(f"{SVG}title")]
        boxes = {title.split(":")[0] for title in titles if ": " in title}
        assert boxes == {id for node, id in enumerate(plan.ids) if node not in plan.members}
        edges = [path for path in root.iter(f"{SVG}path") if path.get("class") == "edge"]
        assert len(edges) == plan.facts.edges
        assert not re.search(r"href|<script|url\((?!#)", drawn)

    def test_boxes_do_not_overlap_and_lie_on_the_page(self, plan: Plan) -> None:
        root = ElementTree.fromstring(svg(plan))
        boxes = [
            tuple(float(rect.get(key, "")) for key in ("x", "y", "width", "height"))
            for group in root.iter(f"{SVG}g")
            for rect in group.findall(f"{SVG}rect")[-1:]
            if "task" in rect.get("class", "")
        ]
        assert len(boxes) == plan.facts.tasks
        for at, (x, y, width, height) in enumerate(boxes):
            assert 0 <= x <= x + width <= float(root.get("width", ""))
            assert 0 <= y <= y + height <= float(root.get("height", ""))
            for x2, y2, width2, height2 in boxes[:at]:
                assert x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y

    def test_names_are_escaped(self) -> None:
        plan, _ = build_plan(Workflow("w", (task("a"), task("b", trigger_rule='rate(a)<0.5 && done("a")'))))
        ElementTree.fromstring(svg(plan))


class TestLayout:
    def test_columns_are_levels_and_rows_are_apart(self) -> None:
        layout = layered([0, 1, 1, 1, 2], [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)], [-1] * 5)
        assert list(layout.column) == [0, 1, 1, 1, 2]
        assert sorted(layout.row[1:4]) == [0, 1, 2]
        assert layout.row[0] == layout.row[4] == 1

    def test_straight_lines_do_not_cross(self) -> None:
        layout = layered([0, 0, 0, 1, 1, 1], [(0, 5), (1, 4), (2, 3)], [-1] * 6)
        first = sorted(range(3), key=layout.row.__getitem__)
        second = sorted(range(3, 6), key=layout.row.__getitem__)
        assert second == [5 - node for node in first]

    def test_kin_stay_together(self) -> None:
        layout = layered([0] * 6, [], [7, -1, 7, -1, 7, -1])
        rows = sorted(layout.row[node] for node in (0, 2, 4))
        assert rows[2] - rows[0] == 2

    def test_long_edges_bend_around_boxes(self) -> None:
        layout = layered([0, 1, 2], [(0, 1), (1, 2), (0, 2)], [-1] * 3)
        ((column, row),) = layout.bends[0, 2]
        assert column == 1
        assert abs(row - layout.row[1]) >= 1

    def test_nothing_is_nothing(self) -> None:
        assert layered([], [], []).row == []


@pytest.mark.parametrize("name", sorted(DRAWINGS))
def test_a_drawing_is_the_same_every_time_and_ends_with_a_line_end(plan: Plan, name: str) -> None:
    drawn = DRAWINGS[name](plan)
    assert drawn == DRAWINGS[name](build_plan(plan.workflow)[0])
    assert drawn.endswith("\n")


@pytest.mark.parametrize("name", sorted(DRAWINGS))
def test_a_wide_graph_is_drawn(name: str) -> None:
    wide = [f"t{n:04d}" for n in range(1_000)]
    plan, _ = build_plan(Workflow("w", (*(Task(id, Noop()) for id in wide), Task("z", Noop(), tuple(wide)))))
    assert len(DRAWINGS[name](plan)) > 1_000
