"""Maps over nothing, one thing, a hundred thousand things, and over what is no list."""

from __future__ import annotations

import pytest

from tests.acceptance.faults.documents import flow
from tests.acceptance.terminal import Terminal

BODIES = """\
def numbers(n: int):
    return list(range(n))

def lazily(n: int):
    yield from range(n)

def item(i: int) -> int:
    return i

def nothing():
    return None

def mapping():
    return {"a": 1}
"""
MAPPED = """\
  source: {python: bodies:numbers, with: {n: "${{ params.n }}"}}
  each: {python: bodies:item, map: "${{ tasks.source.output }}", with: {i: "${{ item }}"}, on_empty: %s}
  after: {noop: {}, depends_on: each}
output: "${{ tasks.each.output }}"
"""


def mapped(on_empty: str = "skip") -> str:
    return flow(MAPPED.replace("%s", on_empty), "params: {n: {type: integer}}\n")


@pytest.mark.parametrize(
    ("on_empty", "state", "after"), [("skip", "skipped", "skipped"), ("succeed", "succeeded", "succeeded")]
)
def test_a_map_over_nothing_completes(on_empty: str, state: str, after: str, headrace: Terminal) -> None:
    """faults 15"""
    headrace.write("bodies.py", BODIES)
    headrace.write("w.yaml", mapped(on_empty))
    done = headrace("run", "w.yaml", "-p", "n=0", "--json")
    assert done.status == 0, done.err
    assert done.states == {"source": "succeeded", "each": state, "after": after}
    assert done.document["output"] == []


def test_a_map_over_one_thing_is_a_list(headrace: Terminal) -> None:
    """faults 15"""
    headrace.write("bodies.py", BODIES)
    headrace.write("w.yaml", mapped())
    done = headrace("run", "w.yaml", "-p", "n=1", "--json")
    assert done.document["output"] == [0]
    assert done.states["each[0]"] == "succeeded"


def test_a_map_over_a_hundred_thousand_things(headrace: Terminal) -> None:
    """faults 15: the widest map that is allowed unless more is asked for; each item is one call, the list in order."""
    headrace.write("bodies.py", BODIES)
    headrace.write("w.yaml", mapped())
    small = headrace.measured("run", "w.yaml", "-p", "n=2000", "--json")
    done = headrace.measured("run", "w.yaml", "-p", "n=100000", "--json", timeout=110)
    assert done.status == 0, done.err[-2000:]
    assert done.document["output"] == list(range(100_000))
    assert all(state == "succeeded" for state in done.states.values())
    assert len(done.document["tasks"]) >= 100_002
    assert done.worked < 100 * small.worked
    assert done.peak < 1 << 30


@pytest.mark.parametrize(
    ("source", "reason", "said"),
    [
        ("bodies:lazily", "invalid_output", "return a list"),
        ("bodies:nothing", "expression_error", "list"),
        ("bodies:mapping", "expression_error", "list"),
    ],
)
def test_what_is_no_list_cannot_be_mapped(source: str, reason: str, said: str, headrace: Terminal) -> None:
    """faults 15: a generator fails the task that returned it; a null or a map fails the mapped task."""
    headrace.write("bodies.py", BODIES)
    given = ", with: {n: 3}" if source == "bodies:lazily" else ""
    headrace.write(
        "w.yaml",
        flow(
            f"  source: {{python: '{source}'{given}}}\n"
            '  each: {python: bodies:item, map: "${{ tasks.source.output }}", with: {i: "${{ item }}"}}\n'
        ),
    )
    done = headrace("run", "w.yaml", "--json")
    assert done.status == 1
    assert "Traceback" not in done.err
    failing = "source" if reason == "invalid_output" else "each"
    task = done.tasks[failing]
    assert (task["state"], task["reason"]) == ("failed", reason)
    assert said in task["error"]["message"]


def test_a_map_that_is_too_long_is_not_begun(headrace: Terminal) -> None:
    """faults 15"""
    headrace.write("bodies.py", BODIES)
    headrace.write("w.yaml", mapped())
    done = headrace("run", "w.yaml", "-p", "n=100001", "--json")
    assert done.status == 1
    assert (done.tasks["each"]["state"], done.tasks["each"]["reason"]) == ("failed", "map_too_large")
    assert (
        "100,000" in done.tasks["each"]["error"]["message"]
        or "100000" in done.tasks["each"]["error"]["message"]
    )
