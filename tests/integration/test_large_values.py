"""Values too large to be inline go wherever small ones go: outputs of runs, groups, maps and children."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from headrace.testing import run

MAKE = f'{sys.executable} -c \'import json; print(json.dumps({{"n": 3, "rows": list(range(90000))}}))\' > $HEADRACE_OUTPUT'
LARGE = {"n": 3, "rows": list(range(90000))}


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text.replace("MAKE", json.dumps(MAKE)), encoding="utf-8")
    return str(path)


def test_a_large_output_is_the_output_of_its_group_and_run(tmp_path: Path) -> None:
    """faults 60"""
    file = written(
        tmp_path,
        "large.yaml",
        """
workflow: large
tasks:
  make: {shell: MAKE}
  pass:
    tasks: {look: {shell: 'echo "$N"', env: {N: "${{ tasks.make.output.n }}"}}}
    output: "${{ tasks.make.output }}"
  read: {shell: 'echo "$N"', env: {N: "${{ size(tasks.pass.output.rows) }}"}}
  each: {shell: MAKE, map: [1, 2]}
  last: {shell: 'echo "$N"', env: {N: "${{ tasks.each.output[1].rows[89999] }}"}}
output: "${{ tasks.pass.output }}"
""",
    )
    result = run(file)
    assert (result.state, result.reason) == ("succeeded", None)
    assert result.output == LARGE
    assert result.tasks["make"].output == LARGE
    assert result.tasks["read"].output == 90000
    assert result.tasks["last"].output == 89999


def test_a_large_output_goes_through_a_child_and_back(tmp_path: Path) -> None:
    written(
        tmp_path,
        "inner.yaml",
        """
workflow: inner
params: {given: {type: object}}
tasks: {make: {shell: MAKE}}
output: "${{ tasks.make.output }}"
""",
    )
    file = written(
        tmp_path,
        "outer.yaml",
        """
workflow: outer
tasks:
  make: {shell: MAKE}
  call: {workflow: inner, with: {given: "${{ tasks.make.output }}"}}
  read: {shell: 'echo "$N"', env: {N: "${{ tasks.call.output.n + size(tasks.call.output.rows) }}"}}
output: {whole: "${{ tasks.call.output }}", n: "${{ tasks.read.output }}"}
""",
    )
    result = run(file)
    assert (result.state, result.reason) == ("succeeded", None)
    assert result.output == {"whole": LARGE, "n": 90003}


def test_the_command_prints_a_large_output(tmp_path: Path) -> None:
    written(
        tmp_path,
        "large.yaml",
        """
workflow: large
tasks: {make: {shell: MAKE}}
output: "${{ tasks.make.output }}"
""",
    )
    command = [sys.executable, "-m", "headrace.cli.main", "run", "large.yaml", "--json"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["output"] == LARGE
