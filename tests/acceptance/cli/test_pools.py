"""A pool that the settings give a size: never more at once than it has, what waits for it is told, a kill leaks no slot.

faults 56
"""

from __future__ import annotations

import signal

from tests.acceptance.cli.conftest import Terminal
from tests.acceptance.terminal import appears

WORK = """\
workflow: work
tasks:
  each:
    map: {over: [a, b]}
    shell: |
      mkdir session || { touch two; exit 1; }
      touch started
      test -f go || sleep 60
      rmdir session
    pool: db
"""


def test_a_slot_is_taken_by_one_and_comes_back_after_a_kill(headrace: Terminal) -> None:
    headrace.write("headrace.toml", "[pools]\ndb = 1\n")
    headrace.write("work.yaml", WORK)
    process = headrace.start("run", "work.yaml")
    appears(headrace.folder / "started")
    why = [headrace("why", "last", f"each[{item}]").out for item in (0, 1)]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert sum("waits for 1 of the slots of pool db" in said for said in why) == 1, why
    (headrace.folder / "session").rmdir()
    headrace.write("go", "")
    assert headrace("run", "--resume").status == 0
    [run] = headrace("runs", "list", "--json").document["items"]
    assert run["state"] == "succeeded"
    assert not (headrace.folder / "two").exists()


def test_a_pool_without_a_size_limits_nothing_and_is_told(headrace: Terminal) -> None:
    headrace.write("headrace.toml", "[pools]\nother = 1\n")
    headrace.write("quick.yaml", "workflow: quick\ntasks: {only: {shell: 'true', pool: db}}\n")
    ran = headrace("run", "quick.yaml")
    assert ran.status == 0
    assert 'pool "db", which is not defined' in ran.err
