"""Graphs that cannot run: refused before anything is stored, with the place and the way out."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.faults.documents import flow, only, problems
from tests.acceptance.terminal import Terminal, refused


def ring(length: int) -> str:
    return flow("".join(f"  t{i}: {{noop: {{}}, depends_on: t{(i + 1) % length}}}\n" for i in range(length)))


@pytest.mark.parametrize(
    ("length", "cycle"),
    [
        (2, "t0 → t1 → t0"),
        (5, "t0 → t4 → t3 → t2 → t1 → t0"),
    ],
)
def test_a_cycle_is_written_out(length: int, cycle: str, headrace: Terminal) -> None:
    """faults 1"""
    headrace.write("w.yaml", ring(length))
    done = headrace("run", "w.yaml")
    refused(done, "w.yaml:3:", f"{cycle} is a cycle", "[cycle]", "Remove one of the dependencies")
    assert done.err.count("error:") == 1
    assert not headrace.database.exists()


def test_cycles_of_every_length_and_kind(headrace: Terminal) -> None:
    """faults 1: by `depends_on`, by a reference, inside of a group, across one, beside a sound part."""
    found = problems(
        headrace,
        {
            "self.yaml": flow("  a: {noop: {}, depends_on: a}\n"),
            "self_reference.yaml": flow("  a: {shell: 'true', env: {X: '${{ tasks.a.output }}'}}\n"),
            "reference.yaml": flow(
                "  a: {shell: 'true', env: {X: '${{ tasks.b.output }}'}}\n  b: {noop: {}, depends_on: a}\n"
            ),
            "rule.yaml": flow(
                "  a: {noop: {}, trigger_rule: 'success(b)'}\n  b: {noop: {}, depends_on: a}\n"
            ),
            "group.yaml": flow(
                "  g:\n    tasks:\n      a: {noop: {}, depends_on: b}\n      b: {noop: {}, depends_on: a}\n"
            ),
            "across.yaml": flow(
                "  g:\n    depends_on: z\n    tasks:\n      a: {noop: {}}\n  z: {noop: {}, depends_on: g}\n"
            ),
            "beside.yaml": flow(
                "  x: {noop: {}}\n  y: {noop: {}, depends_on: x}\n"
                "  a: {noop: {}, depends_on: [b, y]}\n  b: {noop: {}, depends_on: a}\n"
            ),
            "thousand.yaml": ring(1000),
        },
    )
    assert [only(found[name])["code"] for name in ("self.yaml", "self_reference.yaml")] == [
        "self_dependency"
    ] * 2
    for name in ("reference.yaml", "rule.yaml", "group.yaml", "beside.yaml", "thousand.yaml", "across.yaml"):
        problem = only(found[name])
        assert problem["code"] == "cycle", problem
        assert problem["line"] is not None
        assert " → " in problem["message"]
        assert len(problem["message"]) < 1000, "a long cycle is shortened"
    assert "g.a → g.b → g.a" in found["group.yaml"][0]["message"]
    assert "x" not in found["beside.yaml"][0]["message"].split(" is ")[0].split(" → ")


BAD_IDS = {
    "slash": '"a/b"',
    "dots": '".."',
    "up": '"../../etc/passwd"',
    "nul": r'"a\0b"',
    "newline": r'"a\nb"',
    "turned": r'"a\u202Eb"',
    "blank": '"a b"',
    "empty": '""',
    "digit": '"1a"',
    "letter": '"ä"',
    "lookalike": '"а"',
    "long": "x" * 251,
    "escape": r'"\e[31m"',
}


def test_ids_that_could_be_taken_for_something_else(headrace: Terminal) -> None:
    """faults 2"""
    found = problems(
        headrace, {f"{name}.yaml": flow(f"  {given}: {{noop: {{}}}}\n") for name, given in BAD_IDS.items()}
    )
    for name, listed in found.items():
        problem = only(listed)
        assert problem["code"] == "invalid_task_id", name
        assert (problem["line"], problem["column"]) == (3, 3)
        assert "An id begins with a letter or _" in problem["hint"]
        assert len(problem["message"]) < 400


@pytest.mark.parametrize("name", ["w.json", "w.yaml"])
def test_an_id_of_ten_kilobytes(name: str, headrace: Terminal) -> None:
    """faults 2: the message does not repeat the whole of it."""
    given = "x" * 10_240
    headrace.write(
        name,
        json.dumps({"workflow": "w", "tasks": {given: {"noop": {}}}})
        if name == "w.json"
        else flow(f"  ? {given}\n  : {{noop: {{}}}}\n"),
    )
    done = headrace("run", name)
    refused(done, f"{name}:", "[invalid_task_id]", "up to 249")
    assert len(done.err) < 2000
    assert not headrace.database.exists()


def test_control_characters_of_an_id_never_reach_the_terminal(headrace: Terminal) -> None:
    """faults 2"""
    headrace.write("w.yaml", flow(r'  "\e]0;owned\a\u202Ecba\r\n": {noop: {}}' + "\n"))
    done = headrace("run", "w.yaml")
    refused(done, "w.yaml:3:3", "[invalid_task_id]")
    assert not set("\x1b\x07\u202e\r") & set(done.err)


def test_an_id_given_twice(headrace: Terminal) -> None:
    """faults 2"""
    headrace.write("w.yaml", flow("  a: {noop: {}}\n  b: {noop: {}}\n  a: {noop: {}}\n"))
    refused(headrace("run", "w.yaml"), "w.yaml:5:3", '"a" is defined twice', "[duplicate_task]", "Rename one")
    found = problems(
        headrace,
        {
            "twice.json": '{"workflow": "w", "tasks": {"a": {"noop": {}}, "a": {"noop": {}}}}',
            "escaped.json": '{"workflow": "w", "tasks": {"a": {"noop": {}}, "\\u0061": {"noop": {}}}}',
            "full.yaml": flow("  g:\n    tasks:\n      a: {noop: {}}\n  g.a: {noop: {}}\n"),
            "ends.yaml": flow("  a: {noop: {}}\n") + "finally:\n  a: {noop: {}}\n",
        },
    )
    assert {name: only(listed)["code"] for name, listed in found.items()} == dict.fromkeys(
        found, "duplicate_task"
    )
    assert not headrace.database.exists()


def test_an_edge_to_nowhere_names_the_nearest(headrace: Terminal) -> None:
    """faults 3"""
    headrace.write(
        "etl.yaml", flow("  transform: {noop: {}}\n  load:\n    noop: {}\n    depends_on: [transfrom]\n")
    )
    done = headrace("run", "etl.yaml")
    refused(
        done,
        'etl.yaml:6:18: error: task "load" waits for "transfrom", which is not defined. [unknown_dependency]',
        'Did you mean "transform"?',
    )
    assert not headrace.database.exists()


def test_every_way_to_name_a_task_that_is_not_there(headrace: Terminal) -> None:
    """faults 3: and nothing is suggested where nothing is near."""
    at = "  extract: {noop: {}}\n"
    found = problems(
        headrace,
        {
            "edge.yaml": flow(at + "  b: {noop: {}, depends_on: [extract, extrat]}\n"),
            "template.yaml": flow(at + "  b: {shell: 'true', env: {X: '${{ tasks.extrat.output }}'}}\n"),
            "when.yaml": flow(at + "  b: {noop: {}, when: tasks.extrat.output > 1}\n"),
            "rule.yaml": flow(at + "  b: {noop: {}, trigger_rule: 'success(extrat)'}\n"),
            "switch.yaml": flow(at + "  s: {switch: {cases: [], default: [extrat]}}\n"),
            "teardown.yaml": flow(at + "  b: {noop: {}, teardown_of: [extrat]}\n"),
            "finally.yaml": flow(at) + "finally:\n  b: {noop: {}, depends_on: extrat}\n",
            "output.yaml": flow(at) + "output: '${{ tasks.extrat.output }}'\n",
        },
    )
    for name, listed in found.items():
        problem = only(listed)
        assert problem["code"] == "unknown_dependency", (name, problem)
        assert "extract" in problem["hint"], (name, problem)
        assert problem["line"] >= 3, (name, problem)
    far = problems(headrace, {"far.yaml": flow(at + "  b: {noop: {}, depends_on: warehouse}\n")})
    assert "Did you mean" not in (only(far["far.yaml"])["hint"] or "")


def test_an_edge_to_what_cannot_be_an_id(headrace: Terminal) -> None:
    """faults 2 and 3: the id is told, once for each place; the rest of the graph is judged all the same."""
    found = problems(
        headrace,
        {
            "edge.yaml": flow("  a: {noop: {}, depends_on: [b, 'b c', 7]}\n  b: {noop: {}, depends_on: x}\n"),
            "alone.yaml": flow("  a: {noop: {}, depends_on: 'b c'}\n  'b c': {noop: {}}\n"),
            "switch.yaml": flow("  a: {switch: {cases: [], default: ['b c']}}\n"),
            "teardown.yaml": flow("  a: {noop: {}, teardown_of: ['../x']}\n"),
        },
    )
    assert {name: [problem["code"] for problem in listed] for name, listed in found.items()} == {
        "edge.yaml": ["invalid_task_id", "schema", "unknown_dependency"],
        "alone.yaml": ["invalid_task_id", "invalid_task_id"],
        "switch.yaml": ["invalid_task_id"],
        "teardown.yaml": ["invalid_task_id"],
    }


def test_a_workflow_that_triggers_itself_says_so(headrace: Terminal) -> None:
    """faults 3"""
    found = problems(headrace, {"w.yaml": flow("  a: {noop: {}}\n", "triggers: [{after: {workflow: w}}]\n")})
    problem = only(found["w.yaml"])
    assert problem["code"] == "cycle"
    assert problem["line"] == 2


def test_a_workflow_that_calls_itself_ends(headrace: Terminal) -> None:
    """faults 3: it may, for it may stop by a condition; without one the depth of children does, with the reason."""
    headrace.write("w.yaml", flow("  a: {workflow: w}\n"))
    done = headrace("run", "w.yaml", "--json")
    assert (done.status, done.tasks["a"]["reason"]) == (1, "child_failed")
    runs = headrace.runs()
    assert len(runs) == 9, "itself and children eight deep"
    assert {run["state"] for run in runs} == {"failed"}
    deepest = headrace("runs", "show", runs[0]["run"], "--json")
    assert "8" in deepest.tasks["a"]["error"]["message"]


NOTHING = {
    "none.yaml": ("workflow: w\ntasks: {}\n", "empty_workflow"),
    "missing.yaml": ("workflow: w\n", "empty_workflow"),
    "null.yaml": ("workflow: w\ntasks:\n", "empty_workflow"),
    "group.yaml": ("workflow: w\ntasks:\n  g: {tasks: {}}\n", "empty_workflow"),
    "nothing.yaml": ("", "schema"),
    "remark.yaml": ("# later\n", "schema"),
    "list.yaml": ("- a\n- b\n", "schema"),
    "word.yaml": ("hello\n", "schema"),
    "nothing.json": ("", "parse_error"),
    "null.json": ("null", "schema"),
}


def test_nothing_to_run(headrace: Terminal) -> None:
    """faults 4: no tasks, no document, something else altogether."""
    found = problems(headrace, {name: text for name, (text, _) in NOTHING.items()})
    assert {name: only(listed)["code"] for name, listed in found.items()} == {
        name: code for name, (_, code) in NOTHING.items()
    }
    assert all(listed[0]["line"] is not None for listed in found.values())


def test_a_single_task_and_tasks_without_edges_run(headrace: Terminal) -> None:
    """faults 4: one task, and islands beside a chain, are workflows like any other."""
    headrace.write("one.yaml", flow("  a: {noop: {}}\n"))
    headrace.write(
        "islands.yaml",
        flow("  a: {noop: {}}\n  b: {noop: {}}\n  c: {noop: {}}\n  d: {noop: {}, depends_on: c}\n"),
    )
    one, islands = headrace("run", "one.yaml", "--json"), headrace("run", "islands.yaml", "--json")
    assert (one.status, one.states) == (0, {"a": "succeeded"})
    assert (islands.status, set(islands.states.values())) == (0, {"succeeded"})
    drawn = headrace("graph", "islands.yaml", "--format", "json").document
    assert (drawn["tasks"], drawn["edges"], drawn["roots"]) == (4, 1, ["a", "b", "c"])
