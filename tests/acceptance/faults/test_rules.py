"""Trigger rules that see failures, skips and cancelled tasks at once, in either order of arrival."""

from __future__ import annotations

import itertools

import pytest

from tests.acceptance.faults.documents import flow
from tests.acceptance.terminal import Terminal

RULES = {
    #                              S S   S F   S K   F K   F F   K K   S F K
    "all_success":                "ok    upf   skip  upf   upf   skip  upf",
    "all_failed":                 "skip  skip  skip  skip  ok    skip  skip",
    "all_done":                   "ok    ok    ok    ok    ok    ok    ok",
    "all_done_min_one_success":   "ok    ok    skip  skip  upf   skip  skip",
    "one_success":                "ok    ok    ok    upf   upf   skip  ok",
    "one_failed":                 "skip  ok    skip  ok    ok    skip  ok",
    "one_done":                   "ok    ok    ok    ok    ok    skip  ok",
    "none_failed":                "ok    upf   ok    upf   upf   ok    upf",
    "none_failed_min_one_success":"ok    upf   ok    upf   upf   skip  upf",
    "none_skipped":               "ok    ok    skip  skip  ok    skip  skip",
    "all_skipped":                "skip  skip  skip  skip  skip  ok    skip",
    "always":                     "ok    ok    ok    ok    ok    ok    ok",
}  # fmt: skip
JOINS = ("SS", "SF", "SK", "FK", "FF", "KK", "SFK")
STATES = {"ok": "succeeded", "upf": "upstream_failed", "skip": "skipped"}
BODY = {"S": "true", "F": "exit 1", "K": "exit 99"}


@pytest.mark.parametrize("backwards", [False, True])
def test_every_rule_over_every_mixture(backwards: bool, headrace: Terminal) -> None:
    """faults 16: the outcome is the table's whichever upstream ends first; one upstream waits for the other."""
    lines, wanted = [], {}
    for join in JOINS:
        order = join[::-1] if backwards else join
        for place, kind in enumerate(order):
            before = f", depends_on: u_{join}_{place - 1}, trigger_rule: all_done" if place else ""
            lines.append(f"  u_{join}_{place}: {{shell: '{BODY[kind]}', retry: 1{before}}}\n")
        ups = ", ".join(f"u_{join}_{place}" for place in range(len(join)))
        for rule, outcomes in RULES.items():
            name = f"{rule}_{join}"
            lines.append(f"  {name}: {{noop: {{}}, depends_on: [{ups}], trigger_rule: {rule}}}\n")
            wanted[name] = STATES[outcomes.split()[JOINS.index(join)]]
    headrace.write("w.yaml", flow("".join(lines)))
    done = headrace("run", "w.yaml", "--json")
    assert done.status == 1
    found = done.states
    assert {name: found[name] for name in wanted} == wanted


def test_a_failure_and_a_skip_travel_one_edge_at_a_time(headrace: Terminal) -> None:
    """faults 16: each join decides for itself what reaches it; no downstream sees past its own upstreams."""
    headrace.write(
        "w.yaml",
        flow(
            "  f: {shell: 'exit 1', retry: 1}\n  k: {shell: 'exit 99', retry: 1}\n"
            "  f1: {noop: {}, depends_on: f}\n  k1: {noop: {}, depends_on: k}\n"
            "  mends: {noop: {}, depends_on: f1, trigger_rule: all_failed}\n"
            "  both: {noop: {}, depends_on: [f1, k1]}\n"
            "  all_bad: {noop: {}, depends_on: [f, f1, both], trigger_rule: all_failed}\n"
            "  none: {noop: {}, depends_on: [k1], trigger_rule: none_failed}\n"
            "  end: {noop: {}, depends_on: [mends, none, all_bad]}\n"
        ),
    )
    done = headrace("run", "w.yaml", "--json")
    assert done.states == {
        "f": "failed",
        "k": "skipped",
        "f1": "upstream_failed",
        "k1": "skipped",
        "mends": "succeeded",
        "both": "upstream_failed",
        "all_bad": "succeeded",
        "none": "succeeded",
        "end": "succeeded",
    }
    assert (done.status, done.document["state"]) == (0, "succeeded")


def test_no_combination_of_rules_leaves_a_task_waiting(headrace: Terminal) -> None:
    """faults 16: every rule below every rule; the run ends and every task is final."""
    lines = ["  s: {noop: {}}\n", "  f: {shell: 'exit 1', retry: 1}\n", "  k: {noop: {}, when: 'false'}\n"]
    lines += [f"  x_{rule}: {{noop: {{}}, depends_on: [s, f, k], trigger_rule: {rule}}}\n" for rule in RULES]
    lines += [
        f"  y_{first}_{second}: {{noop: {{}}, depends_on: [x_{first}, f], trigger_rule: {second}}}\n"
        for first, second in itertools.product(RULES, repeat=2)
    ]
    headrace.write("w.yaml", flow("".join(lines)))
    done = headrace("run", "w.yaml", "--json")
    assert done.status == 1
    assert set(done.states.values()) <= {"succeeded", "failed", "skipped", "upstream_failed"}
    assert headrace("replay", "last").status == 0
