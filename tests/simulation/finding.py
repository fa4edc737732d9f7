"""How soon the simulator finds a fault that was put into the code on purpose.

    python -m tests.simulation.finding              all of them, each in a copy of the sources
    python -m tests.simulation.finding NAME ...     some

The faults are some of tests.mutants, and a few of what only several processes bring to light. docs/design/simulation.md has the table.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutants import MUTANTS, Mutant
from tests.mutants.mutant import BROKER, ROOT, RUNNERS, SHELL, STORE

SEEDS = 5000
SOURCES = ("engine", "dsl", "runners", "api")

KNOWN = (
    "no-epoch-fence",
    "no-counter-in-the-fence",
    "committed-before-decided",
    "told-before-written",
    "ready-on-any-final-state",
    "one-attempt-too-many",
    "lost-wake-up-of-a-map",
    "child-tells-nobody",
    "moved-timer-fires-twice",
    "fired-timer-stays-stored",
    "offset-stays-behind",
    "no-memory-of-what-is-done",
    "held-twice",
    "let-go-before-it-is-acknowledged",
    "old-owners-obeyed",
    "stale-delivery",
    "stale-epoch",
    "barrier-open-to-all",
    "dispatch-without-its-flight",
    "command-comes-again",
    "pool-overdrawn",
    "retry-forgotten-by-a-crash",
    "stop-forgotten-by-a-crash",
    "secrets-in-errors",
)
OURS = (
    Mutant(
        "requeue-not-idempotent",
        f"{STORE}/letters.py",
        "        if found:\n            posted",
        "        if True:\n            posted",
        "",
        "A dead letter that was requeued while the answer was lost would begin its task twice.",
    ),
    Mutant(
        "report-rings-no-bell",
        f"{BROKER}/memory.py",
        "            if part in side._positions:\n                side._bell.ring()",
        "            pass",
        "",
        "A lost wake-up: what workers say would be found at the next poll.",
    ),
    Mutant(
        "unknown-outcome-is-believed",
        f"{SHELL}/patient.py",
        "if await self._patiently(self._store.settle, batches):",
        "if True:",
        "",
        "A commit whose answer was lost would count as written.",
    ),
    Mutant(
        "claim-without-an-answer",
        f"{SHELL}/ownership.py",
        "            await self._store.release(part, self._engine)\n\n    def _say",
        "            pass\n\n    def _say",
        "",
        "A part that was claimed while the answer was lost would belong to nobody for ever.",
    ),
    Mutant(
        "grant-dies-with-its-owner",
        f"{SHELL}/claims.py",
        '        takes a claim only once."""\n        self._post(WANTED, name, entry, cost, priority)',
        '        takes a claim only once."""',
        "",
        "A slot that was granted to an engine that died would be held for ever by a task that never starts.",
    ),
    Mutant(
        "no-lease",
        f"{SHELL}/fleet.py",
        "                    if read:\n                        found.lost.append(flight)",
        "                    if False:\n                        found.lost.append(flight)",
        "",
        "An attempt whose worker is gone would run for ever.",
    ),
    Mutant(
        "asked-and-not-answered",
        f"{RUNNERS}/answering.py",
        "reporter.deny(part, key, epoch, n)",
        "pass",
        "",
        "What a worker never got would never be sent again.",
    ),
)


def main(names: list[str]) -> int:
    """Look for each; print one line of JSON for each. The exit status says how many were not found."""
    mutants = {mutant.name: mutant for mutant in (*MUTANTS, *OURS)}
    missed = 0
    for name in names or [*KNOWN, *(mutant.name for mutant in OURS)]:
        found = look(mutants[name])
        print(json.dumps({"mutant": name, **found}), flush=True)
        missed += not found["failed"]
    return missed


def look(mutant: Mutant, seeds: int = SEEDS) -> dict[str, object]:
    """Which seed finds it, by which promise; `failed` empty: none of them did."""
    with tempfile.TemporaryDirectory(prefix="headrace-finding-") as folder:
        for source in SOURCES:
            shutil.copytree(ROOT / source, Path(folder, source), ignore=shutil.ignore_patterns("__pycache__"))
        Path(folder, mutant.file).write_text(mutant.applied(Path(folder)), encoding="utf-8")
        path = os.pathsep.join(str(Path(folder, source)) for source in SOURCES)
        run = subprocess.run(
            [sys.executable, "-c", LOOK, str(seeds)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        raise RuntimeError(run.stderr)
    found: dict[str, object] = json.loads(run.stdout)
    return found


LOOK = """
import json, sys
from headrace.testing.simulation.running import run
for first in range(0, int(sys.argv[1]), 10):
    tally = run(first, 10)
    if tally.failures:
        verdict = tally.failures[0]
        print(json.dumps({"failed": [verdict.script.seed], "broken": verdict.broken[0]}))
        break
else:
    print(json.dumps({"failed": [], "broken": None}))
"""

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
