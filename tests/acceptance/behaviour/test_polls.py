"""Polls through the command line: outputs of any size, `why`, and a process that is killed while a task waits."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.terminal import Terminal

POLL = """\
workflow: w
tasks:
  look:
    shell: |
      echo look >> effects
      python3 -c 'import json, os; print(json.dumps({"done": os.path.exists("done"), "rows": list(range(ROWS))}))' \\
        > $HEADRACE_OUTPUT
    poll: {every: EVERY, until: output.done && size(output.rows) == ROWS}
  after: {shell: 'echo "$N"', env: {N: '${{ size(tasks.look.output.rows) }}'}}
output: '${{ tasks.after.output }}'
"""


@pytest.mark.parametrize("rows", [1, 90_000])
def test_a_killed_run_goes_on_waiting(rows: int, headrace: Terminal) -> None:
    """The outputs that were looked at stand in its history, also those that lie in files."""
    headrace.write("w.yaml", POLL.replace("ROWS", str(rows)).replace("EVERY", "50ms"))
    with headrace.started("run", "w.yaml", "--json", "--watch") as live:
        for _ in range(2):
            live.until("look", "waiting")
        live.kill()
    (headrace.folder / "done").touch()
    done = headrace("run", "--resume", "--json")
    assert done.status == 0, done.err
    assert done.document["output"] == rows
    assert (headrace.folder / "effects").read_text().count("look") >= 3
    assert headrace("replay", "last").status == 0


def test_why_it_waits(headrace: Terminal) -> None:
    headrace.write("w.yaml", POLL.replace("ROWS", "1").replace("EVERY", "1h"))
    with headrace.started("run", "w.yaml", "--json", "--watch") as live:
        live.until("look", "waiting")
        told = headrace("why", "last", "look")
        assert "its condition did not hold once; it is polled again at " in told.out
        given = headrace("tasks", "succeed", "last", "look", "--output", json.dumps({"rows": [7, 8]}))
        assert given.status == 0, given.err
        live.until("after", "succeeded")
    assert headrace("replay", "last").status == 0
